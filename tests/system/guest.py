# SPDX-License-Identifier: BSD-3-Clause
"""Real guests for tests: QEMU under software emulation boots Debian's cloud kernel with a busybox
initramfs in a few seconds; commands run over its serial line."""
import os
import re
import select
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_image = {}


def image(extra_files="", extra_modules=""):
    """(kernel, initramfs), built once per test run and content."""
    key = (extra_files, extra_modules)
    if key not in _image:
        out = os.path.join(tempfile.mkdtemp(prefix="sluice-guest-"), "initramfs.cpio.gz")
        env = dict(os.environ, EXTRA_FILES=extra_files, EXTRA_MODULES=extra_modules)
        kernel = subprocess.run([os.path.join(ROOT, "tools/guest/make-initramfs"), out], env=env,
                                check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        _image[key] = (kernel, out)
    return _image[key]


def vhost_user(sock, mac, *, queues=1, server=True, packed=False, index=0, csum_tso=True, mtu=None):
    """QEMU arguments of one virtio-net NIC on a vhost-user socket. QEMU 7.2 without KVM crashes on
    vhost-user with MSI-X, so the device gets no vectors."""
    dev = (f"virtio-net-pci,mac={mac},netdev=net{index},vectors=0,packed={'on' if packed else 'off'}"
           + (f",mq=on" if queues > 1 else "") + (f",host_mtu={mtu}" if mtu else ""))
    if not csum_tso:
        dev += ",csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,host_tso4=off,host_tso6=off"
    return ["-chardev", f"socket,id=chr{index},path={sock}" + (",server=on,wait=off" if server else ""),
            "-netdev", f"vhost-user,id=net{index},chardev=chr{index},queues={queues}",
            "-device", dev]


class Guest:
    def __init__(self, nics, *, memory_mb=192, name="guest", append="", kernel_and_initramfs=None,
                 extra=(), cpus=1):
        kernel, initramfs = kernel_and_initramfs or image()
        self.name = name
        args = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", str(cpus),
                "-m", f"{memory_mb}M", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
                "-object", f"memory-backend-memfd,id=mem,size={memory_mb}M,share=on",
                "-numa", "node,memdev=mem", "-serial", "stdio", "-kernel", kernel, "-initrd", initramfs,
                "-append", f"console=ttyS0 quiet panic=1 no_timer_check {append}"] + [a for n in nics for a in n] + list(extra)
        self.log = b""
        # QEMU's own complaints (a switch that went away) must not mix with the guest's console.
        self.complaints = tempfile.TemporaryFile()
        self.proc = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=self.complaints)
        os.set_blocking(self.proc.stdout.fileno(), False)

    def _read_until(self, pattern, timeout):
        end = time.monotonic() + timeout
        text = b""
        while True:
            m = re.search(pattern, text)
            if m:
                return text, m
            left = end - time.monotonic()
            if left <= 0 or self.proc.poll() is not None:
                self.complaints.seek(0)
                raise AssertionError(f"{self.name}: no {pattern!r} within {timeout} s; exit {self.proc.poll()}; "
                                     f"said: {(self.log + text)[-2000:]!r}; QEMU: {self.complaints.read()[-500:]!r}")
            ready, _, _ = select.select([self.proc.stdout], [], [], min(left, 0.5))
            if ready:
                more = self.proc.stdout.read() or b""
                text += more
                self.log += more

    def wait_ready(self, timeout=90):
        self._read_until(rb"GUEST-READY", timeout)
        time.sleep(0.2)
        self.run("true", timeout=30)
        return self

    def run(self, command, timeout=30, check=True):
        """Output of a shell command in the guest; AssertionError when it fails and check is set."""
        self._n = getattr(self, "_n", 0) + 1
        mark = f"@@{self._n}"
        self.proc.stdin.write(f"{{ {command}; }} 2>&1; echo {mark}:$?:\n".encode())
        self.proc.stdin.flush()
        text, m = self._read_until((mark + r":(\d+):").encode(), timeout)
        # An echoed command line repeats the mark with "$?", which is no number.
        out = text[:m.start()].decode(errors="replace").replace("\r", "")
        out = "\n".join(line for line in out.split("\n") if mark not in line)
        if check and int(m.group(1)):
            raise AssertionError(f"{self.name}: {command}: exit {int(m.group(1))}: {out}")
        return out.strip()

    def ping(self, address, count=3, timeout_s=2):
        """Replies received."""
        out = self.run(f"ping -c {count} -i 0.3 -W {timeout_s} {address}", timeout=count * (timeout_s + 1) + 10,
                       check=False)
        m = re.search(r"(\d+) packets received", out)
        return int(m.group(1)) if m else 0

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()
        self.complaints.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
