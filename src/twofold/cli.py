"""The command `twofold`: one sub-command for each thing that is done from a terminal. Floor 15."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from twofold import torch_name
from twofold.arena import command as arena
from twofold.base.errors import USERS, TwofoldError, owner_of
from twofold.base.flags import flags
from twofold.tools import kernels
from twofold.version import __version__ as version

Run = Callable[[argparse.Namespace], int]


def show_flags(arguments: argparse.Namespace) -> int:
    print(flags)
    return 0


def run_program(arguments: argparse.Namespace) -> int:
    """Run the program; what it raises is printed as Python does, from its own first frame on."""
    torch_name.check_program(arguments.words, arguments.module)
    try:
        torch_name.run_program(arguments.words, arguments.module)
    except Exception as error:
        at = error.__traceback__
        while at is not None and owner_of(at.tb_frame.f_code.co_filename) != USERS:
            at = at.tb_next
        sys.excepthook(type(error), error.with_traceback(at), at)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="twofold", description="Twofold from the terminal.")
    made.add_argument("--version", action="version", version=f"twofold {version}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, run: Run, what: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        one.set_defaults(run=run)
        return one

    arena.add_arguments(
        add("arena", arena.run, "measure frameworks against each other on this machine")
    )
    one = add("run", run_program, "run a program that imports torch, on Twofold")
    one.epilog = "twofold run train.py --epochs 3; twofold run -m package.train --epochs 3"
    one.add_argument("-m", dest="module", action="store_true", help="a module, by its name")
    one.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="PROGRAM ...", help="a file and its arguments"
    )
    kernels.add_arguments(
        add("kernels", kernels.run, "compile what a program needs, to go along with it")
    )
    one = add("flags", show_flags, "print every switch, its value and what it does")
    one.epilog = "A switch is set by its environment variable: TWOFOLD_DEBUG=3 python train.py"
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; errors of ours are printed without a traceback."""
    made = parser()
    arguments = made.parse_args(words)
    if arguments.command is None:
        made.print_help(sys.stderr)
        return 2
    try:
        return int(arguments.run(arguments))
    except TwofoldError as error:
        error.where = ""  # no line of a program's, but the terminal
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
