# SPDX-License-Identifier: BSD-3-Clause
"""Draws the records of a run as SVG, by hand: flows on the x axis and Mpps on the y axis, or the
victim's speed over time for an attack. Pure functions from a run to the text of a file."""
import math
from xml.sax.saxutils import escape

from . import report, scenarios, stats

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 50, 60
# Colours that differ in lightness too, and another mark each, for print and for the colour-blind.
STYLES = {"sluice": ("#0b6e4f", "circle"), "ovs": ("#c1440e", "square"),
          "datapath": ("#0b6e4f", "triangle"), "testpmd": ("#7a7a7a", "none")}
SPARE = (("#2f5fb3", "triangle"), ("#8e3b8e", "diamond"), ("#b8860b", "circle"))


def style_of(name, names):
    if name in STYLES:
        return STYLES[name]
    others = [n for n in names if n not in STYLES]
    return SPARE[others.index(name) % len(SPARE)]


class Axes:
    """Maps values to the drawing, and collects its elements."""

    def __init__(self, title, x_label, y_label, x_range, y_range, log_y=False):
        self.x_range, self.y_range, self.log_y = x_range, y_range, log_y
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        ]
        self.text(WIDTH / 2, 24, title, anchor="middle", size=15)
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_label, anchor="middle")
        self.parts.append(
            f'<text x="18" y="{(TOP + HEIGHT - BOTTOM) / 2:.0f}" text-anchor="middle" '
            f'transform="rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2:.0f})">{escape(y_label)}'
            '</text>')
        self.box()

    def box(self):
        self.parts.append(
            f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
            f'height="{HEIGHT - TOP - BOTTOM}" fill="none" stroke="#444"/>')

    def x(self, v):
        lo, hi = self.x_range
        return LEFT + (v - lo) / ((hi - lo) or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, v):
        lo, hi = self.y_range
        if self.log_y:
            v, lo, hi = math.log10(max(v, lo)), math.log10(lo), math.log10(hi)
        return HEIGHT - BOTTOM - (v - lo) / ((hi - lo) or 1) * (HEIGHT - TOP - BOTTOM)

    def text(self, x, y, words, anchor="start", size=12, colour="#222"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
                          f'font-size="{size}" fill="{colour}">{escape(str(words))}</text>')

    def line(self, x1, y1, x2, y2, colour="#ddd", width=1, dash=""):
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{colour}" stroke-width="{width}"{extra}/>')

    def x_tick(self, v, words):
        self.line(self.x(v), TOP, self.x(v), HEIGHT - BOTTOM)
        self.text(self.x(v), HEIGHT - BOTTOM + 18, words, anchor="middle")

    def y_tick(self, v, words):
        self.line(LEFT, self.y(v), WIDTH - RIGHT, self.y(v))
        self.text(LEFT - 8, self.y(v) + 4, words, anchor="end")

    def path(self, points, colour, dash=""):
        text = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in points)
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{text}" fill="none" stroke="{colour}" '
                          f'stroke-width="2"{extra}/>')

    def mark(self, v, w, colour, shape):
        self.shape(self.x(v), self.y(w), colour, shape)

    def shape(self, x, y, colour, shape):
        if shape == "circle":
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        elif shape != "none":
            corners = {"square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
                       "triangle": ((0, -5), (5, 4), (-5, 4)),
                       "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0))}[shape]
            text = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
            self.parts.append(f'<polygon points="{text}" fill="{colour}"/>')

    def legend(self, row, words, colour, shape, dash=""):
        x, y = WIDTH - RIGHT + 14, TOP + 12 + 20 * row
        self.line(x, y, x + 24, y, colour, 2, dash)
        self.shape(x + 12, y, colour, shape)
        self.text(x + 30, y + 4, words)

    def done(self):
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def ticks(top):
    """Five or so round steps from 0 to at least `top`."""
    rough = (top or 1) / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * f for f in (1, 2, 5, 10) if unit * f >= rough)
    return [step * i for i in range(math.ceil((top or 1) / step - 1e-9) + 1)]


def speed(run, name):
    """Median Mpps over the number of flows, with the smallest and largest round as whiskers.
    testpmd's limit may be many times higher: then it is written at the top, not drawn."""
    points = {f: s for (n, f), s in report.by_point(run["records"]).items() if n == name}
    if not points:
        raise ValueError(f"{name}: the run has no figures for it")
    flows = sorted(points)
    names = list(dict.fromkeys(n for s in points.values() for n in s))
    values = {n: {f: [r["value"] for r in points[f][n].values()] for f in flows if n in points[f]}
              for n in names}
    drawn = [n for n in names if n != "testpmd"] or names
    top = max(max(v) for n in drawn for v in values[n].values())
    steps = ticks(top * 1.05)
    what = scenarios.BY_NAME[name].what if name in scenarios.BY_NAME else name
    axes = Axes(f"{name}: {what}", "flows", "Mpps, 64-byte packets, one core",
                (-0.3, len(flows) - 0.7), (0, steps[-1]))
    for i, f in enumerate(flows):
        axes.x_tick(i, scenarios.format_count(f))
    for s in steps:
        axes.y_tick(s, f"{s:g}")
    axes.box()
    for row, n in enumerate(names):
        colour, shape = style_of(n, names)
        medians = [(flows.index(f), stats.median(v)) for f, v in values[n].items()]
        limit = n not in drawn
        if limit and max(m for _, m in medians) > steps[-1]:
            low, high = min(m for _, m in medians), max(m for _, m in medians)
            axes.legend(row, f"{n}: {low:.0f}–{high:.0f}", colour, shape, "6 4")
            continue
        axes.path(medians, colour, "6 4" if limit else "")
        for f, v in values[n].items():
            i = flows.index(f)
            axes.line(axes.x(i), axes.y(min(v)), axes.x(i), axes.y(max(v)), colour, 1)
            axes.mark(i, stats.median(v), colour, shape)
        axes.legend(row, n, colour, shape, "6 4" if limit else "")
    return axes.done()


def attack(run, name):
    """The victim's Mpps over the seconds since the attack began, first round of each switch; the
    scale is logarithmic because a bad case loses four powers of ten."""
    series = {}
    for r in run["records"]:
        if r["scenario"] == name and r.get("series") and r["switch"] not in series:
            series[r["switch"]] = [(t, pps / 1e6) for t, pps in r["series"]]
    if not series:
        raise ValueError(f"{name}: the run has no attack of this name")
    last = max(t for s in series.values() for t, _ in s)
    top = max(v for s in series.values() for _, v in s)
    low = min(max(v, 1e-5) for s in series.values() for _, v in s)
    bottom = 10 ** math.floor(math.log10(min(low, top / 10)))
    what = scenarios.BY_NAME[name].what if name in scenarios.BY_NAME else name
    axes = Axes(f"{name}: {what}", "seconds since the attack began (0: before it)",
                "victim's Mpps (logarithmic)", (0, last or 1), (bottom, top * 1.3), log_y=True)
    for t in ticks(last or 1):
        if t <= last:
            axes.x_tick(t, f"{t:g}")
    for e in range(int(math.log10(bottom)), int(math.floor(math.log10(top * 1.3))) + 1):
        axes.y_tick(10 ** e, f"{10 ** e:g}")
    axes.box()
    for row, (n, points) in enumerate(series.items()):
        colour, shape = style_of(n, list(series))
        axes.path([(t, max(v, bottom)) for t, v in points], colour)
        axes.legend(row, n, colour, shape)
    return axes.done()


def drawable(run):
    """[(scenario, function)] of what a run has for drawing."""
    found = []
    for (name, _), _ in report.by_point(run["records"]).items():
        kind = scenarios.BY_NAME[name].kind if name in scenarios.BY_NAME else None
        flows = [f for (n, f) in report.by_point(run["records"]) if n == name]
        pick = (name, speed) if kind == "throughput" and len(flows) > 1 else (
            (name, attack) if kind == "attack" else None)
        if pick and pick not in found:
            found.append(pick)
    return found
