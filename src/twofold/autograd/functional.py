"""Jacobians, Hessians and products at a point, under torch.autograd.functional's names. Floor 8.

Inputs are a tensor or a tuple of them, and so are results. With create_graph the results have a
history, where the inputs require gradients; else they have none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.autograd import forward, jacobians, transforms
from twofold.autograd.walk import find_route, target_of
from twofold.base.errors import ArgumentError, GradientError
from twofold.ops.bind import current
from twofold.ops.creation_like import ones_like
from twofold.ops.tensor import Tensor, type_of

Function = Callable[..., Any]
Tensors = Tensor | tuple[Tensor, ...]


def _tuple(op: str, what: str, value: Any) -> tuple[Tensor, ...]:
    made = tuple(value) if isinstance(value, tuple | list) else (value,)
    transforms.check_tensors(op, what, list(made))
    return made


def _like(made: tuple[Any, ...], given: Any) -> Any:
    """A result as the inputs were given: one tensor, or a tuple."""
    return made if isinstance(given, tuple | list) else made[0]


def _ended(value: Any, create_graph: bool) -> Any:
    if isinstance(value, tuple):
        return tuple(_ended(part, create_graph) for part in value)
    return value if create_graph else value.detach()


def _check_strict(op: str, func: Function, inputs: tuple[Tensor, ...]) -> None:
    """Raise GradientError unless every result depends on every input."""
    leaves = [x.detach().requires_grad_() for x in inputs]  # type: ignore[attr-defined]
    made = func(*leaves)
    for place, out in enumerate(made if isinstance(made, tuple) else (made,)):
        reached = find_route([target_of(out)], None).leaves if current(out).tracked else []
        for number, leaf in enumerate(leaves):
            if not any(found is leaf for found in reached):
                raise GradientError(
                    op,
                    f"result {place} does not depend on input {number}",
                    input=type_of(leaf),
                    hint="strict=False gives zeros for it",
                )


def jacobian(
    func: Function,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of func at the inputs: [*result, *input], nested as results and inputs are."""
    xs = _tuple("jacobian", "inputs", inputs)
    if strict:
        _check_strict("jacobian", func, xs)
    ways = {"reverse-mode": jacobians.jacrev, "forward-mode": jacobians.jacfwd}
    if strategy not in ways:
        raise ArgumentError("jacobian", f"strategy={strategy!r}", hint=" or ".join(ways))
    many = isinstance(inputs, tuple | list)
    made = ways[strategy](func, tuple(range(len(xs))) if many else 0)(*xs)
    return _ended(made, create_graph)


def hessian(
    func: Function,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function that gives one number, nested as the inputs are."""
    xs = _tuple("hessian", "inputs", inputs)
    if strict:
        _check_strict("hessian", func, xs)
    outer = jacobians.jacfwd if outer_jacobian_strategy == "forward-mode" else jacobians.jacrev
    numbers: Any = tuple(range(len(xs))) if isinstance(inputs, tuple | list) else 0
    return _ended(outer(jacobians.jacrev(_number(func), numbers), numbers)(*xs), create_graph)


def _number(func: Function) -> Function:
    """The function, whose one element may have axes."""

    def scalar(*xs: Tensor) -> Tensor:
        made: Tensor = func(*xs)
        if made.array.ndim and made.array.size == 1:
            made = made.reshape(())  # type: ignore[attr-defined]
        transforms.check_scalar("hessian", made)
        return made

    return scalar


def vjp(
    func: Function,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), v times the Jacobian); v may be left out for one number."""
    xs = _tuple("vjp", "inputs", inputs)
    if strict:
        _check_strict("vjp", func, xs)
    out, back = transforms.vjp(func, *xs)
    made = back(_direction("vjp", v, out))
    return _ended(out, create_graph), _ended(_like(made, inputs), create_graph)


def _direction(op: str, v: Any, like: Any) -> Any:
    if v is not None:
        return tuple(v) if isinstance(v, list) else v
    if not isinstance(like, Tensor) or like.array.size != 1:
        raise ArgumentError(
            op, "v is left out, and there is not one number", hint=f"{op}(func, inputs, v)"
        )
    return ones_like(like.detach())  # type: ignore[attr-defined]


def jvp(
    func: Function,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), the Jacobian times v); v may be left out for one input of one number."""
    xs = _tuple("jvp", "inputs", inputs)
    if strict:
        _check_strict("jvp", func, xs)
    given = _tuple("jvp", "v", _direction("jvp", v, inputs))
    out, slope = forward.jvp(func, xs, given)
    return _ended(out, create_graph), _ended(slope, create_graph)


def vhp(
    func: Function,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), v times the Hessian) of a function that gives one number."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Function,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), the Hessian times v) of a function that gives one number."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _hessian_product(
    op: str, func: Function, inputs: Tensors, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    xs = _tuple(op, "inputs", inputs)
    if strict:
        _check_strict(op, func, xs)
    given = _tuple(op, "v", _direction(op, v, inputs))
    places = tuple(range(len(xs)))
    gradient = transforms.grad_and_value(_number(func), places)
    (_, value), (slopes, _) = forward.jvp(gradient, xs, given)
    return _ended(value, create_graph), _ended(_like(slopes, inputs), create_graph)
