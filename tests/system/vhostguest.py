# SPDX-License-Identifier: BSD-3-Clause
"""A guest's end of vhost-user in Python: speaks the protocol as a hypervisor does and drives split
rings as a driver does, or as none ever should.

    g = Guest("/tmp/x.sock")          # listens; the switch connects (dpdkvhostuserclient)
    g.accept(); g.start()
    g.send(frame); g.receive() -> (header, frame)
"""
import ctypes
import mmap
import os
import socket
import struct
import time

(GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR,
 SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES,
 SET_PROTOCOL_FEATURES, SET_VRING_ENABLE, SEND_RARP) = (
     1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 15, 16, 18, 19)
F_CSUM, F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_TSO6, F_HOST_TSO4, F_HOST_TSO6, F_MRG, F_MQ = (
    1 << b for b in (0, 1, 7, 8, 11, 12, 15, 22))
F_INDIRECT, F_EVENT_IDX, F_PROTOCOL, F_VERSION_1 = (1 << b for b in (28, 29, 30, 32))
OFFLOADS = F_CSUM | F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_HOST_TSO4 | F_HOST_TSO6
NEXT, WRITE, INDIRECT = 1, 2, 4
GPA, UVA = 0x100000, 0x7F0000000000  # guest-physical and hypervisor addresses of the memory
HDR = struct.Struct("<BBHHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, n


def store16(memory, at, value):
    with memoryview(memory) as whole, whole[at:at + 2] as two, two.cast("H") as word:
        word[0] = value


class Ring:
    """One virtqueue of `size` in guest memory at `base`; buffers behind it. Indices are written
    by one store (store16): struct.pack_into() clears the bytes first, and a switch that looks just then
    sees an impossible index and closes the port."""

    def __init__(self, guest, index, size, base):
        self.g, self.index, self.size, self.base = guest, index, size, base
        self.desc = base
        self.avail = base + 16 * size
        self.used = (self.avail + 6 + 2 * size + 63) // 64 * 64
        self.data = (self.used + 6 + 8 * size + 4095) // 4096 * 4096
        self.avail_idx = self.used_idx = 0
        guest.mem[base:self.data] = bytes(self.data - base)
        self.kick = os.eventfd(0, os.EFD_NONBLOCK)
        self.call = os.eventfd(0, os.EFD_NONBLOCK)

    def set_desc(self, i, addr, length, flags=0, nxt=0):
        struct.pack_into("<QIHH", self.g.mem, self.desc + 16 * i, addr & (2**64 - 1), length, flags,
                         nxt)

    def make_available(self, *heads):
        for h in heads:
            struct.pack_into("<H", self.g.mem, self.avail + 4 + 2 * (self.avail_idx % self.size), h)
            self.avail_idx = (self.avail_idx + 1) & 0xFFFF
        store16(self.g.mem, self.avail + 2, self.avail_idx)
        os.eventfd_write(self.kick, 1)

    def used_now(self):
        return struct.unpack_from("@H", self.g.mem, self.used + 2)[0]

    def take_used(self):
        """(id, length) of the next used entry, or None."""
        if self.used_now() == self.used_idx:
            return None
        e = struct.unpack_from("<II", self.g.mem, self.used + 4 + 8 * (self.used_idx % self.size))
        self.used_idx = (self.used_idx + 1) & 0xFFFF
        return e

    def buffer(self, i, room=2048):
        return self.data + i * room

    def close(self):
        os.close(self.kick)
        os.close(self.call)


class Guest:
    def __init__(self, path, server=True, bytes_=16 << 20):
        self.path, self.server, self.bytes = path, server, bytes_
        self.conn = self.listener = None
        self.rings = []
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, bytes_)
        self.mem = mmap.mmap(self.fd, bytes_)
        if server:
            if os.path.exists(path):
                os.unlink(path)
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen(4)

    def accept(self, seconds=5):
        if self.server:
            self.listener.settimeout(seconds)
            self.conn, _ = self.listener.accept()
        else:
            self.conn = socket.socket(socket.AF_UNIX)
            self.conn.connect(self.path)
        self.conn.settimeout(5)

    def message(self, request, payload=b"", fds=(), reply=False):
        data = struct.pack("<III", request, 1, len(payload)) + payload
        if fds:
            socket.send_fds(self.conn, [data], list(fds))
        else:
            self.conn.sendall(data)
        if not reply:
            return None
        _, _, n = struct.unpack("<III", self.conn.recv(12, socket.MSG_WAITALL))
        return self.conn.recv(n, socket.MSG_WAITALL)

    def negotiate(self, features):
        self.message(SET_OWNER)
        offered, = struct.unpack("<Q", self.message(GET_FEATURES, reply=True))
        self.offered = offered
        protocol, = struct.unpack("<Q", self.message(GET_PROTOCOL_FEATURES, reply=True))
        self.message(SET_PROTOCOL_FEATURES, struct.pack("<Q", protocol & 0x7))  # MQ, LOG, RARP
        self.features = features & offered | F_PROTOCOL
        self.message(SET_FEATURES, struct.pack("<Q", self.features))

    def share_memory(self):
        self.message(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, GPA, self.bytes, UVA, 0),
                     fds=[self.fd])

    def start_ring(self, r, addresses=None):
        desc, avail, used = addresses or (r.desc, r.avail, r.used)
        self.message(SET_VRING_NUM, struct.pack("<II", r.index, r.size))
        self.message(SET_VRING_BASE, struct.pack("<II", r.index, r.avail_idx))
        self.message(SET_VRING_ADDR, struct.pack("<IIQQQQ", r.index, 0, UVA + desc, UVA + used,
                                                 UVA + avail, 0))
        self.message(SET_VRING_KICK, struct.pack("<Q", r.index), fds=[r.kick])
        self.message(SET_VRING_CALL, struct.pack("<Q", r.index), fds=[r.call])

    def enable(self, index, on=True):
        self.message(SET_VRING_ENABLE, struct.pack("<II", index, int(on)))

    def start(self, features=F_MRG | F_VERSION_1 | F_INDIRECT | F_MQ | OFFLOADS, pairs=1, size=256,
              rx_buffers=None):
        self.negotiate(features)
        self.share_memory()
        self.hdr_bytes = 12 if features & (F_MRG | F_VERSION_1) else 10
        step = self.bytes // (2 * pairs) // 4096 * 4096
        self.rings = [Ring(self, i, size, i * step) for i in range(2 * pairs)]
        for r in self.rings:
            self.start_ring(r)
        for r in self.rings:
            self.enable(r.index)
        for pair in range(pairs):
            self.post_buffers(pair, size if rx_buffers is None else rx_buffers)

    def post_buffers(self, pair=0, n=None, room=2048):
        r = self.rings[2 * pair]
        for i in range(n):
            r.set_desc(i, GPA + r.buffer(i, room), room, WRITE)
        r.make_available(*range(n))

    def header(self, flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0):
        h = HDR.pack(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, 0)
        return h[:self.hdr_bytes]

    def send(self, frame, pair=0, header=None, pieces=None):
        """One chain: header and frame in one descriptor, or cut into `pieces` bytes each."""
        r = self.rings[2 * pair + 1]
        data = (header or self.header()) + frame
        at = r.data
        self.mem[at:at + len(data)] = data
        pieces = pieces or len(data)
        n = -(-len(data) // pieces)
        for i in range(n):
            r.set_desc(i, GPA + at + i * pieces, min(pieces, len(data) - i * pieces),
                       NEXT if i < n - 1 else 0, i + 1)
        before = r.used_now()
        r.make_available(0)
        self.wait(lambda: r.used_now() != before)
        r.take_used()

    def receive(self, pair=0, seconds=5):
        """(header bytes, frame), mergeable chains joined; the buffers go back."""
        r = self.rings[2 * pair]
        end = time.monotonic() + seconds
        while not (e := r.take_used()):
            if time.monotonic() > end:
                return None
            time.sleep(0.001)
        out, used = b"", [e]
        first = r.buffer(e[0])
        n, = struct.unpack_from("<H", self.mem, first + 10)
        for _ in range(max(n, 1) - 1 if self.hdr_bytes == 12 else 0):
            while not (e := r.take_used()):
                pass
            used.append(e)
        for i, length in used:
            out += self.mem[r.buffer(i):r.buffer(i) + length]
        r.make_available(*(i for i, _ in used))
        return out[:self.hdr_bytes], out[self.hdr_bytes:]

    @staticmethod
    def wait(condition, seconds=5):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the switch did not react"
            time.sleep(0.0005)

    def stop_ring(self, index):
        _, base = struct.unpack("<II", self.message(GET_VRING_BASE, struct.pack("<II", index, 0),
                                                    reply=True))
        return base

    def hang_up(self):
        if self.conn:
            self.conn.close()
            self.conn = None
        for r in self.rings:
            r.close()
        self.rings = []

    def close(self):
        self.hang_up()
        if self.listener:
            self.listener.close()
        try:
            self.mem.close()
        except BufferError:
            pass
        os.close(self.fd)
