# SPDX-License-Identifier: BSD-3-Clause
"""OVN as Debian ships it on one host: ovn-northd on two databases that ovsdb-lite serves, ovn-controller driving br-int of
sluiced, containers as logical ports. What its users do goes through: switching, routing, IPv6 neighbour discovery
answered by the controller, DHCP, access lists with and without state, load balancing, NAT to an outside network."""
import os
import shutil
import signal
import subprocess

import pytest

from control_process import Switch
from datapath_process import wait_until
from ovsdb_process import OVSDB_LITE, create_db

SCHEMAS = "/usr/share/ovn"


def sh(command, check=True, timeout=30):
    r = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=timeout)
    assert not check or r.returncode == 0, f"{command}: {r.stdout}{r.stderr}"
    return r.stdout


class Ovn:
    """Two logical switches behind a router; a and b on the first, c on the second."""

    def __init__(self, sw):
        self.sw, self.tag, self.spaces, self.daemons = sw, f"ov{os.getpid() % 100000}", [], []
        self.env = dict(sw.env, OVN_RUNDIR=sw.dir, OVN_LOGDIR=sw.dir)
        for name in ("nb", "sb"):
            create_db(f"{sw.dir}/{name}.db", f"{SCHEMAS}/ovn-{name}.ovsschema")
            self.env[f"OVN_{name.upper()}_DB"] = f"unix:{sw.dir}/{name}.sock"
            self.daemon(OVSDB_LITE, f"--remote=punix:{sw.dir}/{name}.sock", f"--unixctl={sw.dir}/{name}.ctl", f"{sw.dir}/{name}.db")
            wait_until(lambda: os.path.exists(f"{sw.dir}/{name}.sock"))
        self.daemon("ovn-northd", f"--ovnnb-db={self.env['OVN_NB_DB']}", f"--ovnsb-db={self.env['OVN_SB_DB']}",
                    f"--unixctl={sw.dir}/northd.ctl", f"--log-file={sw.dir}/northd.log", "-vconsole:off")
        sw.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "fail-mode=secure")
        sw.vsctl("set", "Open_vSwitch", ".", "external-ids:system-id=hv1", f"external-ids:ovn-remote={self.env['OVN_SB_DB']}",
                 "external-ids:ovn-encap-type=geneve", "external-ids:ovn-encap-ip=127.0.0.1",
                 "external-ids:ovn-bridge-mappings=outside:br-ex", "--", "add-br", "br-ex")
        self.daemon("ovn-controller", f"unix:{sw.dir}/db.sock", f"--log-file={sw.dir}/controller.log", "-vconsole:off")

    def daemon(self, program, *args):
        path = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") or program
        self.daemons.append(subprocess.Popen([path, *args], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def nbctl(self, *args):
        r = subprocess.run(["ovn-nbctl", "--timeout=30", *args], env=self.env, capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, r.stderr + self.log()
        return r.stdout.strip()

    def ofctl(self, *args):
        return self.sw.run("ovs-ofctl", *args).stdout

    def log(self):
        with open(f"{self.sw.dir}/controller.log") as f:
            return f.read()[-3000:]

    def space(self, name, bridge="br-int", mac=None, addresses=(), routes=()):
        """A container whose only adapter is a host port of the switch."""
        ns, dev = f"{self.tag}{name}", f"{self.tag}{name}"
        sh(f"ip netns add {ns}")
        self.spaces.append(ns)
        self.sw.vsctl("add-port", bridge, dev, "--", "set", "Interface", dev, "type=internal",
                      *([f"external-ids:iface-id={name}"] if bridge == "br-int" else []))
        sh(f"ip link set {dev} netns {ns}; ip -n {ns} link set lo up")
        if mac:
            sh(f"ip -n {ns} link set {dev} address {mac}")
        for a in addresses:
            sh(f"ip -n {ns} addr add {a} dev {dev} {'nodad' if ':' in a else ''}")
        sh(f"ip -n {ns} link set {dev} up")
        for r in routes:
            sh(f"ip -n {ns} route add default via {r}")

    def port(self, switch, name, mac, ip4, ip6):
        """A logical port that only its owner's addresses may use, and the container behind it."""
        self.nbctl("lsp-add", switch, name, "--", "lsp-set-addresses", name, f"{mac} {ip4} {ip6}",
                   "--", "lsp-set-port-security", name, f"{mac} {ip4} {ip6}")
        net = ip4.split(".")[2]
        self.space(name, mac=mac, addresses=(f"{ip4}/24", f"{ip6}/64"), routes=(f"10.9.{net}.1", f"fd0{net}::1"))

    def ping(self, name, address, tries=15):
        """One answer; OVN's controller may still be installing what an address needs."""
        for _ in range(tries):
            if "1 received" in sh(f"ip netns exec {self.tag}{name} ping -c 1 -W 1 {address}", check=False):
                return True
        return False

    def serve(self, name, port):
        p = subprocess.Popen(["ip", "netns", "exec", f"{self.tag}{name}", "/usr/bin/python3", "-m", "http.server", str(port)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.sw.dir)
        self.daemons.append(p)
        wait_until(lambda: f":{port}" in sh(f"ip netns exec {self.tag}{name} ss -ltn"), 20)

    def get(self, name, url):
        """curl's exit code: 0, 7 for refused, 28 for no answer."""
        return subprocess.run(["ip", "netns", "exec", f"{self.tag}{name}", "curl", "-s", "-o", "/dev/null", "-m", "4", url]).returncode

    def close(self):
        for p in reversed(self.daemons):
            p.send_signal(signal.SIGTERM)
        for p in self.daemons:
            p.wait(20)
        for ns in self.spaces:
            sh(f"ip netns del {ns}", check=False)


@pytest.fixture(scope="module")
def ovn():
    with Switch() as sw:
        o = Ovn(sw)
        try:
            o.nbctl("ls-add", "ls0", "--", "ls-add", "ls1", "--", "lr-add", "lr0")
            for n in (0, 1):
                o.nbctl("lrp-add", "lr0", f"lr0-ls{n}", f"00:00:00:00:ff:0{n}", f"10.9.{n}.1/24", f"fd0{n}::1/64", "--",
                        "lsp-add", f"ls{n}", f"ls{n}-lr0", "--", "lsp-set-type", f"ls{n}-lr0", "router", "--",
                        "lsp-set-addresses", f"ls{n}-lr0", "router", "--",
                        "lsp-set-options", f"ls{n}-lr0", f"router-port=lr0-ls{n}")
            o.port("ls0", "a", "50:54:00:00:00:01", "10.9.0.11", "fd00::11")
            o.port("ls0", "b", "50:54:00:00:00:02", "10.9.0.12", "fd00::12")
            o.port("ls1", "c", "50:54:00:00:00:03", "10.9.1.13", "fd01::13")
            o.nbctl("--wait=hv", "sync")
            yield o
        finally:
            o.close()


def test_switching_and_routing(ovn):
    for address in ("10.9.0.12", "10.9.0.1", "10.9.1.13"):
        assert ovn.ping("a", address), address
    for address in ("fd00::12", "fd00::1", "fd01::13"):  # who has it is answered by packet-in and packet-out
        assert ovn.ping("a", address), address
    rules = ovn.ofctl("dump-flows", "br-int")
    assert len(rules.splitlines()) > 400
    assert "ERR" not in ovn.log() and "error" not in ovn.log().lower(), ovn.log()


def test_a_port_keeps_to_its_addresses(ovn):
    sh(f"ip -n {ovn.tag}a addr add 10.9.0.99/24 dev {ovn.tag}a")
    sh(f"ip netns exec {ovn.tag}a ping -c 2 -W 1 -I 10.9.0.99 10.9.0.12", check=False)
    received = sh(f"ip netns exec {ovn.tag}b ip neigh show 10.9.0.99")
    sh(f"ip -n {ovn.tag}a addr del 10.9.0.99/24 dev {ovn.tag}a")
    assert "lladdr" not in received


def test_dhcp_from_the_controller(ovn):
    """The request is paused, answered by OVN, and goes on as the answer."""
    options = ovn.nbctl("create", "DHCP_Options", "cidr=10.9.0.0/24",
                        'options="server_id"="10.9.0.1" "server_mac"="00:00:00:00:ff:00" "lease_time"="3600" "router"="10.9.0.1"')
    ovn.nbctl("--wait=hv", "lsp-set-dhcpv4-options", "b", options)
    out = subprocess.run(["ip", "netns", "exec", f"{ovn.tag}b", "busybox", "udhcpc", "-i", f"{ovn.tag}b", "-f", "-q", "-n",
                          "-s", "/bin/true"], capture_output=True, text=True, timeout=30)
    assert "lease of 10.9.0.12 obtained" in out.stdout + out.stderr, out


def test_access_lists_with_state(ovn):
    ovn.serve("a", 80)
    ovn.serve("a", 81)
    ovn.nbctl("acl-add", "ls0", "to-lport", "1001", 'outport == "a" && ip4.src == 10.9.1.0/24 && tcp.dst == 80', "allow-related",
              "--", "acl-add", "ls0", "to-lport", "1000", 'outport == "a" && ip4 && tcp', "reject")
    ovn.nbctl("--wait=hv", "sync")
    assert ovn.get("c", "http://10.9.0.11/") == 0
    assert ovn.get("c", "http://10.9.0.11:81/") == 7, "refused by a reset that the controller makes"
    states = ovn.sw.appctl("dpctl/dump-conntrack")
    assert "dport=80" in states
    ovn.nbctl("--wait=hv", "acl-del", "ls0")
    assert ovn.get("c", "http://10.9.0.11:81/") == 0


def test_load_balancer(ovn):
    ovn.nbctl("lb-add", "lb0", "10.9.9.9:80", "10.9.0.11:80,10.9.0.11:81", "--", "ls-lb-add", "ls1", "lb0")
    ovn.nbctl("--wait=hv", "sync")
    for _ in range(6):
        assert ovn.get("c", "http://10.9.9.9/") == 0
    assert "type=select" in ovn.ofctl("-O", "OpenFlow15", "dump-groups", "br-int")


def test_nat_to_an_outside_network(ovn):
    ovn.space("out", bridge="br-ex", addresses=("172.30.0.1/24",))
    ovn.nbctl("ls-add", "pub", "--", "lsp-add", "pub", "pub-ln", "--", "lsp-set-type", "pub-ln", "localnet", "--",
              "lsp-set-addresses", "pub-ln", "unknown", "--", "lsp-set-options", "pub-ln", "network_name=outside")
    ovn.nbctl("lrp-add", "lr0", "lr0-pub", "00:00:00:00:ff:99", "172.30.0.2/24", "--", "lsp-add", "pub", "pub-lr0", "--",
              "lsp-set-type", "pub-lr0", "router", "--", "lsp-set-addresses", "pub-lr0", "router", "--",
              "lsp-set-options", "pub-lr0", "router-port=lr0-pub", "--", "lrp-set-gateway-chassis", "lr0-pub", "hv1", "20")
    ovn.nbctl("lr-nat-add", "lr0", "snat", "172.30.0.2", "10.9.0.0/16", "--",
              "lr-nat-add", "lr0", "dnat_and_snat", "172.30.0.9", "10.9.1.13")
    ovn.nbctl("--wait=hv", "sync")
    assert ovn.ping("a", "172.30.0.1")  # as 172.30.0.2: the outside has no way back to 10.9.0.0/16
    assert ovn.ping("out", "172.30.0.9")  # is c
    assert ovn.ping("out", "172.30.0.2")
    ovn.serve("out", 80)
    assert ovn.get("a", "http://172.30.0.1/") == 0
    assert "src=172.30.0.1,dst=172.30.0.2" in ovn.sw.appctl("dpctl/dump-conntrack")


def test_the_controller_comes_back_and_finds_nothing_to_change(ovn):
    """Rules survive sluiced; ovn-controller connects again and traffic goes on."""
    before = len(ovn.ofctl("dump-flows", "br-int").splitlines())
    ovn.sw.kill_sluiced()
    ovn.sw.start_sluiced()
    assert ovn.ping("a", "10.9.1.13", tries=3)
    wait_until(lambda: len(ovn.ofctl("dump-flows", "br-int").splitlines()) == before, 30)
    assert ovn.ping("c", "fd00::12")
