"""Errors of a capture that the user's code catches. Floor 9.

`try: ... except Exception: ...` around what no graph holds would be captured with the way of the
error, which plain Python does not take. So each is noted where it is made, and looked at when the
function is through: an error's traceback begins at the frame that caught it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base.errors import USERS, owner_of
from twofold.frontends.arrays import CaptureError


def check_swallowed(raised: list[BaseException], leaving: BaseException | None = None) -> None:
    """Raise the first of these errors that the user's code has caught; `leaving` is on its way out
    of the function.
    """
    found = [*raised]
    raised.clear()  # each holds the frames that it went through
    for error in found:
        trace = error.__traceback__
        if error is leaving or trace is None:
            continue
        if owner_of(trace.tb_frame.f_code.co_filename) == USERS:
            raise error


def called(
    function: Callable[..., Any], args: Any, kwargs: Any, raised: list[BaseException]
) -> Any:
    """What the function gives for stand-ins."""
    try:
        made = function(*args, **kwargs)
        check_swallowed(raised)
        return made
    except RecursionError:
        raise CaptureError(
            "compile",
            "the function calls itself as often as values decide",
            hint="a while loop, which is a part of the program",
        ) from None
    except Exception as error:
        check_swallowed(raised, error)
        raise
