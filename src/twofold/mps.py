"""Apple's GPUs, as a module: none is here. Floor 14."""

import sys

from twofold.accelerators import mps

sys.modules[__name__] = mps
