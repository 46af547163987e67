# SPDX-License-Identifier: BSD-3-Clause
"""The real libvirt: its daemon starts a guest with one tap and one vhost-user NIC on a Sluice bridge, plugs another in
and takes everything away again, by itself, with nothing of Sluice's in its configuration but OVS_RUNDIR."""
import os
import re
import shutil
import subprocess
import tempfile

import pytest

import guest
from control_process import Switch
from datapath_process import wait_until

# libvirt's directories are its own; /etc/passwd needs the user its packages would have made.
PRIVATE = """
for d in /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt; do mkdir -p $d; mount -t tmpfs none $d; done
mkdir -p /var/log/libvirt/qemu /var/lib/libvirt/qemu
for f in passwd group; do cp /etc/$f "$1/$f"; mount --bind "$1/$f" /etc/$f; done
echo 'libvirt-qemu:x:64055:64055::/:/bin/false' >>/etc/passwd
echo 'libvirt-qemu:x:64055:' >>/etc/group; echo 'libvirt:x:64056:' >>/etc/group
printf 'user = "root"\\ngroup = "root"\\nsecurity_driver = "none"\\nstdio_handler = "file"\\n' >/etc/libvirt/qemu.conf
exec libvirtd -f "$1/libvirtd.conf" -p "$1/libvirtd.pid"
"""

# Without KVM, QEMU 7.2 crashes on vhost-user with MSI-X: hence no vectors.
DOMAIN = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name><memory unit='MiB'>192</memory><vcpu>1</vcpu>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet panic=1 no_timer_check guest.addr=10.78.0.2/24,10.79.0.2/24</cmdline></os>
  <cpu mode='maximum'><numa><cell id='0' cpus='0' memory='192' unit='MiB' memAccess='shared'/></numa></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><virtualport type='openvswitch'/>
      <vlan><tag id='10'/></vlan><model type='virtio'/><driver name='qemu'/></interface>
    <interface type='vhostuser'><mac address='52:54:00:00:00:02'/>
      <source type='unix' path='{dir}/vhu.sock' mode='server'/><model type='virtio'/><alias name='ua-vhu'/></interface>
    <serial type='file'><source path='{dir}/console.log'/></serial>
  </devices>
  <qemu:override><qemu:device alias='ua-vhu'><qemu:frontend>
    <qemu:property name='vectors' type='unsigned' value='0'/></qemu:frontend></qemu:device></qemu:override>
</domain>"""

MORE = """
<interface type='bridge'><mac address='52:54:00:00:00:03'/><source bridge='br1'/>
  <virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f' profileid='p1'/></virtualport>
  <vlan trunk='yes'><tag id='42'/><tag id='123' nativeMode='untagged'/></vlan><model type='virtio'/></interface>"""


class Libvirt:
    def __init__(self, rundir):
        self.dir = tempfile.mkdtemp(prefix="sluice-libvirt-")
        with open(f"{self.dir}/libvirtd.conf", "w") as f:
            f.write(f'unix_sock_dir = "{self.dir}"\nauth_unix_rw = "none"\nlog_outputs = "2:file:{self.dir}/libvirtd.log"\n')
        self.process = subprocess.Popen(["unshare", "-m", "sh", "-c", PRIVATE, "sh", self.dir],
                                        env=dict(os.environ, OVS_RUNDIR=rundir))
        wait_until(lambda: os.path.exists(f"{self.dir}/libvirt-sock") or self.process.poll() is not None, 30)

    def virsh(self, *args):
        r = subprocess.run(["virsh", "-c", f"qemu:///system?socket={self.dir}/libvirt-sock", *args], capture_output=True,
                           text=True, timeout=60)
        assert r.returncode == 0, r.stdout + r.stderr + self.log()
        return r.stdout

    def log(self):
        path = f"{self.dir}/libvirtd.log"
        return open(path).read()[-3000:] if os.path.exists(path) else "no log"

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w") as f:
            f.write(text)
        return f.name

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture
def libvirt():
    with Switch() as sw:
        lv = Libvirt(sw.dir)
        try:
            yield sw, lv
        finally:
            subprocess.run(["virsh", "-c", f"qemu:///system?socket={lv.dir}/libvirt-sock", "destroy", f"sl{os.getpid()}"],
                           capture_output=True)
            lv.close()


def test_libvirt_runs_a_guest_on_the_switch(libvirt):
    sw, lv = libvirt
    name, host = f"sl{os.getpid()}", f"lvh{os.getpid() % 100000}"
    kernel, initrd = guest.image()
    sw.vsctl("add-br", "br0", "--", "add-br", "br1")
    sw.vsctl("add-port", "br0", "vhu", "tag=20", "--", "set", "Interface", "vhu", "type=dpdkvhostuserclient",
             f"options:vhost-server-path={lv.dir}/vhu.sock")
    for vlan, port, address in ((10, host, "10.78.0.1/24"), (20, host + "b", "10.79.0.1/24")):
        sw.vsctl("add-port", "br0", port, f"tag={vlan}", "--", "set", "Interface", port, "type=internal")
        subprocess.run(f"ip addr add {address} dev {port}; ip link set {port} up", shell=True, check=True)

    for f, at in ((kernel, "vmlinuz"), (initrd, "initrd.gz")):
        shutil.copy(f, f"{lv.dir}/{at}")
    lv.virsh("create", lv.write("domain.xml", DOMAIN.format(name=name, dir=lv.dir, kernel=f"{lv.dir}/vmlinuz",
                                                           initrd=f"{lv.dir}/initrd.gz")))
    tap = re.search(r"^ *(vnet\d+) ", lv.virsh("domiflist", name), re.M)[1]
    assert sw.vsctl("list-ports", "br0").split() == sorted([host, host + "b", "vhu", tap])
    assert sw.vsctl("get", "Port", tap, "tag").strip() == "10"
    ids = sw.vsctl("get", "Interface", tap, "external_ids")
    assert 'attached-mac="52:54:00:00:00:01"' in ids and "iface-status=active" in ids
    wait_until(lambda: int(sw.vsctl("get", "Interface", tap, "ofport").strip()) > 0)

    wait_until(lambda: "GUEST-READY" in open(f"{lv.dir}/console.log", errors="replace").read(), 60)
    wait_until(lambda: sw.vsctl("get", "Interface", "vhu", "link_state").strip() == "up", 20)
    for address in ("10.78.0.2", "10.79.0.2"):  # the tap's and the vhost-user NIC's
        subprocess.run(["ping", "-c", "3", "-i", "0.2", "-W", "5", address], check=True, capture_output=True)

    def counted():  # the database has new figures every 5 s
        n = dict(re.findall(r"^vhu (\w+) (\d+)$", lv.virsh("domifstat", name, "vhu"), re.M))
        return int(n["rx_packets"]) >= 3 and int(n["tx_packets"]) >= 3

    wait_until(counted, 15)
    lv.virsh("domif-setlink", name, tap, "down")
    lv.virsh("domif-setlink", name, tap, "up")

    lv.virsh("attach-device", name, lv.write("more.xml", MORE))
    assert len(re.findall("vnet", lv.virsh("domiflist", name))) == 2
    port = sw.vsctl("list-ports", "br1").strip()
    assert port.startswith("vnet") and port != tap
    assert [sw.vsctl("get", "Port", port, c).strip() for c in ("tag", "trunks", "vlan_mode")] == [
        "123", "[42, 123]", "native-untagged"]
    assert 'iface-id="09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"' in sw.vsctl("get", "Interface", port, "external_ids")

    lv.virsh("destroy", name)
    wait_until(lambda: sw.vsctl("list-ports", "br0").split() == sorted([host, host + "b", "vhu"]), 10)
    wait_until(lambda: sw.vsctl("list-ports", "br1").strip() == "", 10)
    wait_until(lambda: sw.vsctl("get", "Interface", "vhu", "link_state").strip() == "down", 10)
