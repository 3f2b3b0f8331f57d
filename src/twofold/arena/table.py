"""The report on the terminal: a table with the winner of each row, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator

from twofold.arena import summary
from twofold.arena.habits_table import habits_lines
from twofold.arena.run import NOISY
from twofold.arena.startup_table import startup_lines
from twofold.arena.summary import Record

TITLE, COLUMN = 44, 12


def table(report: Record) -> str:
    more = [*startup_lines(report), *habits_lines(report)]
    lines = [*head(report), *body(report), *more, "", *notes(report)]
    return "\n".join([*lines, summary.conclusion(report)] if report["rows"] else lines)


def head(report: Record) -> Iterator[str]:
    here, settings = report["machine"], report["settings"]
    flops, read, copy = report["floors"]["median"]
    yield f"{here['cpu']}, {settings['threads']} threads each, {here['system']}"
    yield (
        f"limits of this machine: {flops / 1e9:.0f} GFLOP/s, "
        f"reads {read / 1e9:.1f} GB/s, copies {copy / 1e9:.1f} GB/s; load {here['load']:.1f}"
    )
    if summary.reach(report):
        yield f"a line of the cache reaches the other thread in {summary.reach(report)}"
    here_are = {
        entry["title"]: entry["version"] for entry in report["frameworks"] if "version" in entry
    }
    yield ", ".join(f"{title} {version}" for title, version in here_are.items())
    for entry in report["frameworks"]:
        if "skipped" in entry:
            yield f"skipped: {summary.name(entry)}: {entry['skipped']}"


def body(report: Record) -> Iterator[str]:
    names = summary.frameworks(report)
    for group, rows in summary.by_group(report).items():
        yield ""
        columns = "".join(f"{name[: COLUMN - 1]:>{COLUMN}}" for name in names)
        yield f"{group.upper():<{TITLE}}{columns}  first"
        for row in rows:
            best = summary.winner(row)
            cells = ""
            for name in names:
                entry = summary.best_of(row, name)
                mark = "*" if entry is not None and entry is best else ""
                cells += f"{mark + cell(row, name):>{COLUMN}}"
            yield f"{row['title'][: TITLE - 2]:<{TITLE}}{cells}  {first(row, best)}"


def cell(row: Record, framework: str) -> str:
    entry = summary.best_of(row, framework)
    if entry is not None:
        return summary.seconds(entry["median"])
    verdicts = {e["verdict"] for e in row["entries"] if e["framework"] == framework}
    for verdict in ("wrong", "error", "unconfirmed"):
        if verdict in verdicts:
            return verdict[:7]
    return "-"


def first(row: Record, best: Record | None) -> str:
    if best is None:
        return "nobody"
    reached = summary.share(row, best)
    suffix = "" if reached is None else f", {reached:.0%} of the {row['floor']['by']} limit"
    return summary.name(best) + suffix


def notes(report: Record) -> Iterator[str]:
    """Who has no time and why, and which times to doubt."""
    loud = []
    for row in report["rows"]:
        for entry in row["entries"]:
            if entry["verdict"] in ("wrong", "error"):
                who, reason = summary.name(entry), entry["reason"]
                yield f"{entry['verdict']}: {who} in {row['name']}: {reason}"
            loud.append(summary.noisy(entry, NOISY))
        if row["entries"] and all(e["verdict"] == "unconfirmed" for e in checked(row)):
            yield f"unconfirmed: {row['name']}: no two frameworks agree, so nobody has a time"
    if any(loud):
        yield f"others used more than {NOISY:.0%} of the machine in some turns: repeat it in quiet"
    if summary.moved(report):
        yield "CPUs moved nearer or farther meanwhile: what threads share has two speeds here"


def checked(row: Record) -> list[Record]:
    found = [e for e in row["entries"] if e["verdict"] not in ("refused", "error")]
    return found or [{"verdict": ""}]
