"""Views as copies, under PyTorch's names: `narrow_copy`, `permute_copy`, ... Floor 4."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from twofold.ops.bind import bind
from twofold.ops.complexes import view_as_complex, view_as_real
from twofold.ops.guarding import guard
from twofold.ops.indexing import VIEW, Slice
from twofold.ops.joining import clone
from twofold.ops.methods import detach
from twofold.ops.movement import expand, permute, t, transpose
from twofold.ops.rules import axis_there
from twofold.ops.splitting import split, split_with_sizes, unbind
from twofold.ops.storage import as_strided
from twofold.ops.tensor import Tensor
from twofold.ops.views import diagonal, narrow, select, squeeze, unfold, unsqueeze, view
from twofold.ops.with_out import out_too


def slice_(
    input: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """The elements `start:end:step` along an axis."""
    axis = axis_there("slice", dim, input)
    key = (*(Slice(None, None, None),) * axis, Slice(start, end, step))
    return bind(VIEW, (input,), (key,))  # type: ignore[no-any-return]


def _copied(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def copied(*args: Any, **options: Any) -> Any:
        made = function(*args, **options)
        return clone(made) if isinstance(made, Tensor) else tuple([clone(part) for part in made])

    copied.__name__ = copied.__qualname__ = name
    copied.__doc__ = f"`{function.__name__}`, as a copy that shares no memory."
    return out_too(copied)


VIEWS: dict[str, Callable[..., Any]] = {
    "alias": lambda input: input,
    "as_strided": as_strided,
    "detach": detach,
    "diagonal": diagonal,
    "expand": lambda input, size, *, implicit=False: expand(input, size),
    "narrow": narrow,
    "permute": permute,
    "select": select,
    "slice": slice_,
    "split": split,
    "split_with_sizes": split_with_sizes,
    "squeeze": squeeze,
    "t": t,
    "transpose": transpose,
    "unbind": unbind,
    "unfold": unfold,
    "unsqueeze": unsqueeze,
    "view": lambda input, size: view(input, size),
    "view_as_complex": view_as_complex,
    "view_as_real": view_as_real,
}
__all__ = [f"{name}_copy" for name in VIEWS]
for _name, _function in VIEWS.items():
    globals()[f"{_name}_copy"] = _copied(f"{_name}_copy", _function)


guard(globals())
