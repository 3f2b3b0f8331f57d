"""What changed between two runs: rows whose times differ by more than they spread."""

from __future__ import annotations

from collections.abc import Iterator

from twofold.arena import summary
from twofold.arena.summary import Record

LEAST = 0.05  # a change of less is not told, however small the spread


def compare(old: Record, new: Record) -> str:
    return "\n".join([*warnings(old, new), *changes(old, new)])


def warnings(old: Record, new: Record) -> Iterator[str]:
    """Why times of the two runs should not be compared, if they should not."""
    for key in ("cpu", "cpus"):
        if old["machine"][key] != new["machine"][key]:
            was, now = old["machine"][key], new["machine"][key]
            yield f"other machine: {key} was {was}, is {now}; only ratios between contestants count"
    if old["settings"]["threads"] != new["settings"]["threads"]:
        yield f"threads: {old['settings']['threads']} before, {new['settings']['threads']} now"
    pace = new["floors"]["median"][0] / old["floors"]["median"][0]
    if abs(pace - 1) > LEAST:
        yield f"the machine itself runs at {pace:.0%} of its earlier multiply-add rate"


def changes(old: Record, new: Record) -> Iterator[str]:
    before = {(r["name"], summary.name(e)): e for r in old["rows"] for e in r["entries"]}
    told = 0
    for row in new["rows"]:
        for entry in row["entries"]:
            earlier = before.get((row["name"], summary.name(entry)))
            line = "" if earlier is None else change(earlier, entry)
            if line:
                told += 1
                yield f"{row['name']:<28} {summary.name(entry):<22} {line}"
    if not told:
        yield "no time changed by more than it spreads"


def change(old: Record, new: Record) -> str:
    """One contestant then and now, or nothing when they are the same."""
    if old["verdict"] != new["verdict"]:
        return f"{old['verdict']} before, {new['verdict']} now"
    if "median" not in old or "median" not in new or new["verdict"] != "right":
        return ""
    ratio = new["median"] / old["median"]
    apart = min(new["times"]) > max(old["times"]) or max(new["times"]) < min(old["times"])
    if abs(ratio - 1) < LEAST or not apart:
        return ""
    word = "slower" if ratio > 1 else "faster"
    factor = max(ratio, 1 / ratio)
    was, now = summary.seconds(old["median"]), summary.seconds(new["median"])
    return f"{factor:.2f}x {word}: {was} -> {now}"
