"""Floor 4: the tensor, the one door `bind`, and a record for every operation."""

from twofold.ops.op import load_library as load_library
