"""What Python's own errors do not say of a mistake in a call of ours, as notes below them. Floor 0.

They are added where an uncaught error is printed, so that calls pay nothing for them: which keyword
was probably meant, and which argument is no tensor.
"""

from __future__ import annotations

import difflib
import linecache
import sys
from types import TracebackType

from twofold.base.errors import FEW, OURS, kind_of, owner_of

UNEXPECTED = "() got an unexpected keyword argument "  # as Python says it
OF_TENSORS = ("array", "dtype", "shape", "ndim", "tracked")


def suggest(error: TypeError | AttributeError) -> None:
    if isinstance(error, AttributeError):
        note = missing_tensor(error)
    else:
        note = meant_keyword(error)
    if note:
        error.add_note(note)


def meant_keyword(error: TypeError) -> str:
    """Which keyword was probably meant, where a function of ours did not take one.

    Python itself says so from 3.13 on, where its text has more behind the name.
    """
    function, found, quoted = str(error).partition(UNEXPECTED)
    if not found or not quoted.endswith("'"):
        return ""
    known = keywords_of(function)
    near = difflib.get_close_matches(quoted.strip("'"), known, 1, 0.6)
    if near:
        return f"  try {near[0]}=, if that was meant"
    return f"  it takes {', '.join(known)}" if 0 < len(known) <= FEW else ""


def keywords_of(qualified: str) -> list[str]:
    """The names of the arguments of our function, or class, of this qualified name; none if there
    is no such function.
    """
    package = __name__.partition(".")[0]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != package:
            continue
        found: object = module
        for part in qualified.split("."):
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        options = getattr(found, "options", None)
        if isinstance(options, dict | tuple):  # of a layer around a function
            return [*dict(options), *["inplace"] * getattr(found, "written", False)]
        while hasattr(found, "__wrapped__"):
            found = found.__wrapped__
        code = getattr(found, "__code__", None)
        if code is not None and getattr(found, "__module__", "") == name:
            count = code.co_argcount + code.co_kwonlyargcount
            return [name for name in code.co_varnames[:count] if name not in ("self", "_")]
    return []


def missing_tensor(error: AttributeError) -> str:
    """Which argument is no tensor, where a function of ours asked it for what tensors have."""
    frames: list[TracebackType] = []
    at = error.__traceback__
    while at is not None:
        if owner_of(at.tb_frame.f_code.co_filename) == OURS:
            frames.append(at)
        elif frames:
            return ""  # the user's code, called by ours
        at = at.tb_next
    if not frames or error.name not in OF_TENSORS:
        return ""
    name = asked(frames[-1]).removesuffix(f".{error.name}")
    what = name if name.isidentifier() else "an argument"
    function = next((f for f in map(name_of, frames) if not f.startswith("_")), name)
    return f"  {function}: {what} is {kind_of(error.obj)}, where a tensor is wanted"


def name_of(at: TracebackType) -> str:
    """The name of a frame's function; of a method `forward` the name of its class; of what stands
    around a function nothing that one should know.
    """
    code = at.tb_frame.f_code
    if "<locals>" in code.co_qualname:
        return f"_{code.co_name}"
    own = code.co_name == "forward"
    return type(at.tb_frame.f_locals["self"]).__name__ if own else code.co_name


def asked(at: TracebackType) -> str:
    """The source of the expression at which a frame stands, if it is on one line."""
    code = at.tb_frame.f_code
    line, last, start, end = list(code.co_positions())[at.tb_lasti // 2]
    if line is None or line != last:
        return ""
    return linecache.getline(code.co_filename, line).encode()[start:end].decode()
