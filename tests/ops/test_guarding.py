"""Arguments of a wrong kind are told by the function that the program called."""

import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import twofold
from twofold import nn, optim
from twofold.base.errors import TwofoldError
from twofold.nn import functional as F
from twofold.ops.guarding import KindError, guarded

X = twofold.ones(3, 4)
SGD = optim.SGD([nn.Parameter(X)], lr=0.1)
TOLD = {
    "argsort: input is a list, not a tensor": lambda: twofold.argsort([3, 1, 2]),
    "equal: other is an int, not a tensor": lambda: twofold.equal(X, 1),
    "topk: k is a str, not a whole number": lambda: X.topk("a"),
    "view_as: other is a tuple, not a tensor": lambda: X.view_as((4, 3)),
    "block_diag: tensors is None, not a tensor": lambda: twofold.block_diag(X, None),
    "adaptive_avg_pool1d: input is a str, not a tensor": lambda: F.adaptive_avg_pool1d("a", 2),
    "acos_: it writes into a str": lambda: twofold.acos_("a"),
    "Conv2d: in_channels is a str, not a whole number": lambda: nn.Conv2d("a", 3, 1),
    "GroupNorm: num_groups is None, not a whole number": lambda: nn.GroupNorm(None, 4),
    "BatchNorm1d: input is a list, not a tensor": lambda: nn.BatchNorm1d(4)([1.0]),
    "StepLR: step_size is a str, not a whole number": lambda: optim.lr_scheduler.StepLR(SGD, "a"),
}


@pytest.mark.parametrize("problem", TOLD)
def test_says_which_argument(problem: str) -> None:
    with pytest.raises(TypeError) as told:
        TOLD[problem]()
    assert str(told.value).startswith(problem + "\n")
    assert "test_guarding.py" in str(told.value), "the user's own line"


def public(holder: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(holder):
        function = getattr(holder, name)
        ours = str(getattr(function, "__module__", "")).startswith("twofold")
        if ours and name[0] != "_" and callable(function) and not isinstance(function, type):
            yield name, function


# Called otherwise than with tensors alone, or only in another file's tests.
OTHERS = ["alias_copy", "astype", "multi_head_attention_forward", "solve_triangular", "upsample"]


@pytest.mark.parametrize("holder", [twofold, F, twofold.linalg, twofold.fft, twofold.special])
@pytest.mark.parametrize("wrong", ["a", None, object()], ids=["text", "None", "object"])
def test_no_function_trips_over_what_is_no_tensor(holder: Any, wrong: object) -> None:
    tripped = []
    for name, function in public(holder):
        parameters = list(inspect.signature(function).parameters.values())
        if not parameters or parameters[0].annotation not in ("Tensor", inspect.Parameter.empty):
            continue
        needed = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        try:
            function(*(wrong, X, X, X, X)[: len(needed)])
        except TwofoldError:
            pass
        except Exception as error:
            uncalled = "positional argument" in str(error)
            if not uncalled and name not in OTHERS:
                tripped.append(f"{name}: {error!r}")
    assert not tripped, "\n".join(tripped)


def test_an_error_about_something_else_is_left_alone() -> None:
    def fails(input: "twofold.Tensor", number: Any) -> None:
        raise ValueError("the function's own")

    with pytest.raises(ValueError, match="the function's own"):
        guarded(fails)(X, 3)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        guarded(fails)(X)


def test_layers_without_inputs_can_be_made() -> None:
    assert nn.Linear(0, 4)(twofold.ones(2, 0)).tolist() == [[0.0] * 4] * 2
    assert nn.Conv2d(0, 4, 2).weight.shape == (4, 0, 2, 2)


def test_functions_stay_themselves() -> None:
    assert pickle.loads(pickle.dumps(twofold.equal)) is twofold.equal
    assert list(inspect.signature(twofold.equal).parameters) == ["input", "other"]
    assert inspect.unwrap(twofold.equal).__code__.co_name == "equal"


def test_the_error_is_a_type_error() -> None:
    assert issubclass(KindError, (TypeError, TwofoldError))
