"""What a captured function gets in place of its arguments, and the walk back from what it gives.
Floor 9. See frontends/compiled.py.
"""

from __future__ import annotations

import re
from typing import Any

from twofold.base.errors import GradientError, TwofoldError, in_python
from twofold.base.trees import leaves_of
from twofold.frontends import exchanged
from twofold.frontends.capture import Capture
from twofold.frontends.derivative import Joint, capture_walk, tracked, walked
from twofold.frontends.given import NUMBERS
from twofold.ops.bind import mode
from twofold.ops.tensor import Tensor, wrap


def walk_back(capture: Capture, result: Any, places: dict[int, int]) -> Joint | None:
    """The walk back from results that have a history, or None where there are none."""
    tensors = [x for x in tracked(result) if id(x) not in places and not walked(x)]
    if not tensors or not mode.grad:
        return None
    exchanged.check_frozen(capture)
    try:
        with exchanged.writing_nothing(capture):
            kept = {id(x) for x in leaves_of(result)}
            return capture_walk(capture, tensors, places, kept)
    except GradientError as error:  # which only a backward() would meet
        in_python(error)
        raise


def check_attributes(leaves: list[Any], named: set[str]) -> None:
    """Raise CaptureError where an argument has attributes of the user's that the function asks for;
    `named`: what its code names.
    """
    for leaf in leaves:
        if isinstance(leaf, Tensor) and not named.isdisjoint(leaf.__dict__):
            exchanged.python_only(
                "the function asks a tensor among its arguments for an attribute of your own",
                "give it beside the tensor",
            )


def stand_ins(
    capture: Capture, leaves: list[Any], names: list[str], as_sizes: set[str]
) -> tuple[list[Any], dict[int, int]]:
    """What the function gets in place of the arguments, and which leaf each tensor is."""
    made: list[Any] = []
    places = capture.places
    seen: dict[int, Any] = {}
    for number, (leaf, name) in enumerate(zip(leaves, names, strict=True)):
        if number in capture.themselves:
            made.append(leaf)
        elif isinstance(leaf, Tensor):
            if id(leaf) not in seen:
                x = seen[id(leaf)] = wrap(capture.argument(leaf.array, name, number))
                x.tracked = leaf.tracked
                places[id(x)] = number
                if leaf.node is not None:
                    capture.made_outside.add(id(x))
                if leaf.leaf_grad is not None:
                    capture.gradient(x, leaf.leaf_grad, name, number)
            made.append(seen[id(leaf)])
        elif type(leaf) in NUMBERS:
            made.append(capture.symbol(name, leaf, (number, None), name in as_sizes))
        else:
            made.append(leaf)
    return made, places


def sizes_in(error: TwofoldError, capture: Capture) -> dict[str, str]:
    """A further fact of an error in a capture: what the sizes that it names are in this call."""
    words = set(re.findall(r"\w+", " ".join(map(str, (error.problem, *error.facts.values())))))
    table = capture.table
    known = zip(table.names, table.examples, strict=True)
    named = [f"{name} is {example}" for name, example in known if name in words]
    return {"sizes": ", ".join(named)} if named else {}
