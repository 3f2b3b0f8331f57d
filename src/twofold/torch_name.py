"""Twofold under the name `torch`, for programs and libraries that import PyTorch. Floor 13.

    twofold run train.py --epochs 3      # the program as it is

    import twofold
    twofold.as_torch()                   # from here on `import torch` gives Twofold
    from transformers import GPT2LMHeadModel

Libraries ask for PyTorch's version before they import it, by `torch.__version__` or by what pip has
installed: both are answered with the release whose names Twofold has.
"""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from multiprocessing import spawn
from pathlib import Path
from types import ModuleType
from typing import Any, final

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Parameter, Size, Tensor

VERSION = "2.13.0"
NAME = "torch"
OURS = "twofold"
PUBLIC = {Tensor: NAME, Size: NAME, Parameter: "torch.nn.parameter"}


@final
class _Installed(Distribution):
    """What pip would know of PyTorch."""

    def read_text(self, filename: str) -> str | None:
        fields = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n"
        return fields if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        return Path(path)


@final
class _Torch(ModuleType):
    """The module `torch`: Twofold's names, and PyTorch's version."""

    __version__ = VERSION

    def __getattr__(self, name: str) -> Any:
        return self if name == NAME else getattr(sys.modules[OURS], name)

    def __dir__(self) -> list[str]:
        return dir(sys.modules[OURS])


@final
class _Finder(MetaPathFinder, Loader):
    """Finds `torch.nn` where `twofold.nn` is: one module under both names."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != NAME and not fullname.startswith(f"{NAME}."):
            return None
        ours = OURS + fullname.removeprefix(NAME)
        try:
            importlib.import_module(ours)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{ours}.".startswith(f"{error.name}."):
                return None  # there is no such module here
            raise
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if spec.name == NAME:
            made = _Torch(NAME)
            made.__path__ = []
            return made
        found = sys.modules[OURS + spec.name.removeprefix(NAME)]
        self.kept = {name: getattr(found, name, None) for name in ("__spec__", "__loader__")}
        self.kept["__package__"] = found.__package__
        if not hasattr(found, "__path__"):
            found.__path__ = []  # what is below it may be imported under the other name too
        return found

    def exec_module(self, module: ModuleType) -> None:
        """It is there already; what importing it as another wrote is put back."""
        if not isinstance(module, _Torch):
            vars(module).update(self.kept)

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[Distribution]:
        if context is None or context.name in (None, NAME):
            yield _Installed()


_finder = _Finder()


def as_torch() -> None:
    """From here on `import torch`, and every module below it, gives Twofold.

    Types are called `torch.float32` and so on, as programs expect that take their names apart.

    Raises ArgumentError where PyTorch itself is imported already.
    """
    before = sys.modules.get(NAME)
    if before is not None and not isinstance(before, _Torch):
        problem = "PyTorch itself is imported already"
        raise ArgumentError("as_torch", problem, hint="call it before anything imports torch")
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        _tell_new_processes()
    dtypes.package[0] = NAME
    for kind, module in PUBLIC.items():  # programs print the classes of values
        kind.__module__ = module


@final
class _AsTorch:
    """Calls `as_torch` where it is unpickled."""

    def __reduce__(self) -> Any:
        return as_torch, ()


def _tell_new_processes() -> None:
    """Processes that multiprocessing starts anew find Twofold, too, before their program is read.

    What they are told first is a dict, of which they unpickle every value.
    """
    tell = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        return {**tell(name), OURS: _AsTorch()}

    spawn.get_preparation_data = get_preparation_data


def check_program(words: Sequence[str], module: bool = False) -> None:
    """Raise ArgumentError unless there is such a program, or such a module."""
    if not words:
        raise ArgumentError("run", "there is no program", hint="twofold run train.py")
    if module:
        if "" not in sys.path:
            sys.path.insert(0, "")
        as_torch()  # the package that the module is in may ask for torch
        try:
            there = importlib.util.find_spec(words[0]) is not None
        except ImportError:  # of a package that it would be in
            there = False
        if not there:
            hint = f"twofold run {words[0]}, if it is a file"
            raise ArgumentError("run", f"there is no module {words[0]}", hint=hint)
    elif not Path(words[0]).is_file():
        hint = "twofold run -m package.module, if it is a module"
        raise ArgumentError("run", f"there is no file {words[0]}", hint=hint)


def run_program(words: Sequence[str], module: bool = False) -> None:
    """Run a program, or a module by its name, with these arguments, as `python` does.

    Raises ArgumentError where there is none.
    """
    check_program(words, module)
    as_torch()
    sys.argv = list(words)
    if module:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        return
    sys.path.insert(0, str(Path(words[0]).resolve().parent))
    runpy.run_path(words[0], run_name="__main__")
