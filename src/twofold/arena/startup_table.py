"""What it takes to begin, as charts on the page and lines on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from twofold.arena import charts, registry, summary
from twofold.arena.charts import Bar
from twofold.arena.summary import Record


def startup_section(report: Record) -> Iterator[str]:
    """Bars for the import, the size and the first step."""
    found = report.get("startup")
    if not found:
        return
    here = [each for each in found if "import" in each]
    steps = [step for each in found for step in each["steps"] if "warm" in step]
    yield "<h2>To begin</h2>"
    yield '<p class="soft">The import, what is installed for it, and the first training step.</p>'
    yield figure("Import", "", bars(here, "import", summary.seconds))
    yield figure(
        "Installed size",
        "With everything that it requires, NumPy included.",
        bars(here, "size", summary.megabytes),
    )
    for name, caption in (
        ("cold", "From the start of the process to the first MLP step; caches are empty."),
        ("warm", "The same once more, with the caches that the first process left."),
    ):
        yield figure(f"First step, {name}", caption, bars(steps, name, summary.seconds))


def bars(found: list[Record], key: str, text: object) -> str:
    assert callable(text)
    made = []
    for each in sorted(found, key=lambda each: each[key]):
        title = registry.title(each["framework"])
        mode = each.get("mode", "")
        label = f"{title} {mode}" if mode and mode != each["framework"] else title
        made.append(Bar(each["framework"], label, each[key], 0, 0, text(each[key])))
    return charts.bars(made)


def figure(title: str, caption: str, drawing: str) -> str:
    return f"<figure><figcaption><b>{title}</b>{caption}</figcaption>{drawing}</figure>"


def startup_lines(report: Record) -> Iterator[str]:
    """For the terminal."""
    found = report.get("startup")
    if not found:
        return
    yield ""
    yield f"{'TO BEGIN':<28}{'import':>10}{'installed':>12}{'cold step':>12}{'warm step':>12}"
    for each in found:
        took, size = each.get("import"), each.get("size")
        steps = [step for step in each["steps"] if "warm" in step] or [{}]
        for number, step in enumerate(steps):
            name = f"{each['framework']}/{step['mode']}" if step else each["framework"]
            first = f"{summary.seconds(took):>10}{summary.megabytes(size):>12}"
            yield (
                f"{name:<28}{first if not number else '':>22}"
                f"{summary.seconds(step.get('cold')):>12}{summary.seconds(step.get('warm')):>12}"
            )
