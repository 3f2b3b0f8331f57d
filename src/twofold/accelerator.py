"""Whichever accelerator there is, as a module: there is none. Floor 14."""

import sys

from twofold.accelerators import accelerator

sys.modules[__name__] = accelerator
