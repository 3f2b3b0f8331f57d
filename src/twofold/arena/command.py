"""The command `twofold arena`: what it takes, and what it does with it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from twofold.arena import choose, habits, registry, startup
from twofold.arena.compare import compare
from twofold.arena.page import page
from twofold.arena.run import FORMAT, Arena, Settings
from twofold.arena.table import table
from twofold.base.atomic import atomic
from twofold.base.errors import ArgumentError

EPILOG = """\
  twofold arena                          every installed framework, the quick set
  twofold arena mlp lenet --with torch,jax --rounds 10 --html report.html --json out.json
  twofold arena my_workload.py           work of your own: see docs/guide/arena.md
  twofold arena startup behaviours       the first step and the size; what frameworks do
  twofold arena choose                   a few questions, then a measured answer
"""
ALWAYS = ("twofold", "numpy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add("rows", nargs="*", metavar="WORK", help="mlp, mlp/b64, a file of yours; none: quick set")
    add("--full", action="store_true", help="every case and every mode, startup and behaviours too")
    add("--list", action="store_true", help="list workloads and frameworks, and stop")
    add("--with", dest="peers", metavar="NAMES", help="torch,jax/jit: only these beside Twofold")
    add("--rounds", type=int, help="turns of each contestant (5; 3 in the quick set)")
    add("--seconds", type=float, help="of work in a turn (0.3; 0.15 in the quick set)")
    add("--threads", type=int, default=0, help="threads of everybody (all CPUs)")
    add("--limit", type=float, default=60.0, help="seconds before a contestant is stopped (60)")
    add("--patience", type=int, default=1, help="repeats of a turn that others disturbed (1)")
    add("--python", default="", help="the interpreter in which the peers are installed")
    add("--html", type=Path, help="write the page to this file (quick and full set: arena.html)")
    add("--json", type=Path, help="write all that was measured to this file")
    add("--compare", type=Path, metavar="OLD.JSON", help="tell what changed since this run")
    add("--record", action="store_true", help=argparse.SUPPRESS)
    add("--answers", help="for choose, without asking: train,images,no,here")


def settings_of(arguments: argparse.Namespace) -> Settings:
    named = [name for name in (arguments.peers or "").split(",") if name]
    for name in named:
        framework, _, mode = name.partition("/")
        if framework not in registry.FRAMEWORKS:
            known = ", ".join(registry.FRAMEWORKS)
            hint = "names of these, or name/mode"
            raise ArgumentError("arena", f"no framework {framework!r}", hint=hint, known=known)
        if mode and mode not in registry.modes(framework):
            known = ", ".join(registry.modes(framework))
            hint = f"{framework}/ and one of these"
            raise ArgumentError("arena", f"no mode {name!r}", hint=hint, known=known)
    chosen = ALWAYS + tuple(name.split("/")[0] for name in named)
    quick = not arguments.rows and not arguments.full
    return Settings(
        frameworks=chosen if named else registry.FRAMEWORKS,
        only=tuple(name for name in named if "/" in name),
        threads=arguments.threads,
        rounds=arguments.rounds or (3 if quick else 5),
        seconds=arguments.seconds or (0.15 if quick else 0.3),
        patience=arguments.patience,
        limit=arguments.limit,
        python=arguments.python,
        record=arguments.record,
        quick=quick,
    )


def listing() -> str:
    lines = ["workloads (* in the quick set)"]
    for row in registry.rows(list(registry.WORKLOADS)):
        quick = "*" if row.case in getattr(row.module, "QUICK", ()) else " "
        lines.append(f"  {quick} {row.name:<28} {row.title}")
    lines += ["frameworks"]
    lines += [f"    {name:<14} {', '.join(registry.modes(name))}" for name in registry.FRAMEWORKS]
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        print(listing())
        return 0
    settings = settings_of(arguments)
    old = None if arguments.compare is None else read(arguments.compare)
    words = list(arguments.rows)
    if words == ["choose"]:
        return advise(arguments, settings)
    beyond = [word for word in registry.BEYOND_TIME if word in words or arguments.full]
    named = [word for word in words if word not in registry.BEYOND_TIME]
    if named or arguments.full:
        rows = registry.rows(named or list(registry.WORKLOADS))
    else:
        rows = [] if beyond else registry.quick_rows()
    report = measure(rows, beyond, settings)
    print(table(report))
    if arguments.full or not words:
        arguments.html = arguments.html or Path("arena.html")
    write(report, arguments)
    if old is not None:
        print(f"\nsince {arguments.compare}:")
        print(compare(old, report))
    return 0


def advise(arguments: argparse.Namespace, settings: Settings) -> int:
    """Ask, measure what the answers come to, and advise."""
    given = (arguments.answers or "").split(",") if arguments.answers else None
    answers = given or choose.ask(input, print)
    known = [{word for word, _ in question.answers} for question in choose.QUESTIONS]
    if len(answers) != len(known) or not all(map(contains, known, answers)):
        hint = "; ".join(" or ".join(sorted(words)) for words in known)
        raise ArgumentError("choose", f"--answers {arguments.answers!r}", hint=hint)
    made = choose.choice(answers)
    rows = registry.rows(list(made.rows))
    report = measure(rows, ["startup"] if made.small else [], settings)
    print(table(report))
    print()
    print(choose.advise(report, made))
    write(report, arguments)
    return 0


def contains(words: set[str], word: str) -> bool:
    return word in words


def read(path: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArgumentError("arena", f"cannot read {path}: {error}") from None
    if report.get("format") != FORMAT:
        raise ArgumentError("arena", f"{path} is not a report of this version of the arena")
    return report


def write(report: dict[str, Any], arguments: argparse.Namespace) -> None:
    texts = {arguments.json: json.dumps(report, indent=1) + "\n", arguments.html: page(report)}
    for path, text in texts.items():
        if path is not None:
            with atomic(path) as file:
                file.write(text.encode())
    if arguments.html is not None:
        print(f"\n{arguments.html}: open it in a browser")


def measure(rows: list[registry.Row], beyond: list[str], settings: Settings) -> dict[str, Any]:
    arena = Arena(settings, lambda line: print(line, flush=True))
    try:
        found: dict[str, Any] = {}
        try:
            arena.start_all()
            for row in rows:
                arena.run(row)
            if "startup" in beyond:
                found["startup"] = startup.measure(arena)
            if "behaviours" in beyond:
                found["behaviours"] = habits.observe(arena)
        except KeyboardInterrupt:
            print("interrupted: what was measured so far")
        return arena.report() | found
    finally:
        arena.close()
