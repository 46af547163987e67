# SPDX-License-Identifier: BSD-3-Clause
"""Messages that are wrong in one byte: Sluice and Open vSwitch accept the same ones and name the same error. Every byte
of some messages in turn becomes 0, 255 or another one; all of a message's variants go in one write, answers are told apart
by transaction id. Where a message is wrong in several ways, or Open vSwitch accepts what the specification does not know,
the difference is listed in EXPLAINED."""
import socket
import struct

import pytest

from openflow_pair import ofctl, pair  # noqa: F401

ERROR, ECHO = 1, 2
FLOW_MOD, GROUP_MOD, METER_MOD, MULTIPART, PACKET_OUT = 14, 15, 29, 18, 13
NO_BUFFER = ANY = 0xFFFFFFFF

# (Sluice, Open vSwitch): (type, code) of the error, or None
NX = 65535  # experimenter error
EXPLAINED = {
    # a set-field of an unknown field is a bad type, one of a wrong length a bad length; Open vSwitch has it the other way round
    ((2, 13), (2, 14)), ((2, 14), (2, 13)), ((2, 1), (2, 14)), ((2, 1), (2, 13)), ((NX, 4250), (2, 14)),
    # a mask on a field that takes none
    ((4, 6), (4, 5)),
    # numbers of meters end where the features say; unknown flags and a rate of 0 are refused before the meter is looked for
    ((12, 2), None), ((12, 5), (12, 1)), ((12, 6), (12, 1)),
    # Nicira's action 255 is for Open vSwitch's own tests
    ((2, 3), (2, 1)), ((2, 3), None),
    # the goto to table 255
    ((3, 2), None),
    # several things are wrong, and another one is named
    ((2, 3), (5, 6)), ((NX, 4), (2, 5)), ((45250, 0), (2, 5)), ((3, 0), (45250, 0)), ((3, 0), (3, 7)),
}


def padded(data):
    return data + bytes(-len(data) % 8)


def oxm(*fields):
    """(header, value in hex) … as a whole match."""
    data = b"".join(struct.pack("!I", h) + bytes.fromhex(v) for h, v in fields)
    return padded(struct.pack("!HH", 1, 4 + len(data)) + data)


IN_PORT, ETH_TYPE, IP_PROTO, TCP_DST, IP_SRC_M = 0x80000004, 0x80000A02, 0x80001401, 0x80001C02, 0x80001708
MATCH = oxm((IN_PORT, "00000001"), (ETH_TYPE, "0800"), (IP_PROTO, "06"), (IP_SRC_M, "0a000000ff000000"), (TCP_DST, "0050"))


def output(port):
    return struct.pack("!HHIH6x", 0, 16, port, 0xFFFF)


def set_field(header, value):
    data = struct.pack("!I", header) + bytes.fromhex(value)
    data = padded(bytes(4) + data)[4:]
    return struct.pack("!HH", 25, 4 + len(data)) + data


def instruction(kind, actions):
    return struct.pack("!HH4x", kind, 8 + len(actions)) + actions


def flow_mod(match, instructions, command=0):
    return struct.pack("!QQBBHHHIIIHH", 5, 0, 1, command, 0, 0, 9, NO_BUFFER, ANY, ANY, 1, 0) + match + instructions


def nx(subtype, body):
    return padded(struct.pack("!HHIH", 0xFFFF, len(padded(bytes(10) + body)), 0x2320, subtype) + body)


ACTIONS = set_field(0x80000606, "0200000000aa") + set_field(TCP_DST, "1f90") + struct.pack("!HHI", 22, 8, 5) + output(2)
NICIRA = nx(14, struct.pack("!HB3x", 0xFFF8, 3)) + nx(7, struct.pack("!HIQ", 31, 0x00010004, 7)) + nx(6, struct.pack(
    "!HHHII", 16, 0, 0, 0x00010004, 0x00010204))
GOTO, METADATA = struct.pack("!HHB3x", 1, 8, 4), struct.pack("!HH4xQQ", 2, 24, 1, 0xFF)
BUCKET = struct.pack("!HHII4x", 32, 0, ANY, ANY) + output(1)
METER = struct.pack("!HHI", 0, 1, 7) + struct.pack("!HHIII", 1, 16, 100, 0, 0)
MESSAGES = {
    4: [(FLOW_MOD, flow_mod(MATCH, instruction(4, ACTIONS) + GOTO)),
        (FLOW_MOD, flow_mod(MATCH, METADATA + instruction(3, output(1)))),
        (FLOW_MOD, flow_mod(MATCH, instruction(4, NICIRA), command=3)),
        (GROUP_MOD, struct.pack("!HBxI", 0, 0, 9) + BUCKET),
        (GROUP_MOD, struct.pack("!HBxI", 1, 2, 9) + BUCKET),
        (METER_MOD, METER),
        (PACKET_OUT, struct.pack("!IIH6x", NO_BUFFER, 1, 16) + output(2) + bytes(20)),
        (MULTIPART, struct.pack("!HH4xB3xII4xQQ", 1, 0, 255, ANY, ANY, 0, 0) + MATCH)],
}
MESSAGES[6] = [m for m in MESSAGES[4] if m[0] in (FLOW_MOD, METER_MOD, MULTIPART)]
MESSAGES[1] = [(FLOW_MOD, struct.pack("!IH6s6sHBxHBB2xIIHH", 0x3820E0 & ~0x10, 1, bytes(6), bytes(6), 0, 0, 0x0800, 0, 6, 0, 0, 0, 0)
                + struct.pack("!QHHHHIHH", 5, 0, 0, 0, 9, NO_BUFFER, 0xFFFF, 1) + struct.pack("!HHHH", 0, 8, 2, 0) + NICIRA),
               (PACKET_OUT, struct.pack("!IHH", NO_BUFFER, 1, 8) + struct.pack("!HHHH", 0, 8, 2, 0) + bytes(20))]


def variants(body):
    yield body
    for i, byte in enumerate(body):
        for other in {0, 255, byte ^ 1, (byte + 8) & 255} - {byte}:
            yield body[:i] + bytes([other]) + body[i + 1:]
    for n in range(0, len(body), 3):  # and cut short
        yield body[:n]


class Peer:
    def __init__(self, path, version):
        self.version = version
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(path)
        self.data = b""
        self.s.sendall(struct.pack("!BBHIHHI", version, 0, 16, 1, 1, 8, 1 << version))
        assert self.take()[0] == 0

    def take(self):
        while len(self.data) < 8 or len(self.data) < struct.unpack_from("!H", self.data, 2)[0]:
            more = self.s.recv(1 << 18)
            assert more, "the switch hung up"
            self.data += more
        n = struct.unpack_from("!H", self.data, 2)[0]
        message, self.data = self.data[:n], self.data[n:]
        return message[1], struct.unpack_from("!I", message, 4)[0], message[8:]

    def errors(self, kind, bodies):
        """{place: (type, code)} of those that were refused."""
        out = {}
        data = b"".join(struct.pack("!BBHI", self.version, kind, 8 + len(b), i) + b for i, b in enumerate(bodies))
        self.s.sendall(data + struct.pack("!BBHI", self.version, 18 if self.version == 1 else 20, 8, 0xFFFFFF) +
                       struct.pack("!BBHI", self.version, ECHO, 8, 0xFFFFFF))
        ends = 0
        while ends < 2:
            got, xid, body = self.take()
            ends += xid == 0xFFFFFF
            if got == ERROR:
                out.setdefault(xid, struct.unpack_from("!HH", body))
        return out


@pytest.mark.parametrize("version", sorted(MESSAGES))
def test_one_wrong_byte(pair, version):  # noqa: F811
    peers = [Peer(s.mgmt, version) for s in pair]
    different = []
    n_refused = 0
    for kind, body in MESSAGES[version]:
        bodies = list(variants(body))
        for s in pair:
            ofctl(s.mgmt, "OpenFlow13", "del-flows")
            ofctl(s.mgmt, "OpenFlow13", "del-groups")
            ofctl(s.mgmt, "OpenFlow13", "add-group", "group_id=5,type=all,bucket=output:3")
            ofctl(s.mgmt, "OpenFlow13", "del-meters")
        ours, theirs = [p.errors(kind, bodies) for p in peers]
        n_refused += len(theirs)
        different += [(ours.get(i), theirs.get(i), kind, b.hex()) for i, b in enumerate(bodies)
                      if ours.get(i) != theirs.get(i) and (ours.get(i), theirs.get(i)) not in EXPLAINED]
    assert n_refused > 100
    assert not different, "\n".join(f"ours {a} ovs {b}: {kind} {text}" for a, b, kind, text in different)
