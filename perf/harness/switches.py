# SPDX-License-Identifier: BSD-3-Clause
"""The switches that perf/run compares: how each is started, given ports and rules, and stopped.

All get the same net_bench ports on the same poll core. Open vSwitch and Sluice are configured by
the same ovs-vsctl and ovs-ofctl commands. Every instance has its own run directory, its own
DPDK file prefix and its own network namespace.
"""
import json
import os
import re
import shutil
import subprocess
import time

from . import machine, process, shm
from .process import Child, Failed, wait_for

BRIDGE = "br0"
HOST_MAC = "02:00:00:00:0b:00"  # the destination of the generator's packets
TOOL_TIMEOUT_S = 90


class Settings:
    """Choices of a run that every switch needs."""

    def __init__(self, build, work_dir, cores="1", main_core="0", memory_mb=1024, huge=True):
        self.build = build
        self.work_dir = work_dir
        self.cores = cores
        self.main_core = main_core
        self.memory_mb = memory_mb
        self.huge = huge
        self.plugin_dir = os.path.join(build, "lib")

    def env(self, **more):
        # A bare name found along LD_LIBRARY_PATH: DPDK refuses plugins given by path when any
        # directory above them is writable by everybody.
        old = os.environ.get("LD_LIBRARY_PATH")
        path = self.plugin_dir + (":" + old if old else "")
        return dict(os.environ, LD_LIBRARY_PATH=path, LC_ALL="C", **more)


class Switch:
    """One switch under test. start() and stop() may be called many times."""

    name = "?"
    features = frozenset()

    def __init__(self, settings):
        self.settings = settings
        self.children = []
        self.ports = {}
        self.shm_names = {}
        self.run_dir = self.tag = None
        self.starts = 0

    # -- what a subclass provides ------------------------------------------------------------------
    def missing(self):
        """None, or why this switch cannot run at all."""
        raise NotImplementedError

    def launch(self, scenario, ports, cores):
        """Starts processes and makes ports; ports is [(Port, device arguments)]."""
        raise NotImplementedError

    def datapath_pid(self):
        raise NotImplementedError

    def version(self):
        return None

    def megaflows(self):
        return None

    def work(self):
        """(TSC cycles in which the poll threads had packets, packets) since the start, as the
        switch itself counts them; None when it does not say."""
        return None

    def details(self):
        """What the switch itself says about where its time goes, as text; kept in the JSON."""
        return None

    def relaunch_datapath(self):
        """Starts the datapath again after it was killed."""
        raise Failed(f"{self.name}: no way to restart it alone")

    # -- common --------------------------------------------------------------------------------------
    def lacks(self, scenario):
        """None, or why this switch does not take part in a scenario."""
        without = sorted(scenario.needs - self.features)
        return f"no {', '.join(without)}" if without else None

    def start(self, scenario, flows, cores=None, before=None):
        """`before(self)` runs when names and sockets are known and nothing is started yet."""
        self.starts += 1
        self.tag = f"sluice-perf-{os.getpid()}-{self.name}-{self.starts}"
        self.run_dir = os.path.join(self.settings.work_dir, f"{self.name}-{self.starts}")
        os.makedirs(self.run_dir, mode=0o700)
        self.shm_names = {}
        wanted = []
        for number, port in enumerate(scenario.ports):
            args = port.args.format(flows=flows)
            if port.type == "vhost":
                wanted.append((port, self.socket(port.name)))
                continue
            if port.type == "internal":
                wanted.append((port, HOST_MAC))
                continue
            name = f"{self.tag}.{port.name}"
            self.shm_names[port.name] = name
            shm.remove(name)
            wanted.append((port, f"net_bench{number}," + (args + "," if args else "") +
                           f"shm={name}"))
        try:
            if before:
                before(self)
            self.launch(scenario, wanted, cores or self.settings.cores)
            for port, name in self.shm_names.items():
                self.ports[port] = shm.Port(name, wait_s=20)
        except BaseException:
            self.stop()
            raise

    def socket(self, port):
        """Where the far end of a vhost-user port listens."""
        return os.path.join(self.run_dir, port + ".sock")

    def stop(self):
        for child in reversed(self.children):
            child.stop()
        self.children = []
        for port in self.ports.values():
            port.close()
        self.ports = {}
        for name in self.shm_names.values():
            shm.remove(name)
        if self.tag:
            process.forget_dpdk(self.tag)

    def log(self, name):
        return os.path.join(self.run_dir, name + ".log")

    def add_child(self, name, args, **kw):
        child = Child(args, self.log(name), **kw)
        self.children.append(child)
        return child

    def check_alive(self):
        """Failed when a process has ended by itself: its figures would be of a corpse."""
        for child in self.children:
            child.check()

    def poll_threads(self, count=1):
        return process.poll_threads(self.datapath_pid())[:count]

    def wait_polling(self):
        """Until the first port is polled in earnest (testpmd flushes a few times before)."""
        port = next(iter(self.ports.values()))
        wait_for(lambda: port.rx()["polls"] > 1000, 30, f"{self.name}: polling", self.children[-1])

    def memory(self):
        """(resident, hugepages) of all processes [bytes]."""
        pairs = [process.memory_bytes(c.pid) for c in self.children if c.alive()]
        return sum(p[0] for p in pairs), sum(p[1] for p in pairs)


class Testpmd(Switch):
    """testpmd io: what the ports themselves cost, the upper limit of everything."""

    name = "testpmd"

    def missing(self):
        return None if shutil.which("dpdk-testpmd") else "dpdk-testpmd is not installed"

    def lacks(self, scenario):
        if not scenario.limit:
            return "not a limit for this scenario"
        if len(scenario.ports) != 2:
            return "forwards between two ports only"
        if "cores" in scenario.options:
            return "one core only"
        return None

    def version(self):
        return machine.package("dpdk")

    def launch(self, scenario, ports, cores):
        s = self.settings
        first = sorted(process.parse_cores(cores))[0]
        args = ["dpdk-testpmd", "--file-prefix", self.tag, "-l", f"{s.main_core},{first}",
                "--main-lcore", s.main_core, "--no-pci", "-d", "libsluice_bench.so"]
        args += ["-m", str(min(s.memory_mb, 256))] + ([] if s.huge else ["--no-huge"])
        for number, (port, where) in enumerate(ports):
            vhost = f"net_vhost{number},iface={where},client=1,queues=1"
            args += ["--vdev", vhost if port.type == "vhost" else where]
        args += ["--", "--forward-mode=io", "--nb-cores=1", "--total-num-mbufs=16384",
                 "-i", "--auto-start"]
        self.launch_args = args
        self.relaunch_datapath()

    def relaunch_datapath(self):
        self.children = [c for c in self.children if c.alive()]
        both = f"{self.settings.main_core},{self.settings.cores}"
        self.add_child("testpmd", self.launch_args, env=self.settings.env(), cores=both,
                       stdin=True)

    def datapath_pid(self):
        return self.children[0].pid

    def stop(self):
        for child in self.children:
            if child.alive():
                try:
                    child.process.stdin.write(b"quit\n")
                    child.process.stdin.flush()
                    child.process.wait(10)
                except (OSError, subprocess.TimeoutExpired):
                    pass
        super().stop()


class OvsTools(Switch):
    """What Open vSwitch and Sluice have in common: the tools that configure them."""

    features = frozenset({"openflow", "conntrack"})

    def tool_env(self):
        return dict(os.environ, LC_ALL="C", OVS_RUNDIR=self.run_dir, OVS_DBDIR=self.run_dir)

    def tool(self, *args, timeout_s=TOOL_TIMEOUT_S, stdin=None):
        try:
            done = subprocess.run(args, env=self.tool_env(), input=stdin, text=True,
                                  stdin=None if stdin is not None else subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout_s)
        except FileNotFoundError as e:
            raise Failed(f"{args[0]}: not installed") from e
        except subprocess.TimeoutExpired as e:
            raise Failed(f"{' '.join(args[:4])}: no answer after {timeout_s} s") from e
        if done.returncode:
            raise Failed(f"{' '.join(args[:6])}: {done.stdout.strip()[-400:]}")
        return done.stdout

    def vsctl(self, *args):
        return self.tool("ovs-vsctl", f"--db=unix:{self.run_dir}/db.sock", "--timeout=60", *args)

    def add_ports(self, scenario, ports):
        self.vsctl("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=netdev",
                   "fail-mode=" + ("secure" if scenario.rules else "standalone"),
                   "other_config:mac-aging-time=3600")
        commands = []
        for number, (port, where) in enumerate(ports, 1):
            commands += ["--", "add-port", BRIDGE, port.name]
            if port.settings:
                commands += ["--", "set", "Port", port.name, *port.settings]
            how = {"vhost": ["type=dpdkvhostuserclient", f"options:vhost-server-path={where}"],
                   "internal": ["type=internal", f'mac="{where}"'],
                   "bench": ["type=dpdk", f'options:dpdk-devargs="{where}"']}[port.type]
            commands += ["--", "set", "Interface", port.name, *how, f"ofport_request={number}"]
            if port.queues > 1:
                commands.append(f"options:n_rxq={port.queues}")
            if "mtu" in scenario.options:
                commands.append(f"mtu_request={scenario.options['mtu']}")
        for i in range(scenario.options.get("idle_ports", 0)):
            commands += ["--", "add-port", BRIDGE, f"idle{i}", "--", "set", "Interface",
                         f"idle{i}", "type=dpdkvhostuserclient",
                         f"options:vhost-server-path={self.run_dir}/idle{i}.sock"]
        self.vsctl(*commands[1:])
        for number, (port, _) in enumerate(ports, 1):
            self.check_port(port.name, number)

    def check_port(self, name, number):
        def state():
            got = json.loads(self.vsctl("--format=json", "--columns=ofport,error", "list",
                                        "Interface", name))["data"][0]
            return got if got[0] != ["set", []] or got[1] != ["set", []] else None
        ofport, error = wait_for(state, 20, f"{self.name}: port {name}", step_s=0.05)
        if ofport != number:
            raise Failed(f"{self.name}: port {name}: ofport {ofport}, {error}")

    def add_rules(self, rules):
        if not rules:
            return
        path = os.path.join(self.run_dir, "rules.txt")
        with open(path, "w") as f:
            f.write("\n".join(rules) + "\n")
        # one by one is a barrier each: seconds, for rules that are only the set-up
        self.ofctl("add-flows", path, *(["--bundle"] if len(rules) > 1000 else []))

    def ofctl(self, command, *args):
        return self.tool("ovs-ofctl", "-O", "OpenFlow13", command,
                         f"unix:{self.run_dir}/{BRIDGE}.mgmt", *args)

    def in_host(self, *args):
        """Runs a command in the network namespace of the switch's own interfaces."""
        return self.tool("nsenter", "-t", str(self.datapath_pid()), "-n", "--", *args)

    def monitor(self):
        """A controller that takes packet-ins and does nothing with them."""
        self.add_child("monitor", ["ovs-ofctl", "-O", "OpenFlow13", "monitor",
                                   f"unix:{self.run_dir}/{BRIDGE}.mgmt", "65534"],
                       env=self.tool_env(), cores=self.settings.main_core, netns=False)

    def configure(self, scenario, ports, cores):
        self.add_ports(scenario, ports)
        self.add_rules(scenario.rules)


class Ovs(OvsTools):
    """Open vSwitch with DPDK, Debian's or one given by path."""

    name = "ovs"
    DEBIAN = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
    SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
    AVX512 = (("dpif-netdev/dpif-impl-set", "dpif_avx512"),
              ("dpif-netdev/miniflow-parser-set", "study"),
              ("dpif-netdev/subtable-lookup-prio-set", "avx512_gather", "3"))

    def __init__(self, settings, name="ovs", vswitchd=DEBIAN, avx512=False):
        super().__init__(settings)
        self.name = name
        self.vswitchd = vswitchd
        self.avx512 = avx512

    def missing(self):
        for path in (self.vswitchd, self.SCHEMA):
            if not os.path.exists(path):
                return f"{path}: not there (package openvswitch-switch-dpdk)"
        return None

    def version(self):
        done = subprocess.run([self.vswitchd, "--version"], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT)
        return done.stdout.split("\n")[0].split()[-1] + (" (avx512)" if self.avx512 else "")

    def launch(self, scenario, ports, cores):
        s, r = self.settings, self.run_dir
        self.tool("ovsdb-tool", "create", f"{r}/conf.db", self.SCHEMA)
        self.add_child("ovsdb-server", ["ovsdb-server", f"{r}/conf.db", f"--remote=punix:{r}/db.sock",
                                        f"--pidfile={r}/ovsdb-server.pid", "-vconsole:warn"],
                       env=s.env(**self.ovs_dirs()), cores=s.main_core)
        wait_for(lambda: process.accepts(f"{r}/db.sock"), 10, "ovsdb-server", self.children[-1])
        mask = sum(1 << c for c in process.parse_cores(cores))
        extra = f"--file-prefix {self.tag} --no-pci -d libsluice_bench.so"
        if not s.huge:
            extra += f" --no-huge -m {s.memory_mb} --legacy-mem"
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".",
                   "other_config:dpdk-init=true", f"other_config:pmd-cpu-mask={mask:#x}",
                   f"other_config:dpdk-lcore-mask={1 << int(s.main_core):#x}",
                   *([f"other_config:dpdk-socket-mem={s.memory_mb}",
                      f"other_config:dpdk-socket-limit={s.memory_mb}"] if s.huge else []),
                   f'other_config:dpdk-extra="{extra}"',
                   *(["other_config:userspace-tso-enable=true"]
                     if scenario.options.get("tso") else []))
        self.relaunch_datapath()
        # A daemon that could not start DPDK is gone: say so now, not after ovs-vsctl's time-out.
        wait_for(lambda: "true" in self.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized"), 30,
                 f"{self.name}: DPDK", self.children[-1], step_s=0.02)
        self.configure(scenario, ports, cores)
        if self.avx512:
            for command in self.AVX512:
                self.appctl(*command)

    def ovs_dirs(self):
        return {"OVS_RUNDIR": self.run_dir, "OVS_DBDIR": self.run_dir, "OVS_LOGDIR": self.run_dir}

    def relaunch_datapath(self):
        r = self.run_dir
        self.children = self.children[:1]
        both = f"{self.settings.main_core},{self.settings.cores}"
        self.add_child("ovs-vswitchd",
                       [self.vswitchd, f"unix:{r}/db.sock", f"--pidfile={r}/ovs-vswitchd.pid",
                        f"--unixctl={r}/vswitchd.ctl", "-vconsole:info"],
                       env=self.settings.env(**self.ovs_dirs()), cores=both)

    def datapath_pid(self):
        return self.children[1].pid

    def appctl(self, *args):
        return self.tool("ovs-appctl", "-t", f"{self.run_dir}/vswitchd.ctl", *args)

    def work(self):
        text = self.details()
        pkts, busy = (sum(int(n) for n in re.findall(p, text))
                      for p in (r"packets received: (\d+)", r"processing cycles: (\d+)"))
        return busy, pkts

    def details(self):
        return self.appctl("dpif-netdev/pmd-stats-show")

    def megaflows(self):
        m = re.search(r"flows: (\d+)", self.appctl("dpctl/show"))
        return int(m.group(1)) if m else None


class Sluice(OvsTools):
    """sluice-datapath and sluiced of this build."""

    name = "sluice"

    def binary(self, name):
        return os.path.join(self.settings.build, "bin", name)

    def missing(self):
        for name in ("sluice-datapath", "sluiced"):
            if not os.path.exists(self.binary(name)):
                return f"{self.binary(name)}: not built"
        return None

    def version(self):
        done = subprocess.run([self.binary("sluiced"), "--version"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        return done.stdout.strip().split("\n")[0] if done.returncode == 0 else None

    def tool_env(self):
        return dict(super().tool_env(), SLUICE_RUNDIR=self.run_dir, SLUICE_DBDIR=self.run_dir)

    def launch(self, scenario, ports, cores):
        r = self.run_dir
        self.datapath_args = [
            self.binary("sluice-datapath"), "--rundir", r, "--cores", cores,
            "--main-core", self.settings.main_core,
            "--eal", f"--file-prefix {self.tag} --no-pci -d libsluice_bench.so"]
        if not self.settings.huge:
            self.datapath_args.append("--no-huge")
        self.add_child("sluiced", [self.binary("sluiced"), "--rundir", r, "--dbdir", r],
                       env=self.settings.env(SLUICE_RUNDIR=r, SLUICE_DBDIR=r),
                       cores=self.settings.main_core)
        self.relaunch_datapath()
        for child, name in zip(self.children, ("db.sock", "datapath.sock")):
            wait_for(lambda: process.accepts(f"{r}/{name}"), 20, f"sluice: {name}", child)
        self.configure(scenario, ports, cores)

    def relaunch_datapath(self):
        self.children = self.children[:1]
        both = f"{self.settings.main_core},{self.settings.cores}"
        self.add_child("sluice-datapath", self.datapath_args,
                       env=self.settings.env(SLUICE_RUNDIR=self.run_dir), cores=both)

    def relaunch_control(self):
        """kill -9 of the control daemon, and a new one at once."""
        self.children[0].kill()
        r = self.run_dir
        child = Child([self.binary("sluiced"), "--rundir", r, "--dbdir", r], self.log("sluiced2"),
                      env=self.settings.env(SLUICE_RUNDIR=r, SLUICE_DBDIR=r),
                      cores=self.settings.main_core)
        self.children[0] = child

    def datapath_pid(self):
        return self.children[1].pid

    def details(self):
        try:
            return self.tool(self.binary("sluice"), "poll", "show", timeout_s=10)
        except Failed:
            return None

    def poll_show(self):
        try:
            return json.loads(self.tool(self.binary("sluice"), "poll", "show", "--json",
                                        timeout_s=10))
        except (Failed, ValueError):
            return None

    def work(self):
        shown = self.poll_show()
        threads = [t for t in shown["threads"] if t["packets"]] if shown else []
        return (sum(t["packets"] * t["cycles_per_packet"] for t in threads),
                sum(t["packets"] for t in threads))

    def megaflows(self):
        return sum_key(self.poll_show(), "megaflows")


def sum_key(value, key):
    """Sum of all numbers called `key` anywhere in a JSON value; None when there is none."""
    total = None
    if isinstance(value, dict):
        for k, v in value.items():
            got = v if k == key and isinstance(v, int) else sum_key(v, key)
            if got is not None:
                total = (total or 0) + got
    elif isinstance(value, list):
        for v in value:
            got = sum_key(v, key)
            if got is not None:
                total = (total or 0) + got
    return total


def make(names, settings, others=()):
    """Switches by name; `others` are 'NAME=/path/to/ovs-vswitchd[,avx512]'."""
    from .bare import Datapath  # which needs this module's Switch
    known = {"testpmd": Testpmd, "ovs": Ovs, "sluice": Sluice, "datapath": Datapath}
    made = []
    for name in names:
        if name not in known:
            raise ValueError(f"{name}: no such switch ({', '.join(known)})")
        made.append(known[name](settings))
    for text in others:
        name, _, rest = text.partition("=")
        path, _, flag = rest.partition(",")
        if not name or not path or flag not in ("", "avx512"):
            raise ValueError(f"{text}: expected NAME=/path/to/ovs-vswitchd[,avx512]")
        made.append(Ovs(settings, name, path, flag == "avx512"))
    return made
