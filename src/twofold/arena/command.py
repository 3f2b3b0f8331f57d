"""The command `twofold arena`: what it takes, and what it does with it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from twofold.arena import registry
from twofold.arena.run import Arena, Settings
from twofold.arena.table import table
from twofold.base.errors import ArgumentError

EPILOG = """\
  twofold arena                          every installed framework, the quick set
  twofold arena mlp lenet --with torch,jax --rounds 10 --html report.html --json out.json
  twofold arena my_workload.py           work of your own: see docs/guide/arena.md
"""
ALWAYS = ("twofold", "numpy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add("rows", nargs="*", metavar="WORK", help="mlp, mlp/b64, a file of yours; none: quick set")
    add("--full", action="store_true", help="every case of the workloads, not the quick ones")
    add("--list", action="store_true", help="list workloads and frameworks, and stop")
    add("--with", dest="peers", metavar="NAMES", help="torch,jax/jit: only these beside Twofold")
    add("--rounds", type=int, default=5, help="turns of each contestant (5)")
    add("--seconds", type=float, default=0.3, help="of work in a turn (0.3)")
    add("--threads", type=int, default=0, help="threads of everybody (all CPUs)")
    add("--limit", type=float, default=60.0, help="seconds before a contestant is stopped (60)")
    add("--patience", type=int, default=1, help="repeats of a turn that others disturbed (1)")
    add("--python", default="", help="the interpreter in which the peers are installed")
    add("--json", type=Path, help="write all that was measured to this file")


def settings_of(arguments: argparse.Namespace) -> Settings:
    named = [name for name in (arguments.peers or "").split(",") if name]
    for name in named:
        framework, _, mode = name.partition("/")
        if framework not in registry.FRAMEWORKS:
            raise ArgumentError("arena", f"no framework {framework!r}", known=registry.FRAMEWORKS)
        if mode and mode not in registry.modes(framework):
            raise ArgumentError("arena", f"no mode {name!r}", known=registry.modes(framework))
    chosen = ALWAYS + tuple(name.split("/")[0] for name in named)
    return Settings(
        frameworks=chosen if named else registry.FRAMEWORKS,
        only=tuple(name for name in named if "/" in name),
        threads=arguments.threads,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        patience=arguments.patience,
        limit=arguments.limit,
        python=arguments.python,
    )


def listing() -> str:
    lines = ["workloads (* in the quick set)"]
    for row in registry.rows(list(registry.WORKLOADS), full=True):
        quick = "*" if row.case in getattr(row.module, "QUICK", ()) else " "
        lines.append(f"  {quick} {row.name:<28} {row.title}")
    lines += ["frameworks"]
    lines += [f"    {name:<14} {', '.join(registry.modes(name))}" for name in registry.FRAMEWORKS]
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        print(listing())
        return 0
    named, full = arguments.rows, arguments.full
    names = named or list(registry.WORKLOADS)
    rows = registry.rows(names, full) if named or full else registry.quick_rows()
    report = measure(rows, settings_of(arguments))
    print(table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def measure(rows: list[registry.Row], settings: Settings) -> dict[str, Any]:
    arena = Arena(settings, lambda line: print(line, flush=True))
    try:
        arena.start_all()
        for row in rows:
            arena.run(row)
        return arena.report()
    finally:
        arena.close()
