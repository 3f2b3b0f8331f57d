"""The report as one HTML page: charts, machine, versions, the code of each contestant.

It needs nothing but itself: styles and charts stand in it, and no script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

from twofold.arena import charts, registry, summary
from twofold.arena.charts import Bar, Dot
from twofold.arena.habits_table import habits_section
from twofold.arena.run import NOISY
from twofold.arena.startup_table import startup_section
from twofold.arena.summary import Record

STYLE = Path(__file__).with_name("page.css")
GROUPS = {
    "training": ("Training", "One step: forward, backward, and the optimizer's update."),
    "inference": ("Inference", "Trained weights, answers only."),
    "overhead": ("The price of a call", "Four elements: what is left is the framework itself."),
    "kernels": ("Kernels", "Single functions, where memory or a long chain decides."),
    "shapes": ("New shapes", "Each in a new process with empty caches; compilation counts."),
    "seed": ("The seed question", "d(x²)/dx, asked in every dialect."),
    "yours": ("Your work", ""),
}


def page(report: Record) -> str:
    body = "\n".join(
        [
            *head(report),
            *overview(report),
            *sections(report),
            *startup_section(report),
            *habits_section(report),
            *method(report),
        ]
    )
    style = STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Twofold arena</title><style>\n{style}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def head(report: Record) -> Iterator[str]:
    here, settings = report["machine"], report["settings"]
    flops, read, copy = report["floors"]["median"]
    yield "<h1>Which framework for your work?</h1>"
    yield (
        '<p class="lead">The same work in every framework, on this machine; '
        "results compared before anything was timed.</p>"
    )
    yield f'<p class="lead"><b>{escape(summary.conclusion(report))}</b></p>'
    facts = {
        "processor": here["cpu"],
        "threads for everybody": settings["threads"],
        "multiply-adds": f"{flops / 1e9:.0f} GFLOP/s",
        "memory, reading": f"{read / 1e9:.1f} GB/s",
        "memory, copying": f"{copy / 1e9:.1f} GB/s",
        "memory": f"{here['memory'] / 1e9:.0f} GB",
        "from thread to thread": summary.reach(report) or "-",
        "load": f"{here['load']:.1f}",
        "when": report["when"].replace("T", " ")[:16],
    }
    items = "".join(f"<li>{escape(k)}<b>{escape(str(v))}</b></li>" for k, v in facts.items())
    yield f'<ul class="facts">{items}</ul>'
    entries = [e for row in report["rows"] for e in row["entries"]]
    noisy = [e for e in entries if summary.noisy(e, NOISY)]
    if noisy:
        yield (
            f'<p class="warning">Others used more than {NOISY:.0%} of this machine in some turns '
            f"of {len(noisy)} of {sum('times' in e for e in entries)} measurements. "
            "Doubt close results, and repeat the run in quiet.</p>"
        )
    yield (
        '<div class="legend">'
        + "".join(
            f'<span><i class="{name}"></i>{escape(registry.title(name))}</span>'
            for name in summary.frameworks(report)
        )
        + "</div>"
    )


def overview(report: Record) -> Iterator[str]:
    """Four charts with a line for each row: time, share of the limit, memory, first call."""
    rows = [row for row in report["rows"] if summary.winner(row)]
    if not rows:
        return
    yield "<h2>At a glance</h2>"
    yield '<p class="soft">Each framework in its fastest mode. Hover a mark for its figure.</p>'
    fastest = {id(row): summary.timed(row)[0]["median"] for row in rows}

    def times(row: Record, entry: Record) -> tuple[float, str]:
        return entry["median"] / fastest[id(row)], summary.seconds(entry["median"])

    def shares(row: Record, entry: Record) -> tuple[float, str]:
        part = summary.share(row, entry) or 0.0
        return part, f"{part:.1%}"

    def memory(row: Record, entry: Record) -> tuple[float, str]:
        return entry.get("memory") or 0.0, summary.megabytes(entry.get("memory"))

    def first(row: Record, entry: Record) -> tuple[float, str]:
        took = entry.get("first", 0.0) + entry.get("build", 0.0)
        return took, summary.seconds(took)

    yield figure(
        "Time, as a multiple of the fastest",
        "Further left is faster; the axis is logarithmic.",
        charts.dots(series(rows, times), lambda v: f"{v:g}x"),
    )
    limited = [row for row in rows if row.get("floor")]
    yield figure(
        "Share of the machine's limit",
        "Multiply-adds or bytes that the work needs at least, over what the machine can do: "
        "further right is better.",
        charts.dots(series(limited, shares), lambda v: f"{v:.0%}", log=False, top=1.0),
    )
    yield figure(
        "Peak memory of the process",
        "With the framework itself; further left is less.",
        charts.dots(series(rows, memory), lambda v: summary.megabytes(v)),
    )
    yield figure(
        "Until the first answer",
        "Building the model, tracing, compiling, and the first call.",
        charts.dots(series(rows, first), round_time),
    )


def round_time(time: float) -> str:
    """A tick of an axis: `10 ms`, not `10.0 ms`."""
    return summary.seconds(time).replace(".00 ", " ").replace(".0 ", " ")


def series(
    rows: list[Record], read: Callable[[Record, Record], tuple[float, str]]
) -> list[tuple[str, list[Dot]]]:
    made = []
    for row in rows:
        found = []
        for name in registry.FRAMEWORKS:
            entry = summary.best_of(row, name)
            if entry is not None:
                value, text = read(row, entry)
                found.append(Dot(name, value, f"{label(entry)}: {text}"))
        made.append((short(row["title"]), found))
    return made


def short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip(" ,") + "…"


def figure(title: str, caption: str, drawing: str) -> str:
    if not drawing:
        return ""
    text = f"<b>{escape(title)}</b>{escape(caption)}"
    return f"<figure><figcaption>{text}</figcaption>{drawing}</figure>"


def sections(report: Record) -> Iterator[str]:
    groups = summary.by_group(report)
    for group in [*GROUPS, *(name for name in groups if name not in GROUPS)]:
        if group not in groups:
            continue
        title, caption = GROUPS.get(group, (group, ""))
        yield f'<h2>{escape(title)}</h2><p class="soft">{escape(caption)}</p>'
        for row in groups[group]:
            yield card(row)


def card(row: Record) -> str:
    """One row: bars, a table of everything else, and the code."""
    entries = summary.timed(row)
    best = summary.winner(row)
    floor = row.get("floor")
    limit = floor["seconds"] / row["repeats"] if floor else None
    drawing = charts.bars(
        [bar(entry) for entry in entries],
        limit,
        f"{floor['by']} limit of this machine, {summary.seconds(limit)}" if floor else "",
    )
    if best is None:
        first = "nobody has a time: see the table for the reasons"
    else:
        first = f"first: <b>{escape(label(best))}</b> {summary.seconds(best['median'])}"
    return (
        f'<section class="card"><header><h3>{escape(row["title"])}</h3>'
        f'<span class="first">{first}</span></header>{drawing}'
        f"{figures(row, best)}{code(row)}</section>"
    )


def bar(entry: Record) -> Bar:
    return Bar(
        entry["framework"],
        label(entry),
        entry["median"],
        min(entry["times"]),
        max(entry["times"]),
        summary.seconds(entry["median"]),
    )


def label(entry: Record) -> str:
    title = registry.title(entry["framework"])
    return title if entry["mode"] == entry["framework"] else f"{title} {entry['mode']}"


def figures(row: Record, best: Record | None) -> str:
    lines = []
    for entry in summary.timed(row):
        share = summary.share(row, entry)
        cells = [
            summary.seconds(entry["median"]),
            f"± {summary.spread(entry) / 2:.0%}",
            "-" if share is None else percent(share),
            summary.megabytes(entry.get("memory")),
            summary.seconds(entry.get("build", 0.0) + entry.get("first", 0.0)),
            f"{max(entry.get('noise', [0.0])):.0%}",
        ]
        lines.append(
            f"<tr{' class=best' if entry is best else ''}><td>{name_cell(entry)}</td>"
            + "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
            + "</tr>"
        )
    heads = ("time", "spread", "of the limit", "peak memory", "first answer", "others")
    top = "<th>contestant</th>" + "".join(f'<th class="number">{h}</th>' for h in heads)
    out = [
        f"<tr><td>{name_cell(entry)}</td>"
        f"<td>{escape(entry['verdict'])}</td><td>{escape(entry['reason'])}</td></tr>"
        for entry in row["entries"]
        if "median" not in entry or entry["verdict"] != "right"
    ]
    rest = f'<div class="table"><table>{"".join(out)}</table></div>' if out else ""
    count = f"<details><summary>{len(out)} without a time, and why</summary>{rest}</details>"
    table = f'<div class="table"><table><tr>{top}</tr>{"".join(lines)}</table></div>'
    return f"<details><summary>Figures</summary>{table}</details>{count if out else ''}"


def percent(part: float) -> str:
    return f"{part:.0%}" if part >= 0.1 else f"{part:.1%}"


def name_cell(entry: Record) -> str:
    return f'<span class="swatch {entry["framework"]}"></span>{escape(label(entry))}'


def code(row: Record) -> str:
    shown: dict[str, str] = {}
    for entry in row["entries"]:
        if entry["code"] and entry["verdict"] != "refused":
            shown.setdefault(entry["framework"], entry["code"])
    parts = "".join(
        f"<details><summary>{escape(registry.title(name))}</summary>"
        f"<pre>{escape(text)}</pre></details>"
        for name, text in shown.items()
    )
    return f"<details><summary>The code of each contestant</summary>{parts}</details>"


def method(report: Record) -> Iterator[str]:
    """How it was measured, with which versions, and who was not here."""
    settings, here = report["settings"], report["machine"]
    yield "<h2>How it was measured</h2>"
    yield (
        "<p>Each framework in each mode has a process of its own, which is stopped while others "
        "have their turn. Before anything is timed, three calls on inputs of their own are "
        "compared: outputs or losses, and how far every weight moved. Whoever differs has no time, "
        "and neither has anybody where no two frameworks agree. Every timed call has inputs that "
        "were never used before, and its results are checked again.</p>"
        f"<p>{settings['rounds']} rounds in rotating order, {settings['seconds']:g} s of work in a "
        f"turn; the median of the turns' medians, and their spread. {settings['threads']} threads "
        "for everybody, float32. A turn in which others used more than "
        f"{NOISY:.0%} of the machine is repeated up to {settings['patience']} times. The "
        "machine's limits are measured in every round: multiply-adds in registers, reading and "
        "copying memory. NumPy is the floor, written by hand; it wins nothing.</p>"
    )
    lines = []
    for entry in report["frameworks"]:
        took = summary.seconds(entry["import"]) if "import" in entry else ""
        state = escape(entry.get("version", "")) or f"skipped: {escape(entry.get('skipped', ''))}"
        lines.append(f'<tr><td>{name_cell(entry)}</td><td>{state}</td>'
                     f'<td class="number">{took}</td></tr>')  # fmt: skip
    yield (
        '<div class="card table"><table><tr><th>contestant</th><th>version</th>'
        f'<th class="number">import</th></tr>{"".join(lines)}</table></div>'
    )
    yield (
        f"<footer>{escape(here['system'])}, Python {escape(here['python'])}, NumPy "
        f"{escape(here['numpy'])}, {escape(', '.join(here['features']))}. Made by "
        "<code>twofold arena</code>; no figure was edited.</footer>"
    )
