"""What the records of a run say: winners, times, shares, geometric means. Used by every report."""

from __future__ import annotations

import math
from typing import Any

Record = dict[str, Any]

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def seconds(time: float | None) -> str:
    """`3.21 ms`, with three digits that count."""
    if time is None:
        return "-"
    for unit, name in UNITS:
        if time >= unit:
            return f"{digits(time / unit)} {name}"
    return f"{time / 1e-9:.2g} ns"


def digits(number: float) -> str:
    return (
        f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
    )


def megabytes(count: float | None) -> str:
    return "-" if not count else f"{count / 1e6:,.0f} MB"


def timed(row: Record) -> list[Record]:
    """The contestants of a row that have a time, the fastest first."""
    found = [e for e in row["entries"] if e["verdict"] == "right" and "median" in e]
    return sorted(found, key=lambda entry: entry["median"])


def winner(row: Record) -> Record | None:
    """The fastest framework. NumPy is the floor, written by hand, and wins nothing."""
    return next((e for e in timed(row) if e["framework"] != "numpy"), None)


def best_of(row: Record, framework: str) -> Record | None:
    """The fastest mode of a framework in a row."""
    return next((e for e in timed(row) if e["framework"] == framework), None)


def name(entry: Record) -> str:
    return f"{entry['framework']}/{entry['mode']}"


def spread(entry: Record) -> float:
    """How far a contestant's turns lie apart, as a share of their median."""
    times = entry.get("times", [])
    if len(times) < 2:
        return 0.0
    return (max(times) - min(times)) / entry["median"]


def share(row: Record, entry: Record) -> float | None:
    """The part of the machine's own limit that was reached."""
    if not row.get("floor") or "median" not in entry:
        return None
    return float(row["floor"]["seconds"]) / (entry["median"] * row["repeats"])


def against_best_peer(row: Record) -> float | None:
    """The best peer's time over Twofold's: above 1, Twofold is faster."""
    ours = best_of(row, "twofold")
    peers = [e for e in timed(row) if e["framework"] not in ("twofold", "numpy")]
    return peers[0]["median"] / ours["median"] if ours and peers else None


def geometric_mean(numbers: list[float]) -> float | None:
    return math.exp(sum(map(math.log, numbers)) / len(numbers)) if numbers else None


def by_group(report: Record) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for row in report["rows"]:
        groups.setdefault(row["group"], []).append(row)
    return groups


def frameworks(report: Record) -> list[str]:
    """Those that are here, in their order, each once."""
    return list(dict.fromkeys(f["framework"] for f in report["frameworks"] if "skipped" not in f))


def noisy(entry: Record, limit: float) -> bool:
    return any(share > limit for share in entry.get("noise", []))


def reach(report: Record) -> str:
    """How far the threads were apart; "" for one thread."""
    found = report.get("reach")
    if not found:
        return ""
    least, most = found
    return f"{least:.0f} ns" if most < 2 * least else f"{least:.0f} to {most:.0f} ns"


def moved(report: Record) -> bool:
    """Whether the host moved the CPUs nearer or farther in between."""
    return " to " in reach(report)


def conclusion(report: Record) -> str:
    """One sentence: how often Twofold is first, and by how much."""
    ratios = [r for r in map(against_best_peer, report["rows"]) if r is not None]
    if not ratios:
        return "Twofold and a peer were not measured together in any row."
    first = sum(ratio > 1 for ratio in ratios)
    mean = geometric_mean(ratios)
    return (
        f"Twofold is ahead of the best peer in {first} of {len(ratios)} rows; "
        f"best peer's time / Twofold's, geometric mean: {mean:.2f}."
    )
