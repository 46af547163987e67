# SPDX-License-Identifier: BSD-3-Clause
"""What run.py and ports.py share: a process's CPU time, and the table of two programs side by
side, on the terminal or in a document."""
import os
import re
import time


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return (f"{model.group(1) if model else 'unknown CPU'}, {os.cpu_count()} cores, load "
            f"{os.getloadavg()[0]:.0f}, {time.strftime('%Y-%m-%d')}")


class Table:
    """The best value of each key over the rounds, for two programs; rates (/s) are best when high."""

    def __init__(self, section, judge, ours):
        self.section, self.names, self.best = section, (judge, ours), [{}, {}]

    def add(self, which, values):
        for k, v in values.items():
            pick = max if "/s" in k else min
            self.best[which][k] = pick(v, self.best[which].get(k, v))

    def rows(self):
        for k, judge in self.best[0].items():
            ours = self.best[1][k]
            yield k, judge, ours, (ours / judge if "/s" in k
                                   else judge / max(ours, 1e-9))

    def show(self, doc=None):
        if doc:
            self.write(doc)
        print(f"{'':48}{self.names[0]:>14}{self.names[1]:>14}{'better by':>11}")
        for k, judge, ours, factor in self.rows():
            print(f"{k:48}{judge:14.2f}{ours:14.2f}{factor:10.2f}x")

    def write(self, doc):
        begin, end = f"<!-- perf:{self.section} begin -->", f"<!-- perf:{self.section} end -->"
        lines = [begin, f"{machine()}", "", f"| | {self.names[0]} | {self.names[1]} | better by |",
                 "|---|---|---|---|"]
        lines += [f"| {k} | {j:.2f} | {o:.2f} | {f:.2f} |" for k, j, o, f in self.rows()] + [end]
        with open(doc, encoding="utf-8") as f:
            text = f.read()
        if begin not in text:
            raise SystemExit(f"{doc}: no section {self.section}")
        head, rest = text.split(begin, 1)
        with open(doc, "w", encoding="utf-8") as f:
            f.write(head + "\n".join(lines) + rest.split(end, 1)[1])
