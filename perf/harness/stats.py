# SPDX-License-Identifier: BSD-3-Clause
"""Medians, spreads and paired ratios: what is said about a set of rounds. Pure functions."""


def median(values):
    values = sorted(values)
    n = len(values)
    if n == 0:
        return None
    return values[n // 2] if n % 2 else (values[n // 2 - 1] + values[n // 2]) / 2


def spread(values):
    """(max - min) / median; None for fewer than two values."""
    m = median(values)
    if m is None or len(values) < 2 or m == 0:
        return None
    return (max(values) - min(values)) / m


def paired_ratios(by_round, base):
    """Ratios value/base of the rounds that have both; both are {round: value}."""
    return [by_round[r] / base[r] for r in sorted(by_round) if r in base and base[r]]


def significant(value, digits=3):
    """'14.7', '0.49', '0.00062', '1.2k' is not this function's business: plain numbers."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if abs(value) >= 0.1:
        return f"{value:.2f}"
    return f"{value:.{digits - 1}g}"


def percent(value):
    return "-" if value is None else f"{100 * value:.0f}%"
