"""Saving and loading: nested values in safetensors files. Floor 9."""

import importlib as _importlib

# The files are imported when something is saved or loaded.
_LATE = {
    "DamagedFileError": "twofold.saving.container",
    "load": "twofold.saving.files",
    "save": "twofold.saving.files",
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        return getattr(_importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module 'twofold.saving' has no attribute {name!r}")
