# SPDX-License-Identifier: BSD-3-Clause
"""VLAN sub-interfaces for kernels without 8021q, run inside a namespace: a tap per sub-interface, whose frames
leave by eth0 with the tags in front, and the reverse.

    vlan_shim.py eth0.10=8100:10 eth0.100.5=88a8:100,8100:5 …
"""
import fcntl
import os
import select
import socket
import struct
import sys


class PacketSocket:
    """A raw socket on eth0 whose received frames have the tags that the kernel takes off put back."""

    def __init__(self):
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.s.bind(("eth0", 3))
        self.s.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA

    def receive(self):
        """The frame; None for one that this side has sent."""
        data, extra, _, address = self.s.recvmsg(70000, 200)
        if address[2] == socket.PACKET_OUTGOING:
            return None
        for _, _, aux in extra:
            status, _, _, _, _, tci, tpid = struct.unpack("<IIIHHHH", aux[:20])
            if status & 0x10:
                data = data[:12] + struct.pack("!HH", tpid if status & 0x40 else 0x8100, tci) + data[12:]
        return data


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
    return fd


def main():
    wire, taps = PacketSocket(), {}
    for word in sys.argv[1:]:
        name, tags = word.split("=")
        head = b"".join(struct.pack("!HH", int(t.split(":")[0], 16), int(t.split(":")[1])) for t in tags.split(","))
        taps[head] = open_tap(name)
    print("ready", flush=True)
    while True:
        for fd in select.select([wire.s, *taps.values()], [], [])[0]:
            if fd is wire.s:
                data = wire.receive()
                # the longest match, for eth0.100 and eth0.100.5
                for head in sorted(taps, key=len, reverse=True) if data else ():
                    if data[12:12 + len(head)] == head:
                        os.write(taps[head], data[:12] + data[12 + len(head):])
                        break
            else:
                data = os.read(fd, 70000)
                head = next(h for h, f in taps.items() if f == fd)
                try:
                    wire.s.send(data[:12] + head + data[12:])
                except OSError:
                    pass  # eth0 is down


if __name__ == "__main__":
    main()
