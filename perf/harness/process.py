# SPDX-License-Identifier: BSD-3-Clause
"""Child processes of a run: start on given cores, watch, stop by their own id, never by name."""
import os
import shutil
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """A switch could not do what the scenario needs; the text says what and why."""


class Child:
    def __init__(self, args, log, env=None, cores="0", netns=True, stdin=False):
        """`netns`: in a network namespace of its own, so that taps of two switches (br0,
        ovs-netdev) never meet."""
        self.args = list(args)
        self.log_path = log
        prefix = ["unshare", "--net", "--"] if netns else []
        self.log = open(log, "ab")
        cpus = parse_cores(cores)
        self.process = subprocess.Popen(
            prefix + self.args, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=self.log, stderr=subprocess.STDOUT, env=env, start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def check(self):
        if not self.alive():
            raise Failed(f"{os.path.basename(self.args[0])} ended with "
                         f"{self.process.returncode}: {self.tail()}")

    def tail(self, lines=6):
        with open(self.log_path, "r", errors="replace") as f:
            kept = [l.rstrip() for l in f if l.strip()]
        return " | ".join(kept[-lines:])

    def kill(self):
        """kill -9; returns when the process is gone (a zombie is reaped here)."""
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def stop(self, timeout_s=10):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.log.close()


def parse_cores(text):
    cores = set()
    for part in str(text).split(","):
        first, _, last = part.partition("-")
        cores.update(range(int(first), int(last or first) + 1))
    return cores


def wait_for(condition, timeout_s, what, child=None, step_s=0.005):
    """Polls `condition` until it gives something true, and returns that."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if child is not None:
            child.check()
        if time.monotonic() >= end:
            raise Failed(f"{what}: nothing after {timeout_s} s")
        time.sleep(step_s)


def forget_dpdk(prefix):
    """Removes what a DPDK process leaves below /var/run: a directory per --file-prefix."""
    shutil.rmtree(os.path.join("/var/run/dpdk", prefix), ignore_errors=True)


def accepts(path):
    """Whether somebody listens on a Unix socket: it exists some moments before."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        try:
            s.connect(path)
        except OSError:
            return False
    return True


POLLERS = ("poll-c", "pmd-c", "lcore-worker")  # Sluice, Open vSwitch, testpmd


def poll_threads(pid):
    """Ids of the threads that are called like pollers, then of those that have run most: on a busy machine another
    thread may have run more than one that polls."""
    found = []
    try:
        tids = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []
    for tid in tids:
        run, _ = sched_times(pid, tid)
        found.append((name_of(pid, tid).startswith(POLLERS), run, int(tid)))
    return [tid for _, _, tid in sorted(found, reverse=True)]


def name_of(pid, tid):
    try:
        with open(f"/proc/{pid}/task/{tid}/comm") as f:
            return f.read()
    except OSError:
        return ""


def sched_times(pid, tid):
    """(time on a cpu, time runnable but waiting for one) of a thread [ns]."""
    try:
        with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
            run, wait, _ = f.read().split()
        return int(run), int(wait)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return 0, 0


def memory_bytes(pid):
    """(resident without hugepages, hugepages in use) of a process [bytes]."""
    rss = huge = 0
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                rss = int(line.split()[1]) * 1024
            elif line.startswith("HugetlbPages:"):
                huge = int(line.split()[1]) * 1024
    return rss, huge
