# SPDX-License-Identifier: BSD-3-Clause
"""Reads and steers a net_bench port through its file in /dev/shm.

The layout is perf/vdev/bench_shm.h's. Counters go on over restarts of the switch: take
differences. A file may not exist yet while the switch is starting: `Port(name, wait_s)` waits.
"""
import mmap
import os
import struct
import time

MAGIC = 0x31484342454C5321
VERSION = 1
QUEUES = 16
MARKS = 8
LATENCY_CLASSES = 640
CONTROL_AT = 128
RX_AT = 4096
RX_BYTES = 128
TX_AT = RX_AT + QUEUES * RX_BYTES
TX_BYTES = 8192
FILE_BYTES = TX_AT + QUEUES * TX_BYTES
LATENCY_AT = 32 * 8  # inside a tx block

RX_FIELDS = ("pkts", "bytes", "attack_pkts", "missed_pkts", "no_mbuf_pkts", "polls", "first_tsc",
             "last_tsc")
TX_FIELDS = ("pkts", "bytes", "refused_pkts", "late_pkts", "missing_pkts", "stamped_pkts",
             "first_tsc", "last_tsc", "longest_gap_tsc")


def latency_class_cycles(i):
    """Middle of latency class i [TSC cycles]; the inverse of bench_latency_class()."""
    if i < 32:
        return float(i)
    e = i // 16 + 3
    low = (16 + i % 16) << (e - 4)
    return low + (1 << (e - 4)) / 2


def percentile_cycles(classes, share):
    """The latency below which `share` of the packets stayed; None without packets."""
    total = sum(classes)
    if not total:
        return None
    need, seen = total * share, 0
    for i, n in enumerate(classes):
        seen += n
        if seen >= need and n:
            return latency_class_cycles(i)
    return latency_class_cycles(len(classes) - 1)


class NotReady(Exception):
    """The file is not there, or its device has not written its head yet."""


class Port:
    """One net_bench port. All counters are sums over queues unless a queue is named."""

    def __init__(self, name, wait_s=0.0):
        self.path = os.path.join("/dev/shm", name)
        end = time.monotonic() + wait_s
        while True:
            try:
                self._open()
                return
            except NotReady:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.002)

    def _open(self):
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as e:
            raise NotReady(self.path) from e
        try:
            if os.fstat(fd).st_size < FILE_BYTES:
                raise NotReady(f"{self.path}: short")
            self.map = mmap.mmap(fd, FILE_BYTES)
        finally:
            os.close(fd)
        if self._u64(0) != MAGIC:
            self.map.close()
            raise NotReady(f"{self.path}: not initialised")
        if self._u32(8) != VERSION:
            raise RuntimeError(f"{self.path}: layout {self._u32(8)}, this program knows {VERSION}")

    def close(self):
        self.map.close()

    def _u32(self, at):
        return struct.unpack_from("<I", self.map, at)[0]

    def _u64(self, at):
        return struct.unpack_from("<Q", self.map, at)[0]

    # ---- the device ------------------------------------------------------------------------

    @property
    def pid(self):
        return self._u64(16)

    @property
    def starts(self):
        return self._u64(24)

    @property
    def tsc_hz(self):
        return self._u64(32)

    @property
    def rx_queues(self):
        return self._u32(40)

    @property
    def opened_tsc(self):
        return self._u64(48)

    # ---- control: takes effect with the next burst ---------------------------------------------

    def open_gate(self, limit=None):
        """Opens a new run, of `limit` packets per rx queue when given (0 = no end)."""
        if limit is not None:
            struct.pack_into("<Q", self.map, CONTROL_AT + 16, limit)
        run = self._u32(CONTROL_AT)
        last = getattr(self, "_last_run", 0)
        self._last_run = max(run, last) % 0xFFFFFFFF + 1
        struct.pack_into("<I", self.map, CONTROL_AT, self._last_run)

    def close_gate(self):
        self._last_run = max(self._u32(CONTROL_AT), getattr(self, "_last_run", 0))
        struct.pack_into("<I", self.map, CONTROL_AT, 0)

    def set_attack_every(self, n):
        struct.pack_into("<I", self.map, CONTROL_AT + 4, n)

    def set_rate(self, pps):
        struct.pack_into("<Q", self.map, CONTROL_AT + 8, int(pps))

    def set_sink_rate(self, pps):
        struct.pack_into("<Q", self.map, CONTROL_AT + 24, int(pps))

    # ---- counters ---------------------------------------------------------------------------------

    def rx(self, queue=None):
        return self._sum(RX_AT, RX_BYTES, RX_FIELDS, queue)

    def tx(self, queue=None):
        return self._sum(TX_AT, TX_BYTES, TX_FIELDS, queue)

    def _sum(self, base, size, fields, queue):
        out = dict.fromkeys(fields, 0)
        for q in range(QUEUES) if queue is None else (queue,):
            values = struct.unpack_from(f"<{len(fields)}Q", self.map, base + q * size)
            for name, value in zip(fields, values):
                if name == "first_tsc":
                    if value and (not out[name] or value < out[name]):
                        out[name] = value
                elif name in ("last_tsc", "longest_gap_tsc"):
                    out[name] = max(out[name], value)
                else:
                    out[name] += value
        return out

    def tx_pkts(self):
        """Only the packets sent: cheap enough to poll."""
        return sum(self._u64(TX_AT + q * TX_BYTES) for q in range(QUEUES))

    def tx_marks(self):
        """Packets sent, by mark."""
        marks = [0] * MARKS
        for q in range(QUEUES):
            values = struct.unpack_from(f"<{MARKS}Q", self.map, TX_AT + q * TX_BYTES + 128)
            marks = [a + b for a, b in zip(marks, values)]
        return marks

    def latency(self):
        classes = [0] * LATENCY_CLASSES
        for q in range(QUEUES):
            values = struct.unpack_from(f"<{LATENCY_CLASSES}Q", self.map,
                                        TX_AT + q * TX_BYTES + LATENCY_AT)
            classes = [a + b for a, b in zip(classes, values)]
        return classes

    def clear_longest_gap(self):
        for q in range(QUEUES):
            struct.pack_into("<Q", self.map, TX_AT + q * TX_BYTES + 64, 0)


def remove(name):
    """Forgets a port's counters and control: the next device of this name starts afresh."""
    try:
        os.unlink(os.path.join("/dev/shm", name))
    except FileNotFoundError:
        pass
