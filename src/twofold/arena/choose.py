"""`twofold arena choose`: a few questions, then a measured answer with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from twofold.arena import summary
from twofold.arena.summary import Record


class Question(NamedTuple):
    text: str
    answers: tuple[tuple[str, str], ...]  # (word, what it means)


class Choice(NamedTuple):
    """What the answers come to: rows to measure, and what weighs beside time."""

    rows: tuple[str, ...]
    changing_shapes: bool
    small: bool


QUESTIONS = (
    Question(
        "What will you do with it?",
        (("train", "train models"), ("serve", "run trained models"), ("both", "both")),
    ),
    Question(
        "What are your models like?",
        (
            ("small", "small networks, many short calls"),
            ("images", "convolutional networks"),
            ("text", "transformers and other sequences"),
            ("science", "equations, second derivatives"),
        ),
    ),
    Question(
        "Do the sizes of your inputs change from call to call?",
        (("no", "they stay"), ("yes", "they change")),
    ),
    Question(
        "Where must it run?",
        (("here", "on machines like this one"), ("small", "where disk and memory are short")),
    ),
)
ROWS = {
    ("train", "small"): ("overhead/chain10", "mlp/b64"),
    ("train", "images"): ("lenet/b64", "resnet18/train"),
    ("train", "text"): ("chargpt/small", "lstm/var"),
    ("train", "science"): ("pinn/b1000", "scan/1000"),
    ("serve", "small"): ("overhead/add", "rows/layer_norm_1e5"),
    ("serve", "images"): ("resnet18/b1", "resnet18/b8"),
    ("serve", "text"): ("gpt2/forward", "gpt2/decode"),
    ("serve", "science"): ("scan/1000", "rows/gelu_softmax_1e6"),
}


def ask(read: Callable[[str], str], say: Callable[[str], None]) -> list[str]:
    """The words of the answers, one for each question. Asks again for what it does not know."""
    answers = []
    for question in QUESTIONS:
        words = [word for word, _ in question.answers]
        say(question.text)
        for number, (word, meaning) in enumerate(question.answers, 1):
            say(f"  {number}  {word:<8} {meaning}")
        while True:
            given = read("> ").strip().lower()
            if given.isdigit() and 1 <= int(given) <= len(words):
                given = words[int(given) - 1]
            if given in words:
                break
            say(f"one of {', '.join(words)}, or its number")
        answers.append(given)
    return answers


def choice(answers: Sequence[str]) -> Choice:
    """What to measure for these answers."""
    use, models, shapes, place = answers
    uses = ("train", "serve") if use == "both" else (use,)
    rows = [row for each in uses for row in ROWS[each, models]]
    if shapes == "yes":
        rows.append("shapes/50")
    return Choice(tuple(dict.fromkeys(rows)), shapes == "yes", place == "small")


def advise(report: Record, made: Choice) -> str:
    """The frameworks in order, each with its reasons from the measurements."""
    scores: dict[str, list[float]] = {}
    for row in report["rows"]:
        best = summary.winner(row)
        if best is None:
            continue
        for name in summary.frameworks(report):
            entry = summary.best_of(row, name)
            if entry is not None and name != "numpy":
                scores.setdefault(name, []).append(entry["median"] / best["median"])
    if not scores:
        return "No two frameworks agreed in these rows, so there is nothing to advise."
    most = max(len(found) for found in scores.values())
    complete = {name: found for name, found in scores.items() if len(found) == most}
    means = {name: summary.geometric_mean(found) or 0.0 for name, found in complete.items()}
    order = sorted(means, key=lambda name: means[name])
    lines = [f"For this work on this machine: {order[0]}"]
    for name in order:
        lines.append(f"  {name:<12} {means[name]:.2f}x the fastest's time; {reasons(report, name)}")
    left = sorted(set(scores) - set(complete))
    if left:
        lines.append(f"  not in every row, so not ranked: {', '.join(left)}")
    if made.small:
        lines.append("  where room is short: " + room(report, order))
    return "\n".join(lines)


def reasons(report: Record, framework: str) -> str:
    """Where a framework is first, in which mode, and what it waits for at the start."""
    first = [
        row["name"]
        for row in report["rows"]
        if (best := summary.winner(row)) is not None and best["framework"] == framework
    ]
    found = [(row, summary.best_of(row, framework)) for row in report["rows"]]
    entries = [entry for _, entry in found if entry is not None]
    waits = max(entry.get("first", 0.0) + entry.get("build", 0.0) for entry in entries)
    memory = max(entry.get("memory") or 0 for entry in entries)
    words = [f"first in {', '.join(first)}"] if first else []
    words.append(f"as {', '.join(dict.fromkeys(entry['mode'] for entry in entries))}")
    words.append(f"up to {summary.seconds(waits)} to the first answer")
    words.append(f"{summary.megabytes(memory)} at most")
    return "; ".join(words)


def room(report: Record, order: Sequence[str]) -> str:
    sizes = {each["framework"]: each.get("size") for each in report.get("startup", [])}
    return ", ".join(f"{name} {summary.megabytes(sizes.get(name))}" for name in order)
