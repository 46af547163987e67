# SPDX-License-Identifier: BSD-3-Clause
"""port-host (tests/system/port_host.c) and network namespaces for the tests of port classes."""
import json
import os
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
PORT_HOST = os.path.join(BUILD, "bin", "port-host")


def sh(cmd, check=True, timeout=60):
    r = subprocess.run(cmd, shell=True, capture_output=True, text=True, timeout=timeout)
    assert not check or r.returncode == 0, f"{cmd}: {r.stdout}{r.stderr}"
    return r.stdout


class PortHost:
    def __init__(self, *ports, args=()):
        self.proc = subprocess.Popen([PORT_HOST, *args, *ports], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True, bufsize=1)
        first = self._answer()
        assert first.get("ready"), first

    def _answer(self):
        while True:
            line = self.proc.stdout.readline()
            assert line, f"port-host ended: {self.proc.wait(5)}"
            if line.startswith("{"):
                return json.loads(line)

    def ask(self, line):
        self.proc.stdin.write(line + "\n")
        return self._answer()

    def stats(self):
        return self.ask("stats")

    def port(self, name):
        return self.stats()["ports"][name]

    def wait(self, predicate, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            s = self.stats()
            if predicate(s["ports"]):
                return s["ports"]
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s: {json.dumps(s, indent=1)}")

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def quit(self):
        """Ends it; the buffers still in use then."""
        if self.proc.poll() is not None:
            return None
        last = self.ask("quit")
        code = self.proc.wait(10)
        assert code == 0, f"port-host: exit {code}"
        return last["mbufs_in_use"]


class Netns:
    def __init__(self, name):
        self.name = name
        sh(f"ip netns del {name} 2>/dev/null; true")
        sh(f"ip netns add {name}; ip -n {name} link set lo up")

    def sh(self, cmd, **kw):
        return sh(f"ip netns exec {self.name} {cmd}", **kw)

    def popen(self, argv, **kw):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *argv], **kw)

    def close(self):
        sh(f"ip netns del {self.name}", check=False)


TCP_SERVER = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], 5001)); s.listen(); print('up', flush=True)
c, _ = s.accept(); n = 0; import hashlib; h = hashlib.sha1()
while True:
    b = c.recv(1 << 20)
    if not b: break
    n += len(b); h.update(b)
print(n, h.hexdigest(), flush=True)
"""
TCP_CLIENT = """
import socket, sys, hashlib, random, time
s = socket.create_connection((sys.argv[1], 5001), 10); n = int(sys.argv[2]); h = hashlib.sha1()
r = random.Random(1); block = r.randbytes(1 << 20); t = time.time()
while n > 0:
    b = block[:min(n, len(block))]; s.sendall(b); h.update(b); n -= len(b)
s.shutdown(1); s.recv(1)
print(h.hexdigest(), time.time() - t)
"""


def tcp_transfer(server, client, address, n_bytes):
    """Sends n_bytes from one namespace to the other; asserts they arrive; returns MB/s."""
    srv = server.popen(["python3", "-c", TCP_SERVER, address], stdout=subprocess.PIPE, text=True)
    try:
        assert srv.stdout.readline() == "up\n"
        out = client.sh(f"python3 -c '{TCP_CLIENT.replace(chr(39), chr(34))}' {address} {n_bytes}",
                        timeout=60)
        digest, seconds = out.split()
        assert srv.stdout.readline().split() == [str(n_bytes), digest]
        return n_bytes / float(seconds) / 1e6
    finally:
        srv.kill()
        srv.wait()
