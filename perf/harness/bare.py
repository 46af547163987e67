# SPDX-License-Identifier: BSD-3-Clause
"""sluice-datapath alone, without sluiced: bridge and ports straight over its api. For finding out
whether a difference lies in the datapath, and for measuring it while the control daemon changes.
Learning bridges only."""
import json
import os
import struct
import sys

from .process import accepts, wait_for
from .switches import Switch, sum_key

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "system")


def api():
    """The tests' own encoder of the api, which takes its numbers from the .def files."""
    if TESTS not in sys.path:
        sys.path.append(TESTS)
    import dpapi
    return dpapi


def policy(n_rules, n_ports):
    """POLICY_SET with a guest on each port that is isolated in both directions; the last of the
    rules is the one that allows."""
    def service(proto, first, last):
        return struct.pack("=BBHH", proto, 0, first, last)
    endpoints = [{"id": i, "name": f"g{i}", "port": f"p{i}", "isolated": 3} for i in range(1, n_ports + 1)]
    ids = struct.pack(f"={n_ports}I", *range(1, n_ports + 1))
    rules = [{"id": i + 1, "name": f"rule{i}", "direction": i % 2, "tier": 1, "verdict": 0,
              "endpoint_ids": ids, "services": service(132, i, i)}
             for i in range(n_rules - 1)]
    for direction in (0, 1):
        rules.append({"id": len(rules) + 1, "name": "all", "direction": direction, "tier": 1,
                      "verdict": 0, "endpoint_ids": ids,
                      "services": service(17, 0, 65535) + service(6, 0, 65535)})
    return "policy_set", {"policy_hash": bytes(32), "policy_endpoint": endpoints,
                          "policy_rule": rules}


class Datapath(Switch):
    name = "datapath"
    features = frozenset({"policy"})

    def binary(self):
        return os.path.join(self.settings.build, "bin", "sluice-datapath")

    def missing(self):
        return None if os.path.exists(self.binary()) else f"{self.binary()}: not built"

    def lacks(self, scenario):
        if any(p.settings or p.type == "internal" for p in scenario.ports):
            return "port settings need sluiced"
        if scenario.options.get("control"):
            return "no control daemon here"
        return super().lacks(scenario)

    def launch(self, scenario, ports, cores):
        self.args = [self.binary(), "--rundir", self.run_dir, "--cores", cores, "--main-core",
                     self.settings.main_core, "--eal",
                     f"--file-prefix {self.tag} --no-pci -d libsluice_bench.so"]
        if not self.settings.huge:
            self.args.append("--no-huge")
        n_rules = scenario.options.get("policy_rules", 0)
        self.operations = [("bridge_set", {"name": "br0", "create": True, "open": 1,
                                           "policed": int(n_rules > 0), "mac_ageing_s": 3600})]
        for number, (port, where) in enumerate(ports, 1):
            kind, key = (("dpdkvhostuserclient", "vhost-server-path") if port.type == "vhost" else
                         ("dpdk", "dpdk-devargs"))
            self.operations.append(("port_set", {
                "name": port.name, "create": True, "type": kind, "bridge": "br0",
                "ofport": number, "n_rxq": port.queues, "role": 0,
                "option": [{"key": key, "value": where}]}))
        for i in range(scenario.options.get("idle_ports", 0)):
            self.operations.append(("port_set", {
                "name": f"idle{i}", "create": True, "type": "dpdkvhostuserclient", "bridge": "br0",
                "ofport": 1000 + i, "option": [{"key": "vhost-server-path",
                                                "value": f"{self.run_dir}/idle{i}.sock"}]}))
        if n_rules:
            self.operations.append(policy(n_rules, len(ports)))
        self.relaunch_datapath()

    def relaunch_datapath(self):
        self.children = []
        socket = os.path.join(self.run_dir, "datapath.sock")
        if os.path.exists(socket):
            os.unlink(socket)  # of one that was killed
        both = f"{self.settings.main_core},{self.settings.cores}"
        child = self.add_child("sluice-datapath", self.args, env=self.settings.env(), cores=both)
        wait_for(lambda: accepts(socket), 20, "datapath.sock", child, step_s=0.002)
        self.control = api().Datapath(socket, writer=True, program="perf")
        self.control.transaction(self.operations)

    def datapath_pid(self):
        return self.children[0].pid

    def version(self):
        return "of this build"

    def megaflows(self):
        return sum_key(self.control.dump("poll"), "megaflows")

    def details(self):
        return json.dumps({"poll": self.control.dump("poll"), "drops": self.control.dump("drops")},
                          default=lambda b: b.hex())
