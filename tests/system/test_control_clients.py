# SPDX-License-Identifier: BSD-3-Clause
"""The clients that live in other projects, against the whole switch: TLS for managers and
controllers with certificates from the SSL table, os-vif's sequences through ovsdbapp, python3-ovs
following a changing database, libvirt's questions, an external database server, and two virtual
machines attached with nothing but ovs-vsctl."""
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from control_process import SLUICED, Failed, Switch, wait_until
from guest import Guest, vhost_user
from ovsdb_process import Server, create_db


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- TLS ----

class Pki:
    """A certificate authority, a switch and a stranger whom it did not sign."""

    def __init__(self, directory):
        self.dir = str(directory)
        self.ca_key, self.ca = self.path("ca.key"), self.path("ca.pem")
        self.self_signed("ca")
        self.self_signed("stranger")
        for name in ("switch", "peer"):
            self.signed(name)

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def self_signed(self, name):
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                     f"/CN={name}", "-keyout", self.path(name + ".key"), "-out",
                     self.path(name + ".pem"))

    def signed(self, name):
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
                     self.path(name + ".key"), "-out", self.path(name + ".csr"))
        self.openssl("x509", "-req", "-days", "2", "-in", self.path(name + ".csr"), "-CA", self.ca,
                     "-CAkey", self.ca_key, "-CAcreateserial", "-out", self.path(name + ".pem"))

    def files(self, name):
        return self.path(name + ".key"), self.path(name + ".pem"), self.ca

    def options(self, name):
        return [f"--{o}={f}" for o, f in zip(("private-key", "certificate", "ca-cert"),
                                             self.files(name))]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        yield s


def test_managers_over_tls(sw, pki):
    port = free_port()
    sw.vsctl("set-ssl", *pki.files("switch"), "--", "set-manager", f"pssl:{port}:127.0.0.1")
    target = f"ssl:127.0.0.1:{port}"

    def vsctl(who, *argv, check=True):
        return sw.run("ovs-vsctl", "--timeout=5", *pki.options(who), f"--db={target}", *argv,
                      check=check)
    wait_until(lambda: vsctl("peer", "show", check=False).returncode == 0, timeout=15)
    vsctl("peer", "add-br", "br0")
    assert sw.vsctl("list-br") == "br0"
    assert vsctl("stranger", "show", check=False).returncode != 0
    # and the other way round: the switch calls the manager
    with ManagerByTls(pki) as manager:
        sw.vsctl("set-manager", f"ssl:127.0.0.1:{manager.port}")
        wait_until(lambda: manager.dbs, timeout=20)
        assert "Open_vSwitch" in manager.dbs
        assert manager.peer == "switch"
        wait_until(lambda: sw.vsctl("--bare", "--columns=is_connected", "list", "Manager") ==
                   "true")


class ManagerByTls:
    """Waits for a switch, asks it for its databases."""

    def __init__(self, pki):
        self.dbs, self.peer = None, None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key, cert, ca = pki.files("peer")
        context.load_cert_chain(cert, key)
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        try:
            c, _ = self.socket.accept()
            self.peer = dict(x[0] for x in c.getpeercert()["subject"])["commonName"]
            c.sendall(b'{"method":"list_dbs","params":[],"id":1}')
            text = ""
            while "_Server" not in text:
                text += c.recv(4096).decode()
            self.dbs = text
            while c.recv(4096):
                pass
        except OSError:
            pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.socket.close()


class ControllerByTls(ManagerByTls):
    """Waits for a switch and takes its hello."""

    def serve(self):
        try:
            c, _ = self.socket.accept()
            self.peer = dict(x[0] for x in c.getpeercert()["subject"])["commonName"]
            self.dbs = c.recv(64)  # OFPT_HELLO
            c.sendall(bytes((4, 0, 0, 8, 0, 0, 0, 1)))
            while c.recv(4096):
                pass
        except OSError:
            pass


def test_controllers_over_tls(sw, pki):
    port = free_port()
    sw.vsctl("set-ssl", *pki.files("switch"), "--", "add-br", "br0", "--", "set-controller", "br0",
             f"pssl:{port}:127.0.0.1")

    def ofctl(who):
        return sw.run("ovs-ofctl", "--timeout=5", *pki.options(who), "show",
                      f"ssl:127.0.0.1:{port}", check=False)
    wait_until(lambda: ofctl("peer").returncode == 0, timeout=15)
    assert "LOCAL(br0)" in ofctl("peer").stdout
    assert ofctl("stranger").returncode != 0
    with ControllerByTls(pki) as controller:
        sw.vsctl("set-controller", "br0", f"ssl:127.0.0.1:{controller.port}")
        wait_until(lambda: controller.dbs, timeout=20)
        assert controller.peer == "switch" and controller.dbs[1] == 0
        wait_until(lambda: sw.vsctl("--bare", "--columns=is_connected", "list", "Controller") ==
                   "true")


def test_get_and_del_ssl(sw, pki):
    sw.vsctl("set-ssl", *pki.files("switch"))
    assert f"Private key: {pki.files('switch')[0]}" in sw.vsctl("get-ssl")
    sw.vsctl("del-ssl")
    assert sw.vsctl("--bare", "list", "SSL") == ""


# ---- os-vif and Neutron ----

@pytest.fixture
def api(sw):
    from ovsdbapp.backend.ovs_idl import connection
    from ovsdbapp.schema.open_vswitch import impl_idl
    idl = connection.OvsdbIdl.from_server(f"unix:{sw.dir}/db.sock", "Open_vSwitch")
    conn = connection.Connection(idl=idl, timeout=10)
    impl_idl.OvsdbIdl._ovsdb_connection = None  # it keeps the first one for ever
    yield impl_idl.OvsdbIdl(conn)
    conn.stop()


def test_os_vif_plugs_a_vhost_user_guest(sw, api):
    """os_vif's vif_plug_ovs.ovsdb.ovsdb_lib: ensure_ovs_bridge, create_ovs_vif_port, delete."""
    path = os.path.join(sw.dir, "vhu1")
    with api.transaction(check_error=True) as txn:
        txn.add(api.add_br("br-int", may_exist=True, datapath_type="netdev"))
    with api.transaction(check_error=True) as txn:
        txn.add(api.add_port("br-int", "vhu1", may_exist=True))
        txn.add(api.db_set("Port", "vhu1", ("tag", 12)))
        txn.add(api.db_set("Interface", "vhu1", ("external_ids", {
            "iface-id": "u-u-i-d", "iface-status": "active", "attached-mac": "52:54:00:12:34:56",
            "vm-uuid": "v-m"}), ("type", "dpdkvhostuserclient"),
            ("options", {"vhost-server-path": path}), ("mtu_request", 1450)))
    row = sw.ports()["vhu1"]
    assert (row["bridge"], row["type"], row["vlan"]) == ("br-int", "dpdkvhostuserclient", "12")
    assert int(sw.get("Interface", "vhu1", "ofport")) > 0
    # libvirt finds the port by its socket
    assert sw.vsctl("--no-headings", "--columns=name", "--bare", "find", "Interface",
                    f"options:vhost-server-path={path}") == "vhu1"
    # the interface's mtu is changed later, on its own
    api.db_set("Interface", "vhu1", ("mtu_request", 1400)).execute(check_error=True)
    # traffic classes: made, found and removed by external_ids
    with api.transaction(check_error=True) as txn:
        qos = txn.add(api.db_create("QoS", type="linux-htb", external_ids={"vm-id": "v-m"}))
    assert api.db_find("QoS", ("external_ids", "=", {"vm-id": "v-m"})).execute(check_error=True)
    api.db_set("Port", "vhu1", ("qos", qos.result)).execute(check_error=True)
    assert "shaping is not supported" in sw.get("Port", "vhu1", "status")
    with api.transaction(check_error=True) as txn:
        txn.add(api.db_clear("Port", "vhu1", "qos"))
        txn.add(api.db_destroy("QoS", qos.result))
    api.del_port("vhu1", "br-int", if_exists=True).execute(check_error=True)
    assert "vhu1" not in sw.ports()


def test_os_vif_patches_bridges(sw, api):
    with api.transaction(check_error=True) as txn:
        for br, port, peer in (("br-int", "p-int", "p-ex"), ("br-ex", "p-ex", "p-int")):
            txn.add(api.add_br(br, may_exist=True, datapath_type="netdev"))
            txn.add(api.add_port(br, port, may_exist=True))
            txn.add(api.db_set("Interface", port, ("type", "patch"), ("options", {"peer": peer})))
    assert sw.get("Interface", "p-int", "error") == sw.get("Interface", "p-ex", "error") == "[]"
    assert int(sw.get("Interface", "p-int", "ofport")) > 0


def test_neutron_agent_reads_its_bridge(sw, api):
    """neutron.agent.common.ovs_lib: what the agent sets on br-int and waits for."""
    api.add_br("br-int", may_exist=True, datapath_type="netdev").execute(check_error=True)
    with api.transaction(check_error=True) as txn:
        txn.add(api.db_add("Bridge", "br-int", "protocols", "OpenFlow10", "OpenFlow13",
                           "OpenFlow14"))
        txn.add(api.set_fail_mode("br-int", "secure"))
        txn.add(api.set_controller("br-int", ["tcp:127.0.0.1:6633"]))
        txn.add(api.db_set("Bridge", "br-int", ("other_config", {"mac-table-size": "50000"})))
    api.db_set("Controller", "br-int", ("connection_mode", "out-of-band"),
               ("inactivity_probe", 10000)).execute(check_error=True)
    dpid = api.db_get("Bridge", "br-int", "datapath_id").execute(check_error=True)
    assert len(dpid) == 16 and int(dpid, 16)
    root = api.db_list("Open_vSwitch", columns=["iface_types", "datapath_types"]).execute(
        check_error=True)[0]
    assert {"dpdkvhostuserclient", "patch", "internal"} <= set(root["iface_types"])
    assert "netdev" in root["datapath_types"]
    assert "vxlan" not in root["iface_types"]  # until there are tunnels
    # a dead VLAN, and a port whose device is missing: its number says so
    with api.transaction(check_error=True) as txn:
        txn.add(api.add_port("br-int", "nodev"))
        txn.add(api.db_set("Port", "nodev", ("tag", 4095)))
        txn.add(api.db_set("Interface", "nodev", ("type", "dpdk"),
                           ("options", {"dpdk-devargs": "0000:ff:1f.7"})))
    wait_until(lambda: sw.get("Interface", "nodev", "ofport") == "-1")
    assert api.db_get("Interface", "nodev", "ofport").execute(check_error=True) == -1
    api.del_br("br-int", if_exists=True).execute(check_error=True)


def test_the_idl_follows_the_switch(sw):
    from ovs.db import idl as ovs_idl
    schema = ovs_idl.SchemaHelper("/usr/share/openvswitch/vswitch.ovsschema")
    schema.register_all()
    idl = ovs_idl.Idl(f"unix:{sw.dir}/db.sock", schema)

    def until(condition):
        end = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < end
            if not idl.run():
                time.sleep(0.01)
    until(lambda: len(idl.tables["Open_vSwitch"].rows) == 1)

    def rows():  # another object after a reconnect
        return idl.tables["Interface"].rows.values()
    for n in range(20):
        sw.dummies(f"a{n}", f"b{n}")
        if n >= 5:
            sw.vsctl("del-port", f"a{n - 5}")
    names = {f"b{n}" for n in range(20)} | {f"a{n}" for n in range(15, 20)} | {"br0"}
    until(lambda: {r.name for r in rows()} == names and
          all(r.ofport and r.ofport[0] > 0 for r in rows()))
    sw.kill_sluiced()
    sw.start_sluiced()
    sw.vsctl("del-port", "b0")  # the client comes back and goes on
    until(lambda: {r.name for r in rows()} == names - {"b0"})
    idl.close()


# ---- libvirt ----

def test_the_packaged_schema_needs_no_conversion(sw):
    """And a conversion all the same, as ovs-ctl would do it, is over before anybody notices."""
    remote = f"unix:{sw.dir}/db.sock"
    schema = "/usr/share/openvswitch/vswitch.ovsschema"
    ask = ["ovsdb-client", "needs-conversion", remote, schema]
    assert subprocess.run(ask, capture_output=True, text=True, check=True, timeout=10).stdout == "no\n"
    subprocess.run(["ovsdb-client", "convert", remote, schema], check=True, timeout=10)
    start = time.monotonic()
    sw.vsctl("--", "set", "Open_vSwitch", ".", "external_ids:converted=yes")
    assert time.monotonic() - start < 0.5


def test_libvirt_asks_and_changes(sw):
    sw.dummies("vnet0")
    wait_until(lambda: "rx_packets" in sw.get("Interface", "vnet0", "statistics"), timeout=10)
    out = sw.vsctl("--timeout=5", "--if-exists", "--format=list", "--data=json", "--no-headings",
                   "--columns=statistics", "list", "Interface", "vnet0")
    for key in ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets",
                "tx_errors", "tx_dropped"):
        assert f'["{key}",' in out
    sw.vsctl("--timeout=5", "set", "Interface", "vnet0", "external_ids:PortData=xyz")
    assert sw.vsctl("--if-exists", "get", "Interface", "vnet0", "external_ids:PortData") == "xyz"
    # VLANs of a running guest
    sw.vsctl("clear", "Port", "vnet0", "tag", "--", "clear", "Port", "vnet0", "trunk", "--",
             "clear", "Port", "vnet0", "vlan_mode", "--", "set", "Port", "vnet0", "tag=42",
             "vlan_mode=native-untagged", "trunk=42,43")
    assert sw.get("Port", "vnet0", "trunks") == "[42, 43]"
    # bandwidth: what a guest sends is limited; shaping is stored, and said to be without effect
    sw.vsctl("set", "port", "vnet0", "qos=@qos1", "--", "--id=@qos1", "create", "qos",
             "type=linux-htb", "other_config:min-rate=1000", "queues:0=@queue0",
             'external-ids:vm-id="v"', 'external-ids:ifname="vnet0"', "--", "--id=@queue0", "create",
             "queue", "other_config:max-rate=1000", 'external-ids:vm-id="v"',
             'external-ids:ifname="vnet0"')
    sw.vsctl("set", "Interface", "vnet0", "ingress_policing_rate=800", "ingress_policing_burst=8")
    notes = " ".join(n["text"] for n in sw.status()["notes"])
    assert "shaping is not supported" in notes and "policing" not in notes
    uuid = sw.vsctl("--bare", "--no-headings", "--columns=_uuid", "find", "qos",
                    'external-ids:vm-id="v"')
    sw.vsctl("--", "clear", "port", "vnet0", "qos", "--", "destroy", "qos", uuid)
    assert sw.vsctl("list", "qos") == ""
    with pytest.raises(Failed):
        sw.vsctl("iface-to-br", "nothere")


# ---- options ----

def test_file_names_survive_detaching(tmp_path):
    """Names without a directory: pid file and socket in the run directory, the log where one stands."""
    run_dir = tmp_path / "r"
    run_dir.mkdir()
    subprocess.run([SLUICED, "--rundir", "r", "--dbdir", "r", "--detach", "--pidfile=x.pid", "--unixctl=x.ctl",
                    "--log-file=x.log", "-vconsole:off"], cwd=tmp_path, check=True, timeout=10)
    pid = int((run_dir / "x.pid").read_text())
    try:
        os.rename(tmp_path / "x.log", tmp_path / "x.log.1")
        ctl = ["ovs-appctl", "-t", str(run_dir / "x.ctl")]
        subprocess.run([*ctl, "vlog/reopen"], check=True, timeout=10)
        assert (tmp_path / "x.log").exists()
        subprocess.run([*ctl, "exit"], check=True, timeout=10)
        wait_until(lambda: not (run_dir / "x.pid").exists() and not (run_dir / "x.ctl").exists())
        assert "stopping" in (tmp_path / "x.log").read_text()
    finally:
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, 9)


# ---- an external database server ----

@pytest.mark.parametrize("program", [None, "ovsdb-server"])
def test_an_external_server(tmp_path, program):
    create_db(str(tmp_path / "conf.db"))
    kinds = {} if program is None else {"program": program}
    with Server(tmp_path, [tmp_path / "conf.db"], **kinds) as db:
        with Switch("--enable-dummy=system", db.remote) as sw:
            def vsctl(*argv):
                return sw.vsctl(f"--db={db.remote}", *argv)
            vsctl("add-br", "br0", "--", "add-port", "br0", "p1", "--", "set", "Interface", "p1",
                  "type=dummy")
            assert int(vsctl("get", "Interface", "p1", "ofport")) == 1
            assert "p1" in sw.ports()
            # the policy stays with the switch
            assert sw.run("ovsdb-client", "list-dbs", f"unix:{sw.dir}/sluice-db.sock") \
                .stdout.split() == ["Sluice", "_Server"]
            assert not os.path.exists(os.path.join(sw.dir, "conf.db"))
            # the server is away for a moment: forwarding and settings stay, and then it goes on
            before = sw.status()["transactions"]
            db.kill()
            wait_until(lambda: not sw.status()["database"])
            db.start()
            wait_until(lambda: sw.status()["database"], timeout=20)
            vsctl("add-port", "br0", "p2", "--", "set", "Interface", "p2", "type=dummy")
            assert {"p1", "p2"} <= set(sw.ports())
            assert sw.status()["transactions"] == before + 1


# ---- guests ----

@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="QEMU is not installed")
def test_two_guests_attached_with_ovs_vsctl_alone():
    with Switch() as sw:
        socks = [os.path.join(sw.dir, f"vm{i}") for i in (1, 2)]
        sw.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")
        for i, sock in enumerate(socks, 1):
            sw.vsctl("add-port", "br0", f"vm{i}", "--", "set", "Interface", f"vm{i}",
                     "type=dpdkvhostuserclient", f"options:vhost-server-path={sock}")
        nics = [vhost_user(s, f"52:54:00:00:00:0{i}") for i, s in enumerate(socks, 1)]
        with Guest([nics[0]], name="vm1") as a, Guest([nics[1]], name="vm2") as b:
            for i, g in ((1, a), (2, b)):
                g.wait_ready(timeout=180)
                g.run(f"ip link set eth0 up; ip addr add 10.9.9.{i}/24 dev eth0", timeout=60)
            wait_until(lambda: all(sw.get("Interface", f"vm{i}", "link_state") == "up"
                                   for i in (1, 2)), timeout=30)
            assert a.ping("10.9.9.2", count=5, timeout_s=5) >= 4
            # apart by VLAN, together again
            sw.vsctl("set", "Port", "vm1", "tag=7")
            assert a.ping("10.9.9.2", count=2) == 0
            sw.vsctl("set", "Port", "vm2", "tag=7")
            assert a.ping("10.9.9.2", count=3, timeout_s=5) >= 2
