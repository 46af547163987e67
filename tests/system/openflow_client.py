# SPDX-License-Identifier: BSD-3-Clause
"""A controller's end of <bridge>.mgmt that is faster than any switch: OpenFlow 1.4, messages made beforehand."""
import socket
import struct

VERSION = 5
HELLO, FLOW_MOD, MULTIPART, MULTIPART_REPLY, BARRIER, BARRIER_REPLY, BUNDLE, BUNDLE_ADD = 0, 14, 18, 19, 20, 21, 33, 34
OPEN, COMMIT = 0, 4
ATOMIC_ORDERED = 3
ERROR = 1


def message(kind, body=b"", xid=1):
    return struct.pack("!BBHI", VERSION, kind, 8 + len(body), xid) + body


def flow_mod(table, i, idle_s=0, hard_s=0):
    """tcp,nw_dst=10.x.y.z,tp_dst=N,actions=output:1: the i-th rule of a million different ones."""
    match = struct.pack("!HH IH IB IB3s IH", 1, 4 + 4 + 2 + 4 + 1 + 4 + 4 + 4 + 2, 0x80000A02, 0x0800, 0x80001401, 6,
                        0x80001804, 10, struct.pack("!I", i)[1:], 0x80001C02, 1024 + i % 50000)
    match += bytes(-len(match) % 8)
    body = struct.pack("!QQBBHHHIIIHH", 0, 0, table, 0, idle_s, hard_s, 100, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    return message(FLOW_MOD, body + match + struct.pack("!HH4xHHIH6x", 4, 24, 0, 16, 1, 0))


def bundle_control(number, kind):
    return message(BUNDLE, struct.pack("!IHH", number, kind, ATOMIC_ORDERED))


def in_bundle(number, one):
    return message(BUNDLE_ADD, struct.pack("!I2xH", number, ATOMIC_ORDERED) + one)


class Controller:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(300)
        self.s.connect(path)
        self.buffer = bytearray()
        self.send(message(HELLO, struct.pack("!HHI", 1, 8, 1 << VERSION)))
        self.until(HELLO)

    def send(self, data):
        self.s.sendall(data)

    def next(self):
        """(type, body) of the next message."""
        while len(self.buffer) < 8 or len(self.buffer) < struct.unpack_from("!H", self.buffer, 2)[0]:
            more = self.s.recv(1 << 18)
            if not more:
                raise ConnectionError("the switch hung up")
            self.buffer += more
        n = struct.unpack_from("!H", self.buffer, 2)[0]
        kind, body = self.buffer[1], bytes(self.buffer[8:n])
        del self.buffer[:n]
        if kind == ERROR:
            raise ValueError(f"error {struct.unpack_from('!HH', body)}")
        return kind, body

    def until(self, kind):
        while True:
            got, body = self.next()
            if got == kind:
                return body

    def barrier(self):
        self.send(message(BARRIER))
        self.until(BARRIER_REPLY)

    def dump(self, table):
        """How many rules the table has, by a dump of all of them."""
        request = struct.pack("!HHI B3x II4x QQ HH4x", 1, 0, 0, table, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 1, 4)
        self.send(message(MULTIPART, request))
        rules = 0
        while True:
            body = self.until(MULTIPART_REPLY)
            if len(body) > 8:  # rules of one kind: entries of one length
                rules += (len(body) - 8) // struct.unpack_from("!H", body, 8)[0]
            if not struct.unpack_from("!H", body, 2)[0] & 1:
                return rules

    def close(self):
        self.s.close()
