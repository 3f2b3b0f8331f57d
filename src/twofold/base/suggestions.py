"""What Python's own errors do not say of a mistake in a call of ours, as notes below them. Floor 0.

They are added where an uncaught error is printed, so that calls pay nothing for them: which keyword
was probably meant.
"""

from __future__ import annotations

import difflib
import sys

from twofold.base.errors import FEW

UNEXPECTED = "() got an unexpected keyword argument "  # as Python says it


def suggest(error: TypeError) -> None:
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
