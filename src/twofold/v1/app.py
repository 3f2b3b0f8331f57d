"""What surrounds a program of TensorFlow 1: flags, `app.run`, `logging`, `ConfigProto`. Floor 13.

tf.app.flags.DEFINE_integer("steps", 100, "How many steps.")
FLAGS = tf.app.flags.FLAGS

if __name__ == "__main__":
    tf.app.run()
"""

from __future__ import annotations

import argparse
import logging as python_logging
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn, final

from twofold.base.errors import ArgumentError


@final
class Flags:
    """The flags that were defined, as attributes; the command line is read at the first look."""

    def __init__(self) -> None:
        self.__dict__.update(_parser=argparse.ArgumentParser(), _values=None, _rest=[])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        values = self.read(sys.argv)
        if not hasattr(values, name):
            raise ArgumentError("flags", f"no flag is called {name!r}", hint="DEFINE_string(...)")
        return getattr(values, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.read(sys.argv), name, value)

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The values. What is no flag is left for `app.run`'s function."""
        own = self.__dict__
        if own["_values"] is None:
            own["_values"], own["_rest"] = own["_parser"].parse_known_args(list(argv[1:]))
        return own["_values"]

    def define(self, name: str, default: Any, text: str | None, **options: Any) -> None:
        own = self.__dict__
        own["_parser"].add_argument(f"--{name}", default=default, help=text, **options)
        if own["_values"] is not None:  # read before: the command line may have this one too
            before, own["_values"] = own["_values"], None
            for key, value in vars(before).items():
                setattr(self.read(sys.argv), key, value)


FLAGS = Flags()


def DEFINE_string(name: str, default: Any, help: str | None = None) -> None:
    FLAGS.define(name, default, help)


def DEFINE_integer(name: str, default: Any, help: str | None = None) -> None:
    FLAGS.define(name, default, help, type=int)


def DEFINE_float(name: str, default: Any, help: str | None = None) -> None:
    FLAGS.define(name, default, help, type=float)


def DEFINE_enum(name: str, default: Any, enum_values: Any, help: str | None = None) -> None:
    FLAGS.define(name, default, help, choices=list(enum_values))


def DEFINE_boolean(name: str, default: Any, help: str | None = None) -> None:
    """--name, --name=false or --noname."""
    FLAGS.define(name, default, help, nargs="?", const=True, type=_truth)
    parser = FLAGS.__dict__["_parser"]
    parser.add_argument(f"--no{name}", dest=name, action="store_const", const=False)


def _truth(word: str) -> bool:
    if word.lower() not in ("true", "false", "t", "f", "1", "0"):
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return word.lower() in ("true", "t", "1")


DEFINE_bool = DEFINE_boolean
flags = SimpleNamespace(
    FLAGS=FLAGS,
    DEFINE_string=DEFINE_string,
    DEFINE_integer=DEFINE_integer,
    DEFINE_float=DEFINE_float,
    DEFINE_enum=DEFINE_enum,
    DEFINE_boolean=DEFINE_boolean,
    DEFINE_bool=DEFINE_boolean,
)


def run(
    main: Callable[[list[str]], Any] | None = None, argv: Sequence[str] | None = None
) -> NoReturn:
    """Read the flags, call `main` (of the program, if not given) with the rest, and exit."""
    words = list(sys.argv if argv is None else argv)
    FLAGS.read(words)
    function = main or sys.modules["__main__"].main
    sys.exit(function([words[0], *FLAGS.__dict__["_rest"]]))


# ---- what there is to configure ------------------------------------------------------------------


@final
class Options:
    """Settings, which make no difference here; parts are made as they are named."""

    def __init__(self, **settings: Any) -> None:
        self.__dict__.update(settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = self.__dict__[name] = Options()
        return made


ConfigProto = GPUOptions = OptimizerOptions = GraphOptions = RunOptions = Options


_logger = python_logging.getLogger("twofold.v1")
logging = SimpleNamespace(
    DEBUG=python_logging.DEBUG,
    INFO=python_logging.INFO,
    WARN=python_logging.WARNING,
    WARNING=python_logging.WARNING,
    ERROR=python_logging.ERROR,
    FATAL=python_logging.CRITICAL,
    debug=_logger.debug,
    info=_logger.info,
    warn=_logger.warning,
    warning=_logger.warning,
    error=_logger.error,
    fatal=_logger.critical,
    log=_logger.log,
    set_verbosity=_logger.setLevel,
    get_verbosity=_logger.getEffectiveLevel,
)
