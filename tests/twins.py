"""Run the same Python expression on PyTorch and here, and compare what comes out.

A test module that imports this one is skipped where PyTorch is not installed.
"""

import builtins
import re
import warnings

import numpy as np
import pytest

import twofold

torch = pytest.importorskip("torch")

TYPES = (torch.Tensor, twofold.Tensor)
REFUSED = (RuntimeError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError)


def arrays():
    """The operands that expressions name: f, g floats; d double; i, j, u integers; b bools; ..."""
    random = np.random.default_rng(3)
    f = random.normal(size=(3, 4)).astype(np.float32)
    made = {
        "f": f,
        "g": random.uniform(0.5, 2, (3, 4)).astype(np.float32),
        "d": random.normal(size=(3, 4)),
        "p": random.uniform(0.1, 0.9, (3, 4)).astype(np.float32),
        "i": random.integers(-5, 6, (3, 4)),
        "k": random.integers(1, 6, (3, 4)),
        "j": random.integers(-5, 6, (3, 4)).astype(np.int32),
        "u": random.integers(0, 9, (3, 4)).astype(np.uint8),
        "b": random.random((3, 4)) < 0.5,
        "c": random.random((3, 4)) < 0.5,
        "z": (f + 1j * f[::-1]).astype(np.complex64),
        "w": (f[::-1] + 1j * f).astype(np.complex64),
        "h": f.astype(np.float16),
        "v": random.normal(size=4).astype(np.float32),
        "r": np.arange(6),
        "s": np.array(1.5, np.float32),
        "n": np.array(3),
        "e": np.zeros((0, 4), np.float32),
        "x": random.normal(size=(2, 3, 4)).astype(np.float32),
        "q": random.normal(size=(4, 4)).astype(np.float32),
        "o": np.array([[1.0, np.nan, -np.inf, 0.0], [2.0, -3.0, np.inf, -0.0]], np.float32),
    }
    return made


def world(torch_side: bool, tracked: bool = False):
    """The names that an expression may use: T is the framework."""
    T = torch if torch_side else twofold
    names = {name: T.from_numpy(array.copy()) for name, array in arrays().items()}
    names["bf"] = names["f"].bfloat16()
    if tracked:
        for x in names.values():
            if x.dtype.is_floating_point or x.dtype.is_complex:
                x.requires_grad_()
    names |= {"T": T, "F": T.nn.functional, "np": np, "inf": float("inf"), "nan": float("nan")}
    return names


def evaluate(text: str, torch_side: bool, tracked: bool = False):
    """(value or exception, names) of an expression; statements may come first, split by ';'."""
    names = world(torch_side, tracked)
    *before, last = [part.strip() for part in text.split(";")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for statement in before:
                exec(statement, names)
            return eval(last, names), names
    except (*REFUSED, AssertionError) as error:
        return error, names


def flat(value):
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size | twofold.Size):
        return [part for item in value for part in flat(item)]
    return [value]


def numbers(x):
    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy(force=True)
    if isinstance(x, twofold.Tensor):
        return x.detach().numpy()
    return np.asarray(x)


TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 3e-6, "complex64": 1e-5}


def same(got, want, what: str = "") -> None:
    """Assert that two results agree in kind, type, shape and numbers."""
    for ours, theirs in zip(flat(got), flat(want), strict=True):
        if not isinstance(theirs, torch.Tensor):
            assert not isinstance(ours, twofold.Tensor), what
            plain(ours, theirs, what)
            continue
        assert isinstance(ours, twofold.Tensor), f"{what}: {type(ours)}"
        name = str(theirs.dtype).removeprefix("torch.")
        assert ours.dtype.name == name, f"{what}: {ours.dtype} is not {name}"
        assert tuple(ours.shape) == tuple(theirs.shape), f"{what}: {ours.shape}, {theirs.shape}"
        rtol = TOLERANCE.get(name, 1e-10)
        np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol, rtol, err_msg=what)


def plain(ours, theirs, what):
    match theirs:
        case torch.dtype():
            assert ours.name == str(theirs).removeprefix("torch."), what
        case torch.Size():
            assert tuple(ours) == tuple(theirs), what
        case builtins.float() | builtins.complex():
            np.testing.assert_allclose(ours, theirs, 1e-6, err_msg=what)
        case _:
            assert str(ours) == str(theirs), f"{what}: {ours} is not {theirs}"


# What PyTorch refuses and we may take: more types, numbers for tensors.
ALLOWED = (
    "must be Tensor, not",
    "not implemented for",
    "not yet implemented",
    "did not match",
    "same dtype",
)


def compare(text: str) -> None:
    """The same value, or a refusal by both."""
    want, _ = evaluate(text, True)
    got, _ = evaluate(text, False)
    if isinstance(want, Exception):
        if any(part in str(want) for part in ALLOWED) and not isinstance(got, Exception):
            return
        assert isinstance(got, Exception), f"{text}: PyTorch says {want}; here {got}"
        assert isinstance(got, twofold.TwofoldError | TypeError | IndexError | ValueError), repr(
            got
        )
        return
    if isinstance(got, Exception):
        raise got
    same(got, want, text)


def cases(text: str) -> list[str]:
    """Expressions, two spaces or a line apart."""
    return [part.strip() for part in re.split(r"\s{2,}|\n", text) if part.strip()]


def compare_all(texts) -> None:
    """Compare every expression, and report those that differ together."""
    wrong = []
    for text in texts:
        try:
            compare(text)
        except (AssertionError, *REFUSED) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            wrong.append(f"{text}: {type(error).__name__}: {first}")
    assert not wrong, "\n".join(["", *wrong])


def compare_all_gradients(texts) -> None:
    wrong = []
    for text in texts:
        try:
            compare_gradients(text)
        except (AssertionError, *REFUSED) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            wrong.append(f"{text}: {type(error).__name__}: {first}")
    assert not wrong, "\n".join(["", *wrong])


def loss(value, torch_side: bool):
    """One number from every floating result, each element with its own weight."""
    total = 0
    for x in flat(value):
        if not isinstance(x, TYPES) or not x.requires_grad:
            continue
        weights = np.linspace(0.5, 1.5, int(x.numel())).reshape(tuple(x.shape))
        T = torch if torch_side else twofold
        weight = T.from_numpy(weights).to(x.dtype)
        part = (x * weight).sum()
        total = total + (part.real if part.dtype.is_complex else part)
    return total


def compare_gradients(text: str) -> None:
    """The same gradients by every operand."""
    sides = []
    for torch_side in (True, False):
        value, names = evaluate(text, torch_side, tracked=True)
        if isinstance(value, Exception):
            if torch_side:
                return
            raise value
        total = loss(value, torch_side)
        if isinstance(total, int):
            sides.append({})
            continue
        try:
            total.backward()
        except RuntimeError:
            if torch_side:
                return
            raise
        leaves = {n: x for n, x in names.items() if isinstance(x, TYPES) and len(n) < 3}
        sides.append({n: x.grad for n, x in leaves.items() if x.is_leaf and x.grad is not None})
    theirs, ours = sides
    # a gradient of zeros may be no gradient
    for some, others in ((theirs, ours), (ours, theirs)):
        for name in [n for n, g in some.items() if n not in others and not g.any()]:
            del some[name]
    assert set(ours) == set(theirs), f"{text}: {set(ours)} is not {set(theirs)}"
    for name, g in ours.items():
        same(g, theirs[name], f"gradient of {text} by {name}")
