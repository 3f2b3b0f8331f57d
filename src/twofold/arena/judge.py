"""Who is right: results are compared before any time counts, and again in every turn.

Contestants agree when their outputs do, within the row's tolerance of the output's size, and when
each of their weights moved as far. The reference is the contestant with whom most frameworks
agree; whoever differs from it is wrong, and has no time. Where no two frameworks agree, nobody is
confirmed, and nobody has a time.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

FASTER_THAN_POSSIBLE = 0.4  # of the machine's own floor: below that, the work was not done
Answer = dict[str, Any]


class Allowed(NamedTuple):
    """How far two contestants may lie apart and still agree."""

    results: float = 1e-3  # of an output, as a part of its size
    moves: float = 0.05  # of the distance that a weight moved in three steps


def difference(a: list[Any], b: list[Any]) -> float:
    """The largest difference of two digests of outputs, in units of the outputs' size."""
    if len(a) != len(b):
        return math.inf
    return max((leaf_difference(x, y) for x, y in zip(a, b, strict=True)), default=0.0)


def leaf_difference(a: Answer, b: Answer) -> float:
    if size(a["shape"]) != size(b["shape"]) or len(a["samples"]) != len(b["samples"]):
        return math.inf
    if not size(a["shape"]):
        return 0.0
    scale = max(a["norm"], b["norm"]) / math.sqrt(size(a["shape"])) or 1.0
    numbers = zip([a["mean"], *a["samples"]], [b["mean"], *b["samples"]], strict=True)
    worst = max(abs(x - y) for x, y in numbers) / scale
    worst = max(worst, abs(a["norm"] - b["norm"]) / max(a["norm"], b["norm"], 1e-30))
    return worst if math.isfinite(worst) else math.inf


def size(shape: list[int]) -> int:
    return math.prod(shape)


def moves_differ(a: list[float], b: list[float]) -> float:
    """The largest relative difference in how far the weights moved."""
    if len(a) != len(b):
        return math.inf
    pairs = zip(a, b, strict=True)
    worst = max((abs(x - y) / max(x, y, 1e-12) for x, y in pairs), default=0.0)
    return worst if math.isfinite(worst) else math.inf


def disagreement(a: Answer, b: Answer, allowed: Allowed) -> str:
    """Why two checks do not agree, or nothing."""
    if len(a["results"]) != len(b["results"]):
        return f"{len(a['results'])} results where others have {len(b['results'])}"
    for step, (x, y) in enumerate(zip(a["results"], b["results"], strict=True)):
        apart = difference(x, y)
        if not apart <= allowed.results:
            return (
                f"result of step {step + 1} differs by {apart:.2g} (allowed {allowed.results:.2g})"
            )
    apart = moves_differ(a["moves"], b["moves"])
    if not apart <= allowed.moves:
        return f"a weight moved differently, by {apart:.2g} (allowed {allowed.moves:.2g})"
    return ""


def judge(checks: dict[str, Answer], allowed: Allowed) -> dict[str, tuple[str, str]]:
    """(verdict, reason) of each contestant `framework/mode`: right, wrong or unconfirmed."""
    reference, supporters = reference_of(checks, allowed)
    verdicts = {}
    for name, check in checks.items():
        if supporters < 2:
            verdicts[name] = ("unconfirmed", "no two frameworks agree: nobody to compare with")
            continue
        why = disagreement(check, checks[reference], allowed)
        verdicts[name] = ("wrong", f"{why}, against {reference}") if why else ("right", "")
    return verdicts


def reference_of(checks: dict[str, Answer], allowed: Allowed) -> tuple[str, int]:
    """The contestant with whom most frameworks agree, and how many they are, its own included.

    When two camps are equally large, there is no reference: 1 is given.
    """
    agreeing = {
        name: {
            other.split("/")[0]
            for other, theirs in checks.items()
            if not disagreement(theirs, check, allowed)
        }
        for name, check in checks.items()
    }
    if not agreeing:
        return "", 0
    best = max(agreeing, key=lambda name: len(agreeing[name]))
    most = len(agreeing[best])
    rivals = [n for n in agreeing if len(agreeing[n]) == most and not agreeing[n] & agreeing[best]]
    return best, 1 if rivals else most


def turn_faults(turn: Answer, others: dict[str, Answer], allowed: Allowed) -> str:
    """What is wrong with the results of a turn, whose inputs nobody has seen before, or nothing.

    `others` are turns of the same number, of contestants that were right so far.
    """
    results = turn["results"]
    if turn["moves"] and not any(move > 0 for move in turn["moves"]):
        return "its weights did not move while it was timed"
    finite = all(math.isfinite(leaf["norm"]) for result in results for leaf in result)
    if not finite:
        return "a result is not finite"
    several = len(turn["times"]) > 1 and any(result for result in results)
    if several and all(result == results[0] for result in results[1:]):
        return "the same answer to different inputs"
    if turn["moves"]:
        return ""  # the weights of others took another number of steps
    frameworks = {other.split("/")[0] for other in others}
    agreeing = {
        other.split("/")[0]
        for other, theirs in others.items()
        if difference(results[0], theirs["results"][0]) <= allowed.results
    }
    if frameworks and len(agreeing) * 2 < len(frameworks):
        return "a result while it was timed differs from the others'"
    return ""


def too_fast(time: float, floor: float | None) -> str:
    """Whether a time is below what the machine can do."""
    if floor and time < FASTER_THAN_POSSIBLE * floor:
        return f"{time / floor:.0%} of the machine's own floor: the work was not done"
    return ""
