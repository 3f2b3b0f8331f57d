"""Build a layer here and in PyTorch, give both the same state, and compare all that they do."""

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

import twofold

torch = pytest.importorskip("torch")

FORWARD, BACKWARD = 1e-5, 1e-4


class Case(NamedTuple):
    """A layer as text, its inputs (a shape: normal numbers; an array: as it is), keywords of the
    call.

    train   whether the layer is in training mode
    rtol    of the forward pass; gradients get ten times as much
    """

    layer: str
    inputs: tuple[Any, ...]
    kwargs: Mapping[str, Any] = MappingProxyType({})
    train: bool = True
    rtol: float = FORWARD
    dtype: str = "float32"

    def __str__(self) -> str:
        shapes = ",".join(str(np.shape(x) if isinstance(x, np.ndarray) else x) for x in self.inputs)
        return f"{self.layer} {shapes} {'train' if self.train else 'eval'}".replace(" ", "")


def build(text: str, t: Any) -> Any:
    return eval(text, {"nn": t.nn, "F": t.nn.functional, "T": t})


def fill(module: Any, seed: int = 3) -> None:
    """Give a PyTorch module a state that no layer starts with; variances stay positive."""
    random = np.random.default_rng(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            made = random.normal(size=tuple(value.shape)) * 0.5
            made = (
                np.abs(made) + 0.5
                if "var" in name or ("weight" in name and value.ndim == 1)
                else made
            )
            value.copy_(torch.tensor(made))


def state_of(module: Any) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}


def arrays_of(case: Case) -> list[Any]:
    random = np.random.default_rng(11)
    made = []
    for x in case.inputs:
        if isinstance(x, tuple) and all(isinstance(n, int) for n in x):
            x = random.normal(size=x).astype(case.dtype)
        made.append(x)
    return made


def given(value: Any, t: Any) -> Any:
    """An argument as the framework takes it: arrays become tensors, floating ones tracked."""
    if isinstance(value, np.ndarray):
        x = t.tensor(value)
        return x.requires_grad_() if x.is_floating_point() else x
    if isinstance(value, tuple | list):
        return type(value)(given(v, t) for v in value)
    return value


def flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [x for v in value for x in flat(v)]
    return [value]


def outcome(module: Any, case: Case, t: Any) -> dict[str, Any]:
    """Every output, the gradients of every input and parameter, and the buffers afterwards."""
    args = [given(a, t) for a in arrays_of(case)]
    kwargs = {k: given(v, t) for k, v in case.kwargs.items()}
    module.train(case.train)
    outs = flat(module(*args, **kwargs))
    found: dict[str, Any] = {f"output {i}": x for i, x in enumerate(outs)}
    random = np.random.default_rng(5)
    total = 0
    for x in outs:
        if x is not None and x.requires_grad:
            weight = random.normal(size=tuple(x.shape)).astype(case.dtype)
            total = total + (x * t.tensor(weight)).sum()
    if not isinstance(total, int):
        total.backward()
    tensors = [x for x in flat([*args, *kwargs.values()]) if isinstance(x, t.Tensor)]
    found |= {f"gradient of input {i}": x.grad for i, x in enumerate(tensors)}
    found |= {f"gradient of {n}": p.grad for n, p in module.named_parameters()}
    found |= {f"buffer {n}": b for n, b in module.named_buffers()}
    return found


def compare(case: Case) -> None:
    """Assert that both layers have the same text, state, outputs, gradients and buffers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, ours = build(case.layer, torch), build(case.layer, twofold)
        fill(theirs)
        if case.dtype == "float64":
            theirs.double(), ours.double()
        state = state_of(theirs)
        assert_same_names(ours, theirs)
        result = ours.load_state_dict(state)
        assert not result.missing_keys and not result.unexpected_keys
        wanted = outcome(theirs, case, torch)
        found = outcome(ours, case, twofold)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert_close(found[name], value, name, case)


def assert_same_names(ours: Any, theirs: Any) -> None:
    assert repr(ours) == repr(theirs), (repr(ours), repr(theirs))
    for listing in ("named_parameters", "named_buffers"):
        mine = [(n, tuple(x.shape), str(x.dtype)[8:]) for n, x in getattr(ours, listing)()]
        other = [(n, tuple(x.shape), str(x.dtype)[6:]) for n, x in getattr(theirs, listing)()]
        assert mine == other, (mine, other)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def assert_close(found: Any, wanted: Any, name: str, case: Case) -> None:
    if wanted is None:
        assert found is None or not found.detach().numpy().any(), name
        return
    a, b = found.detach().numpy(), wanted.detach().numpy()
    assert a.shape == b.shape and a.dtype == b.dtype, (name, a.shape, b.shape, a.dtype, b.dtype)
    rtol = case.rtol * (10 if name.startswith("gradient") else 1)
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=0)) if b.dtype.kind == "f" else 0
    np.testing.assert_allclose(a, b, rtol, rtol * max(scale, 0.1), err_msg=name)
