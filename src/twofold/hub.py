"""Files of weights from the net, under torch.hub's names: fetched once, then read from a folder.

A file of `torch.save` is read without running anything in it. Code of repositories is not fetched:
`load` takes a folder. Floor 12.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import urlopen

from twofold.base.atomic import atomic
from twofold.base.errors import ArgumentError
from twofold.saving.files import load as load_file

__all__ = [
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "set_dir",
]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # the beginning of a file's SHA-256, in its name
PIECE = 1 << 20
_folder: list[str] = []


def _get_torch_home() -> str:
    """Where files are kept: TORCH_HOME, or `torch` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))


def get_dir() -> str:
    """The folder of what was fetched: `set_dir`'s, or `hub` in `_get_torch_home`."""
    return _folder[0] if _folder else os.path.join(_get_torch_home(), "hub")


def set_dir(d: Any) -> None:
    """Keep what is fetched in another folder."""
    _folder[:] = [os.path.expanduser(str(d))]


def download_url_to_file(
    url: str, dst: str, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Fetch a file, whole or not at all. Raises ArgumentError where its SHA-256 does not begin with
    `hash_prefix`. There is no bar: `progress` is taken for PyTorch's sake.
    """
    seen = hashlib.sha256()
    with urlopen(url) as source, atomic(dst) as file:
        while piece := source.read(PIECE):
            seen.update(piece)
            file.write(piece)
        if hash_prefix and not seen.hexdigest().startswith(hash_prefix):
            problem = f"the file's SHA-256 is {seen.hexdigest()}, which does not begin as it should"
            raise ArgumentError("download_url_to_file", problem, hint="fetch it again", url=url)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """What a file of the net holds; fetched into `model_dir` (`checkpoints` in `get_dir()`) unless
    it is there. check_hash: its name ends on `-` and the beginning of its SHA-256.
    """
    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    return load_file(_unpacked(path, folder), map_location=map_location)


def _unpacked(path: str, folder: str) -> str:
    """The file, or the one file in it where it was packed in PyTorch's older way."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1:
            return path
        return archive.extract(names[0], folder)


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """What the function `model` of a folder's `hubconf.py` gives, with source="local". Raises
    ArgumentError for a repository of the net, and where there is no such function.
    """
    with _hubconf("hub.load", repo_or_dir, source) as module:
        return _entry("hub.load", module, model)(*args, **kwargs)


def list(github: str, *args: Any, source: str = "github", **options: Any) -> Any:
    """The names of the functions in a folder's `hubconf.py`, with source="local"."""
    with _hubconf("hub.list", github, source) as module:
        return _names(module)


def help(github: str, model: str, *args: Any, source: str = "github", **options: Any) -> Any:
    """The docstring of a function in a folder's `hubconf.py`, with source="local"."""
    with _hubconf("hub.help", github, source) as module:
        return _entry("hub.help", module, model).__doc__


@contextlib.contextmanager
def _hubconf(asked: str, folder: str, source: str) -> Iterator[Any]:
    """The module of a folder's `hubconf.py`, beside whose files it may import in the block."""
    config = Path(folder) / "hubconf.py"
    if source != "local" or not config.is_file():
        problem = f"{folder} is no folder with a hubconf.py"
        hint = f'fetch the repository, then {asked}(folder, ..., source="local")'
        raise ArgumentError(asked, problem, hint=hint)
    spec: Any = importlib.util.spec_from_file_location("hubconf", config)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(config.parent))
    try:
        spec.loader.exec_module(module)
        missing = [m for m in getattr(module, "dependencies", ()) if not _there(m)]
        if missing:
            problem = f"{folder} needs {', '.join(missing)}"
            raise ArgumentError(asked, problem, hint="install them")
        yield module
    finally:
        sys.path.remove(str(config.parent))


def _there(name: str) -> bool:
    return name in ("torch", "twofold") or importlib.util.find_spec(name) is not None


def _names(module: Any) -> Any:
    return [name for name, value in vars(module).items() if callable(value) and name[:1] != "_"]


def _entry(asked: str, module: Any, model: str) -> Any:
    found = getattr(module, model, None)
    if not callable(found):
        hint = f"one of {', '.join(_names(module))}"
        raise ArgumentError(asked, f"hubconf.py has no function {model!r}", hint=hint)
    return found
