# SPDX-License-Identifier: BSD-3-Clause
"""How each kind of scenario is measured: one function per kind, one call per switch and round.

Each returns a dictionary that goes into the JSON as it is; "value" is what the tables show. The
counters are the ports' own, read from /dev/shm, so they are the same for every switch.
"""
import os
import sys
import threading
import time

from . import machine, process, shm, switches
from . import vhost as vhost_generator
from .process import Failed

VICTIM, ATTACK = 1, 2  # marks
PAUSE_S = 0.3  # between windows with and without an attack


class Options:
    def __init__(self, window_s=0.5, windows=3, warm_s=1.0, longest_warm_s=None):
        self.window_s = window_s
        self.windows = windows
        self.warm_s = warm_s
        self.longest_warm_s = longest_warm_s

    def warm(self, scenario, switch, flows):
        # longest match first: (switch, flows), then the general figure
        wanted = scenario.warm_s.get((switch.name, flows), self.warm_s)
        return min(wanted, self.longest_warm_s) if self.longest_warm_s else wanted


class Window:
    """Counts between begin and end of a stretch of time, with what the machine took away."""

    def __init__(self, switch, cores=1):
        self.switch = switch
        self.pid = switch.datapath_pid()
        self.tids = switch.poll_threads(cores)
        self.begin = self._read()

    def _read(self):
        times = [process.sched_times(self.pid, t) for t in self.tids]
        ran, wait = (sum(t[i] for t in times) / max(len(times), 1) for i in (0, 1))
        marks = {n: p.tx_marks() for n, p in self.switch.ports.items()}
        rx = {n: p.rx() for n, p in self.switch.ports.items()}
        return time.monotonic_ns(), ran, wait, marks, rx, machine.steal_ticks()

    def end(self, ports=("p2",)):
        t0, ran0, wait0, marks0, rx0, steal0 = self.begin
        t1, ran1, wait1, marks1, rx1, steal1 = self._read()
        wall = (t1 - t0) / 1e9
        # Time in which other programs had the poll thread's core is not the switch's. It is
        # nothing on a quiet machine, and shown when it is not.
        waited, ran = (wait1 - wait0) / 1e9, (ran1 - ran0) / 1e9
        # Waiting is accounted when it ends. When it is most of a window, what ran says more.
        lost = wall - ran if waited > 0.3 * wall and 0 < ran < wall else min(waited, 0.95 * wall)
        sent = [sum(marks1[p][m] - marks0[p][m] for p in ports) for m in range(shm.MARKS)]
        return {
            "pps": sent[VICTIM] / (wall - lost),
            "attack_pps": sent[ATTACK] / (wall - lost),
            "offered_pps": sum(rx1[p]["pkts"] - rx0[p]["pkts"] for p in rx1) / (wall - lost),
            "wall_s": wall,
            "lost_cpu": lost / wall,
            "ran": ran / wall,
            "steal_ticks": steal1 - steal0,
        }


def cores(scenario):
    return len(process.parse_cores(scenario.options.get("cores", "1")))


def cycles(switch, pps, n_cores=1):
    """TSC cycles of all poll cores per packet."""
    hz = next(iter(switch.ports.values())).tsc_hz
    return n_cores * hz / pps if pps else None


def prime(switch, scenario):
    """One packet from the far port, so that a learning bridge knows where it goes."""
    if not scenario.prime:
        return
    far = switch.ports["p2"]
    far.open_gate(limit=1)
    end = time.monotonic() + 5
    while far.rx()["pkts"] < 1 and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(0.3)
    far.close_gate()


def measure_windows(switch, scenario, options, ports=("p2",)):
    """Several windows; the middle one by speed. One in which the poll thread hardly ran says
    nothing (waiting is only accounted when it ends) and is tried again, some times."""
    got = []
    for _ in range(10 * options.windows):
        w = Window(switch, cores(scenario))
        time.sleep(options.window_s)
        window = w.end(ports)
        if window["ran"] > 0.1 or window["pps"] > 0:
            got.append(window)
        if len(got) == options.windows:
            break
    if not got:
        raise Failed(f"{switch.name}: other programs had the core all the time")
    best = sorted(got, key=lambda w: w["pps"])[len(got) // 2]
    if best["pps"] == 0:
        switch.check_alive()
        raise Failed(f"{switch.name}: forwarded nothing")
    return best, [w["pps"] for w in got]


def begin(switch, scenario, flows):
    switch.start(scenario, flows, scenario.options.get("cores"))
    switch.wait_polling()
    prime(switch, scenario)


def throughput(switch, scenario, flows, options):
    begin(switch, scenario, flows)
    ports = ("p1", "p2") if scenario.options.get("both") else ("p2",)
    switch.ports["p1"].open_gate(limit=0)
    if scenario.options.get("both"):
        time.sleep(0.3)
        switch.ports["p2"].open_gate(limit=0)
    time.sleep(options.warm(scenario, switch, flows))
    window, all_pps = measure_windows(switch, scenario, options, ports)
    return dict(window, value=window["pps"] / 1e6, unit="Mpps",
                cycles=cycles(switch, window["pps"], cores(scenario)), windows=all_pps,
                megaflows=switch.megaflows())


def attack(switch, scenario, flows, options):
    """The victim's speed with the attack over its speed without, in one start of the switch: the
    median of windows that have a pause of the attack beside them."""
    begin(switch, scenario, flows)
    if scenario.options.get("monitor"):
        switch.monitor()
    victim = switch.ports["p1"]
    victim.set_attack_every(0)
    victim.open_gate(limit=0)
    time.sleep(options.warm(scenario, switch, flows))
    alone, _ = measure_windows(switch, scenario, options)
    series = [(0.0, alone["pps"])]
    churn = Churn(switch, scenario.options["churn"]) if "churn" in scenario.options else None
    started = time.monotonic()
    try:
        start_packets(switch, scenario)
        if churn:
            churn.start()
        return observe_attack(switch, scenario, options, alone, series, started)
    finally:
        if churn:
            churn.stop()


def attackers(switch):
    return [switch.ports[name] for name in ("p3", "p4") if name in switch.ports]


def start_packets(switch, scenario):
    for attacker in attackers(switch):
        attacker.set_rate(scenario.options.get("rate", 0))
        attacker.open_gate(limit=0)
    if "every" in scenario.options:
        switch.ports["p1"].set_attack_every(scenario.options["every"])


def pause_packets(switch):
    for attacker in attackers(switch):
        attacker.close_gate()
    switch.ports["p1"].set_attack_every(0)


def ran_window(switch, options):
    """One window; None when other programs had the core all the time, which says nothing."""
    w = Window(switch)
    time.sleep(options.window_s)
    window = w.end()
    return window if window["ran"] or window["pps"] else None


def observe_attack(switch, scenario, options, alone, series, started):
    warm = scenario.options.get("attack_warm_s", 3)
    if options.longest_warm_s:
        warm = min(warm, options.longest_warm_s)
    while time.monotonic() - started < warm:
        w = Window(switch)
        time.sleep(0.25)
        series.append((time.monotonic() - started, w.end()["pps"]))
    # The machine's speed changes within seconds, so each window of the attack has one of a pause
    # beside it. What the attack leaves behind does not pause: "lasting" says what that costs.
    can_pause = "churn" not in scenario.options
    pairs = []
    for _ in range(10 * options.windows):
        window = ran_window(switch, options)
        if not window:
            continue
        series.append((time.monotonic() - started, window["pps"]))
        pause = alone
        if can_pause:
            pause_packets(switch)
            time.sleep(PAUSE_S)
            pause = ran_window(switch, options)
            start_packets(switch, scenario)
            time.sleep(PAUSE_S)
        if pause and pause["pps"]:
            pairs.append((window["pps"] / pause["pps"], window, pause["pps"]))
        if len(pairs) == options.windows:
            break
    if not pairs:
        raise Failed(f"{switch.name}: other programs had the core all the time")
    pairs.sort(key=lambda p: p[0])
    ratio, middle_one, pause_pps = pairs[len(pairs) // 2]
    return dict(middle_one, value=ratio, unit="ratio",
                alone_pps=pause_pps, under_attack_pps=middle_one["pps"],
                first_alone_pps=alone["pps"],
                lasting=sorted(p[2] for p in pairs)[len(pairs) // 2] / alone["pps"],
                cycles=cycles(switch, middle_one["pps"]), series=series,
                megaflows=switch.megaflows())


class Churn(threading.Thread):
    """Adds and deletes rules that match nothing, `per_s` changes a second, a tenth at a time."""

    def __init__(self, switch, per_s):
        super().__init__(daemon=True)
        self.switch, self.batch = switch, max(per_s // 20, 1)
        self.ended = threading.Event()
        self.changes = 0

    def run(self):
        match = [f"priority=50,ip,nw_dst=30.{i >> 16}.{i >> 8 & 255}.{i & 255}"
                 for i in range(self.batch)]
        lines = [f"add {m},actions=drop" for m in match] + [f"delete_strict {m}" for m in match]
        path = os.path.join(self.switch.run_dir, "churn.txt")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        while not self.ended.is_set():
            started = time.monotonic()
            try:
                self.switch.ofctl("add-flows", path)
            except Failed:
                return
            self.changes += len(lines)
            self.ended.wait(max(0, 0.1 - (time.monotonic() - started)))

    def stop(self):
        self.ended.set()
        self.join(20)


def setup(switch, scenario, flows, options):
    """Every packet a new flow, as fast as the switch polls, for the first 1.1 s."""
    begin(switch, scenario, flows)
    before = switch.megaflows()
    w = Window(switch)
    switch.ports["p1"].open_gate(limit=0)
    time.sleep(1.1)
    window = w.end()
    after = switch.megaflows()
    switch.ports["p1"].close_gate()
    installed = None if after is None or before is None else (after - before) / 1.1
    return dict(window, value=window["pps"] / 1e6, unit="Mpps", installed_per_s=installed,
                cycles=cycles(switch, window["pps"]), megaflows=after)


def latency(switch, scenario, flows, options):
    """From when a packet was due at the port until it is sent, at half of this switch's own
    speed: what the switch adds by looking at ports in bursts and by its own work."""
    begin(switch, scenario, flows)
    source, far = switch.ports["p1"], switch.ports["p2"]
    source.open_gate(limit=0)
    time.sleep(options.warm_s)
    full, _ = measure_windows(switch, scenario, options)
    source.set_rate(full["pps"] / 2)
    time.sleep(0.5)
    before = far.latency()
    w = Window(switch)
    time.sleep(options.window_s * options.windows)
    window = w.end()
    classes = [a - b for a, b in zip(far.latency(), before)]
    us = 1e6 / far.tsc_hz
    p50, p99, p999 = (shm.percentile_cycles(classes, s) * us for s in (0.5, 0.99, 0.999))
    return dict(window, value=p50, unit="us", p50_us=p50, p99_us=p99, p999_us=p999,
                full_pps=full["pps"], megaflows=switch.megaflows(), cycles=None)


def first_packet_after(switch, since):
    """Waits until p2 has sent something; seconds since `since` (time.monotonic())."""
    def sent():
        far = switch.ports.get("p2")
        return far is not None and far.tx_pkts() > 0
    process.wait_for(sent, 60, f"{switch.name}: first packet", step_s=0.0005)
    return time.monotonic() - since


def startup(switch, scenario, flows, options):
    """Launch of all processes, ports and rules included, until the first packet is out."""
    since = time.monotonic()
    switch.start(scenario, flows)
    seconds = first_packet_after(switch, since)
    far = switch.ports["p2"]
    # start() returns when the ports are made and the tools have answered; the packet may have
    # gone before. The port's own clock says when: what has passed since then is taken off.
    tx = far.tx()
    seconds -= max(0, (read_tsc_of(switch) - tx["first_tsc"]) / far.tsc_hz)
    return {"value": 1000 * seconds, "unit": "ms", "cycles": None, "megaflows": None}


def read_tsc_of(switch):
    """The TSC now, as the newest stamp of a port that is being polled at full speed."""
    ports = switch.ports.values()
    return max(max(p.rx()["last_tsc"], p.tx()["last_tsc"]) for p in ports)


def outage(switch, scenario, flows, options):
    """kill -9 while traffic flows, restart at once; the longest time without a packet sent."""
    control = scenario.options.get("control")
    if control and not hasattr(switch, "relaunch_control"):
        raise Failed(f"{switch.name}: has no control daemon apart from its datapath")
    switch.start(scenario, flows)
    far = switch.ports["p2"]
    first_packet_after(switch, time.monotonic())
    time.sleep(1.0)
    far.clear_longest_gap()
    before_ms = None
    if control:  # what other programs' turns on the core do in the same time, nothing killed
        time.sleep(2.0)
        before_ms = 1000 * far.tx()["longest_gap_tsc"] / far.tsc_hz
        far.clear_longest_gap()
    window = Window(switch)
    if control:
        switch.relaunch_control()
        time.sleep(2.0)
        lost = window.end()["lost_cpu"]  # a gap may be another program's turn on the core
    else:
        lost = None  # of a process that is gone
        starts = far.starts
        datapath = next(c for c in switch.children if c.pid == switch.datapath_pid())
        datapath.kill()
        switch.relaunch_datapath()
        process.wait_for(lambda: far.starts > starts, 60, f"{switch.name}: new datapath")
        before = far.tx_pkts()
        process.wait_for(lambda: far.tx_pkts() > before, 60, f"{switch.name}: traffic again")
        time.sleep(0.3)
    gap = far.tx()["longest_gap_tsc"] / far.tsc_hz
    return {"value": 1000 * gap, "unit": "ms", "cycles": None, "megaflows": None,
            "gap_before_ms": before_ms, "lost_cpu": lost}


def memory(switch, scenario, flows, options):
    begin(switch, scenario, flows)
    switch.ports["p1"].open_gate(limit=0)
    time.sleep(options.warm_s)
    resident, huge = switch.memory()
    return {"value": (resident + huge) / 2**20, "unit": "MB", "resident_mb": resident / 2**20,
            "hugepages_mb": huge / 2**20, "cycles": None, "megaflows": switch.megaflows()}


def idle(switch, scenario, flows, options):
    """The busy port's speed beside many ports that have nothing to do."""
    return throughput(switch, scenario, flows, options)


def vhost(switch, scenario, flows, options):
    """Generator and sink on the other core, behind two vhost-user ports. Only windows with one
    distance between the cores before and after count; near and far are two machines."""
    window = vhost_window(switch, scenario, flows, options)
    return dict(window, value=window["pps"] / 1e6, unit="Mpps")


def vhost_bytes(switch, scenario, flows, options):
    """The same for long frames, in bits."""
    window = vhost_window(switch, scenario, flows, options)
    bits = 8 * scenario.options["frame_bytes"]
    return dict(window, value=window["pps"] * bits / 1e9, unit="Gbit/s")


def vhost_latency(switch, scenario, flows, options):
    """From when a packet was due at the sending guest until the receiving guest has it, at half of
    this switch's own speed. The generator's loop is in it, the same for every switch."""
    def slow_down(generator, full):
        generator.source.set_rate(full["pps"] / 2)
        time.sleep(0.5)
        return generator.sink.latency()

    window = vhost_window(switch, scenario, flows, options, slow_down)
    us = 1e6 / window.pop("tsc_hz")
    p50, p99, p999 = (shm.percentile_cycles(window["classes"], s) * us
                      for s in (0.5, 0.99, 0.999))
    del window["classes"]
    return dict(window, value=p50, unit="us", p50_us=p50, p99_us=p99, p999_us=p999, cycles=None)


def busy_cycles(before, after):
    """TSC cycles a packet between two of Switch.work(); None when there is nothing to say."""
    if not before or not after or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def vhost_window(switch, scenario, flows, options, then=None):
    """The middle one of the windows of the commoner distance, with the switch's own count of busy
    cycles a packet over all of them: throughput is bounded by the guests' core, too.
    then(generator, window) may change the load and returns latency counters, whose growth in one
    more window is "classes"."""
    generator = vhost_generator.Generator(switch.settings, scenario, flows)
    try:
        switch.start(scenario, flows, before=generator.start)
        generator.wait_connected()
        generator.prime(scenario)
        generator.source.open_gate(limit=0)
        time.sleep(options.warm_s)
        by_distance = {}
        work = switch.work()
        for _ in range(0 if then else 4 * options.windows):
            window = generator.window(switch, options.window_s)
            by_distance.setdefault(window["distance"], []).append(window)
        if then:
            full = generator.window(switch, options.window_s)
            before = then(generator, full)
            window = generator.window(switch, options.window_s * options.windows)
            window["classes"] = [a - b for a, b in zip(generator.sink.latency(), before)]
            by_distance = {window["distance"]: [dict(window, full_pps=full["pps"],
                                                     tsc_hz=generator.sink.tsc_hz)]}
        busy = busy_cycles(work, switch.work())
    finally:
        generator.stop()
    distance = max(by_distance, key=lambda d: (d != "mixed", len(by_distance[d])))
    windows = sorted(by_distance[distance], key=lambda w: w["pps"])
    window = windows[len(windows) // 2]
    if window["pps"] == 0:
        switch.check_alive()
        raise Failed(f"{switch.name}: forwarded nothing")
    return dict(window, windows={d: [w["pps"] for w in ws] for d, ws in by_distance.items()},
                cycles=busy, megaflows=switch.megaflows())


# Sent by the host's interface, so that a learning bridge knows where its address is.
SEND_ONE = ("import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('h1', 0));"
            f"s.send(bytes.fromhex('ffffffffffff{switches.HOST_MAC.replace(':', '')}88b5') + bytes(46))")


def host_received(switch, name):
    """(packets, bytes) that an interface of the host has got from the switch."""
    with open(f"/proc/{switch.datapath_pid()}/net/dev") as f:
        for line in f:
            if line.strip().startswith(name + ":"):
                numbers = line.split(":")[1].split()
                return int(numbers[1]), int(numbers[0])
    raise Failed(f"{switch.name}: {name}: no such interface")


def vhost_host(switch, scenario, flows, options):
    """From a guest to the host's stack, which has no address for it and drops it at once. The
    stack's receiving is in it, on the poll core, the same for every switch."""
    generator = vhost_generator.Generator(switch.settings, scenario, flows)
    try:
        switch.start(scenario, flows, before=generator.start)
        generator.wait_connected()
        switch.in_host("ip", "link", "set", "h1", "up")
        switch.in_host(sys.executable, "-c", SEND_ONE)
        time.sleep(0.4)
        generator.source.open_gate(limit=0)
        time.sleep(options.warm_s)
        windows = []
        for _ in range(options.windows):
            w = Window(switch)
            pkts0, bytes0 = host_received(switch, "h1")
            time.sleep(options.window_s)
            pkts1, bytes1 = host_received(switch, "h1")
            window = w.end(())
            ran = window["wall_s"] * (1 - window["lost_cpu"])
            windows.append(dict(window, pps=(pkts1 - pkts0) / ran, bps=8 * (bytes1 - bytes0) / ran))
    finally:
        generator.stop()
    window = sorted(windows, key=lambda w: w["pps"])[len(windows) // 2]
    if window["pps"] < 1000:
        raise Failed(f"{switch.name}: the host got nothing")
    return dict(window, value=window["pps"] / 1e6, unit="Mpps", windows=[w["pps"] for w in windows],
                cycles=generator.source.tsc_hz / window["pps"], megaflows=switch.megaflows())


def vhost_host_bytes(switch, scenario, flows, options):
    window = vhost_host(switch, scenario, flows, options)
    return dict(window, value=window["bps"] / 1e9, unit="Gbit/s")


KINDS = {"vhost-host": vhost_host, "vhost-host-bytes": vhost_host_bytes,
         "vhost": vhost, "vhost-bytes": vhost_bytes, "vhost-latency": vhost_latency,
         "throughput": throughput, "attack": attack, "setup": setup,
         "latency": latency, "startup": startup, "outage": outage, "memory": memory, "idle": idle}


def run(switch, scenario, flows, options):
    """One measurement; the switch is stopped afterwards whatever happens."""
    try:
        result = KINDS[scenario.kind](switch, scenario, flows, options)
        switch.check_alive()
        return dict(result, details=switch.details())
    finally:
        switch.stop()
