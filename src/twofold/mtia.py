"""Meta's accelerators, as a module: none is here. Floor 14."""

import sys

from twofold.accelerators import mtia

sys.modules[__name__] = mtia
