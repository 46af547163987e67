# SPDX-License-Identifier: BSD-3-Clause
"""Tables from the records of a run: for the terminal and for docs/performance.md. Pure, but for
update_document()."""
import re

from . import scenarios, stats

# kind -> (what the figure is called, whether more is better)
UNITS = {"throughput": ("Mpps", True), "vhost": ("Mpps", True), "vhost-bytes": ("Gbit/s", True),
         "vhost-host": ("Mpps", True), "vhost-host-bytes": ("Gbit/s", True),
         "vhost-latency": ("µs p50 / p99 / p99.9", False), "idle": ("Mpps", True), "setup": ("Mpps", True),
         "attack": ("with ÷ without", True), "latency": ("µs p50 / p99 / p99.9", False),
         "startup": ("ms", False), "outage": ("ms", False),
         "memory": ("MB resident + hugepages", False)}


def by_point(records):
    """{(scenario, flows): {switch: {round: record}}} in the order of the records."""
    points = {}
    for r in records:
        if "value" in r:
            points.setdefault((r["scenario"], r["flows"]), {}).setdefault(
                r["switch"], {})[r["round"]] = r
    return points


def middle(rounds, key):
    values = [r[key] for r in rounds.values() if r.get(key) is not None]
    return stats.median(values) if values else None


def summarise(rounds):
    """What a table says about one switch at one point; rounds is {round: record}."""
    values = [r["value"] for r in rounds.values()]
    out = {"median": stats.median(values), "spread": stats.spread(values), "n": len(values),
           "lost_cpu": max(r.get("lost_cpu") or 0 for r in rounds.values())}
    for key in ("cycles", "megaflows", "installed_per_s", "p50_us", "p99_us", "p999_us",
                "resident_mb", "hugepages_mb", "alone_pps", "under_attack_pps"):
        out[key] = middle(rounds, key)
    return out


def ratio(switches, name, base):
    """'1.45 [1.2-1.6]': median, smallest and largest of the paired ratios of two switches."""
    if name not in switches or base not in switches:
        return None
    pairs = stats.paired_ratios({r: v["value"] for r, v in switches[name].items()},
                                {r: v["value"] for r, v in switches[base].items()})
    return (stats.median(pairs), min(pairs), max(pairs)) if pairs else None


def cell(kind, s):
    if s is None:
        return "-"
    n = f"n={s['n']}"
    tail = f", {stats.percent(s['spread'])}, {n}" if s["spread"] is not None else f", {n}"
    if kind in ("latency", "vhost-latency"):
        return " / ".join(stats.significant(s[k]) for k in ("p50_us", "p99_us", "p999_us")) + tail
    if kind == "memory":
        return f"{s['resident_mb']:.0f} + {s['hugepages_mb']:.0f}{tail}"
    if kind == "attack":
        return (f"{stats.significant(s['median'])} ({stats.significant(s['alone_pps'] / 1e6)} → "
                f"{stats.significant(s['under_attack_pps'] / 1e6)} Mpps){tail}")
    text = stats.significant(s["median"])
    if s["cycles"]:
        text += f" ({s['cycles']:.0f})"
    if kind == "setup" and s["installed_per_s"] is not None:
        text += f", {s['installed_per_s'] / 1000:.0f}k installed/s"
    return text + tail


def rows(records, base="ovs"):
    """Header and rows of text for all points; one column per switch, one ratio column per switch
    other than testpmd and the base."""
    points = by_point(records)
    names = []
    for switches in points.values():
        names += [n for n in switches if n not in names]
    compared = [n for n in names if n not in ("testpmd", base)] if base in names else []
    header = ["scenario", "flows", "unit", *names, *(f"{n} ÷ {base}" for n in compared),
              "megaflows"]
    out = []
    for (name, flows), switches in points.items():
        known = scenarios.BY_NAME.get(name.split(" ")[0])
        kind = known.kind if known else "throughput"
        line = [name, scenarios.format_count(flows), UNITS[kind][0]]
        done = {n: summarise(r) for n, r in switches.items()}
        line += [cell(kind, done.get(n)) for n in names]
        for n in compared:
            r = ratio(switches, n, base)
            line.append(f"{stats.significant(r[0])} [{stats.significant(r[1])}–"
                        f"{stats.significant(r[2])}]" if r else "-")
        counts = [f"{n} {done[n]['megaflows']:.0f}" for n in names
                  if n in done and done[n]["megaflows"] is not None]
        line.append(", ".join(counts) or "-")
        out.append(line)
    return header, out


def failures(records):
    seen = {}
    for r in records:
        if "failed" in r:
            key = (r["scenario"], scenarios.format_count(r["flows"]), r["switch"], r["failed"])
            seen[key] = seen.get(key, 0) + 1
    return [f"{s}:{f} {w}: {why}" + (f" ({n} rounds)" if n > 1 else "")
            for (s, f, w, why), n in seen.items()]


def text_table(header, lines):
    table = [header, *lines]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    def form(row):
        return "  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip()
    return "\n".join([form(header), form(["-" * w for w in widths]), *map(form, lines)])


def markdown_table(header, lines):
    def form(row):
        return "| " + " | ".join(row) + " |"
    return "\n".join([form(header), form(["---"] * len(header)), *map(form, lines)])


def disturbed(records, limit=0.02):
    """Share of the measurements in which other programs took more than `limit` of the core."""
    lost = [r["lost_cpu"] for r in records if r.get("lost_cpu") is not None]
    return sum(1 for x in lost if x > limit) / len(lost) if lost else 0.0


def machine_lines(run):
    m = run["machine"]
    versions = ", ".join(f"{n} {v}" for n, v in run["versions"].items() if v)
    return [
        f"Machine: {m['cores']} × {m['cpu']}{' (virtual)' if m['virtual'] else ''}, "
        f"{', '.join(m['simd'])}; TSC {run['tsc_ghz']:.2f} GHz; Linux {m['kernel']}; "
        f"hugepages {m['hugepages']}.",
        f"Versions: {versions}. Date: {run['date']}.",
        f"Command: `{run['command']}`; load {m['load']:.1f} at the start; "
        f"{100 * disturbed(run['records']):.0f}% of the measurements shared the poll core with "
        "other programs for more than 2% of the time (that time is taken out).",
    ]


def text(run):
    header, lines = rows(run["records"])
    out = [*machine_lines(run), "", text_table(header, lines)]
    bad = failures(run["records"])
    if bad:
        out += ["", "not measured:", *("  " + b for b in bad)]
    return "\n".join(out)


def markdown(run, title):
    header, lines = rows(run["records"])
    out = [f"### {title}", "", *machine_lines(run), "",
           "Cells: median (TSC cycles per packet, ports included), spread = (max − min) ÷ median, "
           "rounds. Ratios are of pairs measured in the same round: median [smallest–largest].",
           "", markdown_table(header, lines)]
    bad = failures(run["records"])
    if bad:
        out += ["", "Not measured:", "", *("- " + b for b in bad)]
    return "\n".join(out) + "\n"


def update_document(path, section, body):
    """Puts `body` between the markers of `section`, or appends the section."""
    begin, end = f"<!-- perf:{section} begin -->", f"<!-- perf:{section} end -->"
    block = f"{begin}\n{body}{end}"
    try:
        with open(path, encoding="utf-8") as f:
            document = f.read()
    except FileNotFoundError:
        document = ""
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    if pattern.search(document):
        document = pattern.sub(lambda _: block, document)
    else:
        document = document.rstrip("\n") + ("\n\n" if document else "") + block + "\n"
    with open(path, "w", encoding="utf-8") as f:
        f.write(document)
