"""Write the arena's last run, docs/arena/report.json, into README.md and docs/performance.md: what
lies there between `<!-- arena ... -->` and `<!-- /arena -->` comes from here.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twofold.arena import summary

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "arena" / "report.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
PART = re.compile(r"(<!-- arena (\w+) -->\n).*?(<!-- /arena -->)", re.DOTALL)

COLUMNS = {
    "twofold": "Twofold",
    "torch": "PyTorch",
    "jax": "JAX",
    "tensorflow": "TensorFlow",
    "onnxruntime": "ONNX Runtime",
}
OF_README = ("overhead", "mlp", "lenet", "resnet18", "chargpt", "lstm", "pinn", "gpt2")
Record = dict[str, Any]


def ranked(row: Record) -> list[Record]:
    """A row's times, the best first; NumPy is the floor and no contestant."""
    return [entry for entry in summary.timed(row) if entry["framework"] != "numpy"]


def exact_of(row: Record) -> Record:
    """Twofold's best time with the bits of eager calls."""
    return next(e for e in ranked(row) if e["framework"] == "twofold" and e["mode"] != "fast_math")


def cell(row: Record, framework: str) -> str:
    best = summary.best_of(row, framework)
    if best is None:
        return "-"
    text = summary.seconds(best["median"])
    if best is ranked(row)[0]:
        text = f"**{text}**"
    if framework == "twofold" and best["mode"] == "fast_math":
        text += f" / {summary.seconds(exact_of(row)['median'])}"
    return text


def table(rows: list[Record]) -> Iterator[str]:
    yield f"| | {' | '.join(COLUMNS.values())} | of the limit |"
    yield f"|{'---|' * (len(COLUMNS) + 2)}"
    for row in rows:
        share = summary.share(row, ranked(row)[0])
        cells = [row["title"], *(cell(row, framework) for framework in COLUMNS)]
        yield f"| {' | '.join(cells)} | {f'{share:.0%}' if share else ''} |"


def ratios(report: Record, exact: bool) -> list[tuple[float, Record, Record]]:
    """The best peer's time over Twofold's, the row and the peer, of each row with both."""
    found = []
    for row in report["rows"]:
        peer = next((e for e in ranked(row) if e["framework"] != "twofold"), None)
        ours = exact_of(row) if exact else summary.best_of(row, "twofold")
        if peer is not None and ours is not None:
            found.append((peer["median"] / ours["median"], row, peer))
    return found


def standing(report: Record, exact: bool) -> tuple[int, float]:
    """In how many rows Twofold is first, and the geometric mean of all."""
    found = [ratio for ratio, *_ in ratios(report, exact)]
    return sum(ratio >= 1 for ratio in found), summary.geometric_mean(found) or 0.0


def result(report: Record) -> Iterator[str]:
    first, mean = standing(report, exact=False)
    exact, exact_mean = standing(report, exact=True)
    found = ratios(report, exact=False)
    yield filled(
        f"Twofold is first in {first} of {len(found)} rows, and {mean:.2f} times as fast as the "
        f"best peer by geometric mean; without `fast_math` in {exact}, and {exact_mean:.2f}. "
        "Where it is not:"
    )
    yield ""
    for ratio, row, peer in sorted(found, key=lambda one: one[0], reverse=True):
        if ratio < 1:
            ours = summary.seconds(summary.best_of(row, "twofold")["median"])
            theirs = f"{COLUMNS[peer['framework']]} {summary.seconds(peer['median'])}"
            yield f"- {row['title']}: {ours}, {theirs} ({1 / ratio:.2f} times)"


def machine(report: Record) -> Iterator[str]:
    about, floors = report["machine"], report["floors"]["median"]
    flops, read, copied = (f"{floor / 1e9:.0f}" for floor in floors)
    versions = {f["framework"]: f["version"] for f in report["frameworks"] if "version" in f}
    known = [f"{title} {versions[name]}" for name, title in COLUMNS.items() if name in versions]
    yield filled(
        f"{report['when'][:10]}, {about['cpus']} CPUs of an {about['cpu']} "
        f"({', '.join(about['features'])}): "
        f"{flops} GFLOP/s of multiply-adds, {read} GB/s read, {copied} copied; a line of the cache "
        f"takes {summary.reach(report)} from thread to thread. Python {about['python']}, "
        f"NumPy {about['numpy']}, {', '.join(known)}."
    )


def filled(text: str) -> str:
    return textwrap.fill(text, 110, break_long_words=False, break_on_hyphens=False)


def parts(report: Record) -> dict[str, str]:
    """What stands between the marks, by their names."""
    of_readme = [row for row in report["rows"] if row["workload"] in OF_README]
    lines = {
        "machine": machine(report),
        "result": result(report),
        "rows": table(report["rows"]),
        "models": table(of_readme),
    }
    return {name: "".join(f"{line}\n" for line in found) for name, found in lines.items()}


def written(text: str, made: dict[str, str]) -> str:
    return PART.sub(lambda found: found[1] + made[found[2]] + found[3], text)


def main() -> int:
    made = parts(json.loads(REPORT.read_text(encoding="utf-8")))
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8"), made), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
