# SPDX-License-Identifier: BSD-3-Clause
"""What has to be known about the machine to read a figure, and how quiet it was."""
import os
import platform
import re
import subprocess


def first_line(args):
    try:
        out = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             timeout=20, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return out.strip().splitlines()[0] if out.strip() else None


def package(name):
    out = first_line(["dpkg-query", "-W", "-f", "${Version}", name])
    return out if out and "no packages" not in out else None


def field(path, key):
    try:
        with open(path) as f:
            for line in f:
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def steal_ticks():
    """Time the hypervisor gave our cores to others, over all cores [ticks]."""
    with open("/proc/stat") as f:
        return int(f.readline().split()[8])


def describe(root):
    flags = (field("/proc/cpuinfo", "flags") or "").split()
    return {
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "simd": [f for f in ("sse4_2", "avx2", "avx512f", "avx512vbmi2", "vaes") if f in flags],
        "virtual": "hypervisor" in flags,
        "l2": first_line(["getconf", "LEVEL2_CACHE_SIZE"]),
        "l3": first_line(["getconf", "LEVEL3_CACHE_SIZE"]),
        "kernel": platform.release(),
        "hugepages": f"{field('/proc/meminfo', 'HugePages_Total')} of "
                     f"{field('/proc/meminfo', 'Hugepagesize')}",
        "load": os.getloadavg()[0],
        "dpdk": package("libdpdk-dev") or package("dpdk"),
        "ovs": package("openvswitch-switch-dpdk"),
        "sluice": first_line(["git", "-C", root, "describe", "--always", "--dirty"]),
        "mitigations": mitigations(),
    }


def mitigations():
    try:
        with open("/proc/cmdline") as f:
            m = re.search(r"mitigations=(\S+)", f.read())
    except OSError:
        return None
    return m.group(1) if m else "default"


def tsc_ghz():
    """Frequency of the cycle counter, as the kernel found it (or the nominal one of the CPU)."""
    try:
        return float(field("/proc/cpuinfo", "bogomips")) / 2000  # the kernel's definition
    except (TypeError, ValueError):
        return 0.0
