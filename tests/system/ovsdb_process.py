# SPDX-License-Identifier: BSD-3-Clause
"""Servers and raw JSON-RPC connections for the OVSDB tests. Everything lives in a directory of its
own; processes are ended by their handle."""
import json
import os
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINDIR = os.path.join(os.path.abspath(os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))), "bin")
OVSDB_LITE = os.path.join(BINDIR, "ovsdb-lite")
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
FULL = os.environ.get("SLUICE_FULL") == "1"


def create_db(path, schema=OVS_SCHEMA):
    subprocess.run(["ovsdb-tool", "create", path, schema], check=True)
    return path


class Server:
    """ovsdb-lite, or Debian's ovsdb-server as the judge."""

    def __init__(self, directory, dbs, program=OVSDB_LITE, args=()):
        self.dir = str(directory)
        self.sock = os.path.join(self.dir, "db.sock")
        self.ctl = os.path.join(self.dir, "ctl")
        self.remote = "unix:" + self.sock
        self.log = os.path.join(self.dir, "server.log")
        self.dbs = [str(d) for d in dbs]
        self.program = program
        self.args = list(args)
        self.process = None
        self.start()

    def start(self, wait=True):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [self.program, "--remote=punix:" + self.sock, "--unixctl=" + self.ctl,
                 *self.args, *self.dbs], stdout=out, stderr=out,
                env=dict(os.environ, OVS_RUNDIR=self.dir, SLUICE_RUNDIR=self.dir))
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                Connection(self.sock).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.005)
        raise RuntimeError("server did not start: " + open(self.log).read())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks it to end and expects a clean exit."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(20)
        assert code in (0, -15), f"exit code {code}: {open(self.log).read()}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.stop()
        else:
            raise AssertionError(f"server died, code {self.process.returncode}: " + open(self.log).read())

    def appctl(self, *args, check=True):
        r = subprocess.run(["ovs-appctl", "-t", self.ctl, *args], capture_output=True, text=True,
                           timeout=20)
        if check:
            assert r.returncode == 0, r.stderr
            return r.stdout
        return r

    def rss_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0


class Connection:
    """One JSON-RPC peer. Notifications that arrive while waiting for a reply are kept in order."""

    decoder = json.JSONDecoder()

    def __init__(self, path, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = ""
        self.notifications = []
        self.next_id = 0

    def close(self):
        self.socket.close()

    def send(self, obj):
        self.socket.sendall(json.dumps(obj).encode())

    def receive(self):
        while True:
            self.buffer = self.buffer.lstrip()
            if self.buffer:
                try:
                    msg, used = self.decoder.raw_decode(self.buffer)
                    self.buffer = self.buffer[used:]
                    return msg
                except ValueError:
                    pass
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError("connection closed")
            self.buffer += data.decode()

    def request(self, method, params):
        self.next_id += 1
        self.send({"id": self.next_id, "method": method, "params": params})
        return self.next_id

    def reply(self, ident):
        while True:
            msg = self.receive()
            if "method" in msg:
                if msg["method"] == "echo":
                    self.send({"id": msg["id"], "result": msg["params"], "error": None})
                else:
                    self.notifications.append(msg)
            elif msg["id"] == ident:
                return msg

    def call(self, method, params):
        return self.reply(self.request(method, params))

    def transact(self, db, *ops):
        return self.call("transact", [db, *ops])["result"]

    def take_notifications(self):
        out, self.notifications = self.notifications, []
        return out
