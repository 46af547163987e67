# SPDX-License-Identifier: BSD-3-Clause
"""The api of sluice-datapath for tests: an independent encoder and decoder that takes its numbers
from the .def files (row order is the number on the wire), so that a change of order there shows up
as a failure of a recorded message and not as two sides that agree with each other.

    with Datapath(path, writer=True) as dp:
        dp.transaction([("bridge_set", dict(name="br0", open=1)),
                        ("port_set", dict(name="p1", type="dummy", bridge="br0"))])
        dp.dump("ports")
"""
import os
import re
import socket
import struct

API_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "datapath", "api")
HEADER = struct.Struct("=IHHII")
ATTR = struct.Struct("=HHI")
REPLY, ERROR, TYPE_MASK, CRITICAL = 0x8000, 0x4000, 0x3FFF, 0x8000
SCALARS = {"U8": "=B", "U16": "=H", "U32": "=I", "U64": "=Q"}
# Attributes of which an object may have several: always lists in decoded objects.
LISTS = {"op", "object", "option", "drop", "rxq", "bucket", "band", "rule", "frame", "output", "step",
         "part", "mask_why", "fragment_family", "datagram"}


def _rows(name, macro):
    rows = []
    with open(os.path.join(API_DIR, name)) as f:
        for line in f:
            m = re.match(macro + r'\((\w+), "(\w+)"(?:, (\w+))?', line)
            if m:
                rows.append(m.groups())
    return rows


MESSAGES = {row[1]: i for i, row in enumerate(_rows("messages.def", "MESSAGE"))}
OPS = {row[1]: i for i, row in enumerate(_rows("ops.def", "API_OP"))}
EVENTS = {row[1]: i for i, row in enumerate(_rows("events.def", "API_EVENT"))}
ATTRS = {row[1]: (i + 1, row[2]) for i, row in enumerate(_rows("attrs.def", "ATTR"))}
ATTR_BY_ID = {i: (name, kind) for name, (i, kind) in ATTRS.items()}


def encode_attr(name, value):
    ident, kind = ATTRS[name]
    if kind in SCALARS:
        data = struct.pack(SCALARS[kind], value)
    elif kind == "STR":
        data = value.encode() + b"\0"
    elif kind == "FLAG":
        if not value:
            return b""
        data = b""
    elif kind == "NEST":
        if isinstance(value, (list, tuple)):
            return b"".join(encode_attr(name, v) for v in value)
        data = encode_attrs(value)
    elif isinstance(value, str):  # BYTES: a MAC or hex
        data = bytes.fromhex(value.replace(":", ""))
    else:
        data = bytes(value)
    return ATTR.pack(ident, 0, len(data)) + data + bytes(-len(data) % 8)


def encode_attrs(attrs):
    return b"".join(encode_attr(k, v) for k, v in attrs.items() if v is not None)


def encode_message(kind, attrs=b"", seq=0, flags=0):
    body = attrs if isinstance(attrs, bytes) else encode_attrs(attrs)
    return HEADER.pack(HEADER.size + len(body), MESSAGES[kind] | flags, 0, seq, 0) + body


def encode_op(op, attrs):
    body = encode_attr("op_type", OPS[op]) + encode_attrs(attrs)
    return ATTR.pack(ATTRS["op"][0], 0, len(body)) + body


def decode_attrs(data):
    out, at = {}, 0
    while at < len(data):
        ident, _, length = ATTR.unpack_from(data, at)
        value = data[at + ATTR.size:at + ATTR.size + length]
        at += ATTR.size + length + (-length % 8)
        name, kind = ATTR_BY_ID.get(ident & ~CRITICAL, (None, None))
        if name is None:
            continue
        if kind in SCALARS:
            value = struct.unpack(SCALARS[kind], value)[0]
        elif kind == "STR":
            value = value[:-1].decode(errors="replace")
        elif kind == "FLAG":
            value = True
        elif kind == "NEST":
            value = decode_attrs(value)
        elif name in ("mac", "bridge_mac"):
            value = value.hex(":")
        if name in LISTS:
            out.setdefault(name, []).append(value)
        else:
            out[name] = value
    assert at == len(data)
    return out


class ApiError(Exception):
    def __init__(self, attrs):
        super().__init__(attrs.get("error", "?"))
        self.attrs = attrs
        self.code = attrs.get("error_code")
        self.op = attrs.get("error_op")


class Datapath:
    def __init__(self, path, writer=False, program="test", hello=True, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.seq = 0
        self.buf = b""
        self.events = []
        self.notes = []
        self.hello = None
        if hello:
            self.hello = self.call("hello", dict(
                api_version=1, program=program, pid=os.getpid(), writer=writer))
            self.writer = self.hello.get("writer", False)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send_raw(self, data):
        self.sock.sendall(data)

    def read_message(self):
        """(type name, flags, seq, attrs)"""
        while len(self.buf) < HEADER.size or len(self.buf) < HEADER.unpack_from(self.buf)[0]:
            data = self.sock.recv(1 << 20)
            if not data:
                raise ConnectionResetError("datapath closed the connection")
            self.buf += data
        length, kind, _, seq, _ = HEADER.unpack_from(self.buf)
        body, self.buf = self.buf[HEADER.size:length], self.buf[length:]
        return kind & TYPE_MASK, kind & ~TYPE_MASK, seq, decode_attrs(body)

    def replies(self, kind, attrs=b"", flags=0):
        """Yields the attributes of each message of the answer; ApiError when refused."""
        self.seq += 1
        self.send_raw(encode_message(kind, attrs, self.seq, flags))
        while True:
            got, got_flags, seq, body = self.read_message()
            if got == MESSAGES["event"] and not got_flags & REPLY:
                self.events.append(body)
                continue
            if not got_flags:  # of a capture
                self.notes.append((got, body))
                continue
            assert seq == self.seq and (got_flags & ERROR or got == MESSAGES[kind]), (got, seq)
            if got_flags & ERROR:
                raise ApiError(body)
            assert got_flags & REPLY
            yield body
            if not body.get("more"):
                return

    def call(self, kind, attrs=b""):
        out = None
        for out in self.replies(kind, attrs):
            pass
        return out

    def read_note(self, kind):
        """The next message of that kind that nobody asked for (captured, traced)."""
        if self.notes:
            got, body = self.notes.pop(0)
        else:
            got, flags, _, body = self.read_message()
            assert not flags
        assert got == MESSAGES[kind], got
        return body

    def dump(self, kind, **select):
        return [o for reply in self.replies(kind, select) for o in reply.get("object", [])]

    def transaction(self, ops, **attrs):
        body = encode_attrs(attrs) + b"".join(encode_op(op, a) for op, a in ops)
        return self.call("transaction", body)

    def frames_sent(self, port):
        """Takes the frames that a dummy port has sent."""
        return [f["packet"] for f in self.call("dummy_sent", dict(port=port)).get("frame", [])]

    def wait_event(self, kind, match=lambda e: True):
        """The next event of that kind that satisfies `match`; others are dropped."""
        while True:
            while self.events:
                e = self.events.pop(0)
                if e["event"] == EVENTS[kind] and match(e):
                    return e
            got, flags, _, body = self.read_message()
            assert got == MESSAGES["event"] and not flags, got
            self.events.append(body)
