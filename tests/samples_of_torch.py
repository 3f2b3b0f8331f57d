"""PyTorch's own samples of its operations, as arguments for functions of Twofold.

Sizes come in two sets: the samples are drawn with PyTorch's sizes, and again with one more of
each, so that a program that was captured with the first sees other sizes in its second call.
"""

import contextlib
import random
import sys
import warnings

import numpy as np

import twofold

SIZES = ("XS", "S", "M", "L")


class NotHere(Exception):
    """What Twofold has no counterpart of: a layout, a type, a device."""


@contextlib.contextmanager
def sizes_plus(more: int):
    """PyTorch's generators of samples, with sizes that are `more` larger."""
    changed = []
    for name, module in list(sys.modules.items()):
        if name.startswith("torch.testing._internal"):
            for size in SIZES:
                value = vars(module).get(size)
                if isinstance(value, int):
                    changed.append((module, size, value))
                    setattr(module, size, value + more)
    try:
        yield
    finally:
        for module, size, value in changed:
            setattr(module, size, value)


def drawn(operation, dtype, limit: int, gradients: bool, more: int = 0) -> list:
    """At most `limit` samples of an operation, spread over all that PyTorch has of it."""
    import torch

    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    with sizes_plus(more), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = []
        try:
            for sample in operation.sample_inputs("cpu", dtype, requires_grad=gradients):
                found.append((sample.input, tuple(sample.args), dict(sample.kwargs)))
                if len(found) == 200:
                    break
        except Exception:  # PyTorch's own generator does not know the sizes
            if not more:
                raise
    places = np.unique(np.linspace(0, len(found) - 1, limit).astype(int)) if found else []
    return [found[place] for place in places]


def twin(operation):
    """The function of Twofold by an operation's name, or None."""
    import torch

    first, *rest = operation.name.split(".")
    value = getattr(twofold if hasattr(torch, first) else twofold.Tensor, first, None)
    for part in rest:
        value = getattr(value, part, None)
    return value


def parted(value, tensors: list):
    """A sample without its tensors, which go to a list: (kind, what is left)."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return ("tensor", len(tensors) - 1)
    if isinstance(value, dict):
        return ("dict", tuple((key, parted(item, tensors)) for key, item in value.items()))
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return (type(value).__name__, tuple(parted(item, tensors) for item in value))
    return ("value", counterpart(value))


def joined(parts, tensors):
    """A sample again, with other tensors in the places of those that were taken out."""
    kind, rest = parts
    if kind == "tensor":
        return tensors[rest]
    if kind == "dict":
        return {key: joined(item, tensors) for key, item in rest}
    if kind == "value":
        return rest
    made = [joined(item, tensors) for item in rest]
    return made if kind == "list" else tuple(made)


def counterpart(value):
    """A plain value of PyTorch as Twofold's. Raises NotHere."""
    import torch

    if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        found = getattr(twofold, str(value).removeprefix("torch."), None)
        if found is None:
            raise NotHere(str(value))
        return found
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Generator) or (callable(value) and not isinstance(value, type)):
        raise NotHere(type(value).__name__)
    return value


def tensor_of(value):
    """A tensor of PyTorch as a leaf of Twofold. Raises NotHere."""
    import torch

    if value.layout != torch.strided or value.is_nested or value.device.type != "cpu":
        raise NotHere(str(value.layout))
    plain = value.detach().resolve_conj().resolve_neg().clone()
    if plain.dtype == torch.bfloat16:
        made = twofold.from_numpy(plain.float().numpy()).bfloat16()
    else:
        made = twofold.from_numpy(plain.numpy())
    return made.requires_grad_(value.requires_grad)


def flat(value) -> list:
    if isinstance(value, dict):
        return [part for item in value.values() for part in flat(item)]
    if isinstance(value, list | tuple):
        return [part for item in value for part in flat(item)]
    return [value]


def bits(value):
    """What two results have in common if they are the same: type, shape and bits, NaN as one."""
    if value is None or not isinstance(value, twofold.Tensor):
        return repr(value)
    array = np.ascontiguousarray(value.detach().array).reshape(-1)
    if array.dtype.kind in "fc":
        parts = array.view(array.real.dtype)
        array = np.where(parts != parts, np.full_like(parts, np.nan), parts)
    return (value.dtype.name, tuple(map(int, value.shape)), array.tobytes())
