"""The command `twofold`: one sub-command for each thing that is done from a terminal. Floor 15."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from twofold import torch_name
from twofold.arena import command as arena
from twofold.base.errors import TwofoldError
from twofold.base.flags import flags


def show_flags(arguments: argparse.Namespace) -> int:
    print(flags)
    return 0


def run_program(arguments: argparse.Namespace) -> int:
    torch_name.run_program(arguments.words, arguments.module)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="twofold", description="Twofold from the terminal.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = commands.add_parser("arena", help="measure frameworks against each other on this machine")
    arena.add_arguments(add)
    add.set_defaults(run=arena.run)
    add = commands.add_parser("run", help="run a program that imports torch, on Twofold")
    add.add_argument("-m", dest="module", action="store_true", help="a module, by its name")
    add.add_argument("words", nargs=argparse.REMAINDER, metavar="PROGRAM ...")
    add.set_defaults(run=run_program)
    add = commands.add_parser("flags", help="print every switch, its value and what it does")
    add.set_defaults(run=show_flags)
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; errors of ours are printed without a traceback."""
    arguments = parser().parse_args(words)
    try:
        return int(arguments.run(arguments))
    except TwofoldError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
