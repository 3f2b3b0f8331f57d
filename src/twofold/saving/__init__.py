"""Saving and loading: nested values in safetensors files. Floor 9."""

from twofold.saving.container import DamagedFileError
from twofold.saving.files import load, save
