"""Kernels that go along with a program, so that it starts without compiling. Floor 14.

    twofold kernels --into kernels serve.py --once

runs the program with a cache of its own, for a CPU by name, and has everything compiled there that
was left for later. Where the folder is put beside the program, its first call finds all kernels.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence

from twofold import compiler, torch_name
from twofold.base.flags import flags
from twofold.codegen import cache
from twofold.codegen.target import NAMED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arm = platform.machine().lower() in ("aarch64", "arm64")
    parser.epilog = "twofold kernels --into kernels serve.py --once"
    parser.add_argument(
        "--cpu",
        choices=NAMED,
        default="aarch64" if arm else "x86-64-v3",
        help="what the kernels run on: every such CPU (%(default)s)",
    )
    parser.add_argument(
        "--into", default="kernels", metavar="FOLDER", help="where they are kept (%(default)s)"
    )
    parser.add_argument("-m", dest="module", action="store_true", help="a module, by its name")
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="PROGRAM ...", help="a file and its arguments"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the program in a process of its own, as the switches hold for a whole process."""
    torch_name.check_program(arguments.words, arguments.module)
    folder = os.path.abspath(arguments.into)
    switches = {"TWOFOLD_CACHE": folder, "TWOFOLD_CPU": arguments.cpu}
    module = ["-m"] if arguments.module else []
    command = [sys.executable, "-m", __name__, *module, *arguments.words]
    return subprocess.run(command, env={**os.environ, **switches}, check=False).returncode


def main(words: Sequence[str]) -> None:
    """In that process: the program, then what it has left for later."""
    module = words[0] == "-m"
    try:
        torch_name.run_program(words[1:] if module else words, module)
    except SystemExit as end:
        if end.code:
            raise
    compiler.settle()  # what this process has not needed yet, a longer one will
    count, size = cache.share()
    print(f"{count} kernels, {size / 1e6:.1f} MB, for {flags.cpu}; they are found with")
    print(f"TWOFOLD_CACHE={cache.root()} TWOFOLD_CPU={flags.cpu}")


if __name__ == "__main__":
    main(sys.argv[1:])
