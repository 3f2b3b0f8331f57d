"""Parameters that are functions of other parameters. Floor 10.

`register_parametrization(layer, "weight", Symmetric())` makes layer.weight the value of the module
Symmetric at a parameter that is kept as layer.parametrizations.weight.original.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn.container import ModuleDict, ModuleList
from twofold.nn.module import Module
from twofold.ops.bind import mode, recording
from twofold.ops.tensor import Parameter, Tensor, type_of

_kept: list[dict[Any, Any]] = []  # what is computed once in the blocks of `cached`


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Tensors that are functions of others are computed once in this block: at their first read."""
    _kept.append(_kept[-1] if _kept else {})
    try:
        yield
    finally:
        _kept.pop()


class ParametrizationList(ModuleList):
    """The functions that make one tensor, in turn, and what they make it from."""

    def __init__(self, modules: list[Module], original: Tensor) -> None:
        super().__init__(modules)
        with recording(False):
            given: Any = original.detach()  # type: ignore[attr-defined]
            for module in reversed(modules):
                if hasattr(module, "right_inverse"):
                    given = module.right_inverse(given)
        self.is_tensor = isinstance(given, Tensor)
        parts = [given] if self.is_tensor else list(given)
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(len(parts))]
        self.names = names
        for name, part in zip(names, parts, strict=True):
            if isinstance(original, Parameter):
                self.register_parameter(name, Parameter(part, original.tracked))
            else:
                self.register_buffer(name, part)

    def set_original_(self, value: Tensor) -> None:
        """Write what the functions must get to give this value, as far as they can tell."""
        with recording(False):
            given: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    hint = "a right_inverse method"
                    problem = f"{type(module).__name__} has no right_inverse"
                    raise ArgumentError("parametrize", problem, hint=hint)
                given = module.right_inverse(given)
            for name, part in zip(self.names, [given] if self.is_tensor else given, strict=True):
                getattr(self, name).copy_(part)

    def forward(self) -> Any:
        first, *rest = list(self)
        made = first(*(getattr(self, name) for name in self.names))
        for module in rest:
            made = module(made)
        return made


class _Parametrized:
    """What a parametrized module's class adds: the tensors are computed when they are read."""

    def __getattr__(self, name: str) -> Any:
        tables = self.__dict__.get("_modules", {})
        if name != "parametrizations" and "parametrizations" in tables:
            made = tables["parametrizations"]._modules.get(name)
            if made is not None:
                return _value(made)
        return super().__getattr__(name)  # type: ignore[misc]

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__.get("_modules", {})
        made = tables.get("parametrizations") and tables["parametrizations"]._modules.get(name)
        if made is not None:
            for kept in _kept:
                kept.pop((made, id(mode.capture)), None)
            made.set_original_(value)
        else:
            super().__setattr__(name, value)


def _value(chain: ParametrizationList) -> Any:
    """What a chain of functions makes, computed anew unless it is kept."""
    if not _kept:
        return chain()
    kept, key = _kept[-1], (chain, id(mode.capture))  # a graph's values are of use in it alone
    if key not in kept:
        kept[key] = chain()
    return kept[key]


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before its tensors became functions of others."""
    return type(module).__mro__[2] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Make tensors (or the one of this name) of a module the same functions of the same parameters
    that they are in another one; what `to_module` has not is added.
    """
    if not is_parametrized(from_module):
        return to_module
    chains = from_module.parametrizations
    for name in list(chains) if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        source = chains[name]
        for function in source:
            register_parametrization(to_module, name, function)
        for original in source.names:
            setattr(to_module.parametrizations[name], original, getattr(source, original))
    return to_module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module (or any) is a function of others."""
    made = module._modules.get("parametrizations")
    if not isinstance(made, ModuleDict):
        return False
    return len(made) > 0 if tensor_name is None else tensor_name in made


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make a parameter or buffer the value of `parametrization` at what it was.

    A method right_inverse tells what to start from; without it, the tensor itself. Raises
    ShapeError where the value has another shape or type (unless `unsafe`).
    """
    name = type(module).__name__
    if is_parametrized(module, tensor_name):
        chain = module.parametrizations[tensor_name]
        before = chain.forward()
        _check(name, tensor_name, before, parametrization(before), unsafe)
        chain.append(parametrization)
        return module
    tables = (module._parameters, module._buffers)
    table = next((t for t in tables if t.get(tensor_name) is not None), None)
    if table is None:
        problem = f"there is no parameter or buffer {tensor_name}"
        raise ArgumentError(name, problem, hint=", ".join(module._parameters))
    original = table[tensor_name]
    chain = ParametrizationList([parametrization], original)
    chain.train(module.training)
    with recording(False):
        _check(name, tensor_name, original, chain(), unsafe)
    del table[tensor_name]
    if not is_parametrized(module):
        kind = type(module)
        new = type(f"Parametrized{kind.__name__}", (_Parametrized, kind), {"__module__": __name__})
        object.__setattr__(module, "__class__", new)
        module.add_module("parametrizations", ModuleDict())
    module.parametrizations[tensor_name] = chain
    return module


def _check(name: str, tensor_name: str, before: Any, after: Any, unsafe: bool) -> None:
    if not unsafe and (before.shape != after.shape or before.dtype != after.dtype):
        facts = {"before": type_of(before), "after": type_of(after)}
        raise ShapeError(name, f"{tensor_name} changes", hint="unsafe=True", **facts)


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make the tensor a plain parameter again: its value now, or else what it was made from."""
    if not is_parametrized(module, tensor_name):
        problem = f"{tensor_name} is not parametrized"
        raise ArgumentError(type(module).__name__, problem)
    chain = module.parametrizations[tensor_name]
    source = getattr(chain, chain.names[0])
    if not leave_parametrized and not chain.is_tensor:
        raise ArgumentError(type(module).__name__, "it is made from several tensors")
    with recording(False):
        value = chain().detach().clone() if leave_parametrized else source.detach()
    del module.parametrizations[tensor_name]
    if not is_parametrized(module):
        del module._modules["parametrizations"]
        object.__setattr__(module, "__class__", type(module).__mro__[2])
    if isinstance(source, Parameter):
        module.register_parameter(tensor_name, Parameter(value, source.tracked))
    else:
        module.register_buffer(tensor_name, value)
    return module
