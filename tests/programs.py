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


def for_sizes(function: Any, sizes: Any, make: Any, programs: int | None) -> Any:
    """Call a function eagerly and compiled with make(n) for each n, and go back through what it
    gives: values and gradients are the same bits, or both raise, by so many programs.
    """
    compiled = twofold.compile(function)
    for n in sizes:
        found = []
        for f in (compiled, function):
            given = [x.clone().requires_grad_(x.dtype.is_floating_point) for x in make(n)]
            try:
                made = leaves_of(f(*given))
            except (ValueError, IndexError, RuntimeError) as error:
                found.append(type(error).__name__)
                continue
            tracked = [x for x in made if isinstance(x, Tensor) and x.requires_grad]
            if tracked:
                weights = [twofold.arange(1.0, x.numel() + 1).view(x.shape).cos() for x in tracked]
                twofold.autograd.backward(tracked, weights)
            found.append([*map(bits, made), *[bits(x.grad) for x in given]])
        same(*found, f"{function.__name__}, {n}")
    report = twofold.explain(compiled)
    assert programs is None or report.compiles == programs, str(report)
    assert bool(report.as_python) is (programs == 0)
    return compiled
