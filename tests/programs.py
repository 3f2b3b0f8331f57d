"""Small programs that are given `compile`, or nothing in its place, and must do the same."""

from collections.abc import Callable
from typing import Any

from twice import bits, same

import twofold
from twofold import nn
from twofold.base.trees import leaves_of
from twofold.ops.tensor import Tensor


def seen(made: Any) -> list[Any]:
    """Everything in what a program gives back, with the gradients of its tensors."""
    found = []
    for x in leaves_of(made):
        found.append((type(x).__name__, bits(x)))
        if isinstance(x, Tensor) and x.node is None:
            found.append(bits(x.grad))
    return found


def agree(program: Callable[[Any], Any], most: int | None = None) -> list[Any]:
    """Run a program with and without `twofold.compile`, and compare all that it gives back bit for
    bit. What was compiled; of which at most `most` programs were made.
    """
    compiled: list[Any] = []

    def keep(function: Any) -> Any:
        compiled.append(twofold.compile(function))
        return compiled[-1]

    twofold.manual_seed(0)
    wanted = seen(program(lambda function: function))
    twofold.manual_seed(0)
    found = seen(program(keep))
    same(found, wanted, getattr(program, "__name__", "program"))
    for one in compiled:
        report = twofold.explain(one)
        assert report.compiles, "nothing was compiled"
        assert most is None or report.compiles <= most, str(report)
    return compiled


def xs(*shape: int) -> Tensor:
    return twofold.randn(*(shape or (6,)))  # type: ignore[no-any-return]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))


def everything(model: nn.Module, optimizer: Any = None) -> Any:
    """A model's state and gradients, and the optimizer's state."""
    states = optimizer.state.values() if optimizer is not None else ()
    kept = [value for state in states for value in state.values()]
    return model.state_dict(), [p.grad for p in model.parameters()], kept
