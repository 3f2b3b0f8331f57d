"""Module: parameters, buffers and submodules under names, and what one does with all of them. Floor
10.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from twofold.autograd.api import HookHandle
from twofold.base import dtypes
from twofold.base.errors import StateError, TwofoldError
from twofold.ops.bind import set_grad
from twofold.ops.tensor import Parameter, Tensor, type_of

_hook_numbers = itertools.count()


class LoadResult(NamedTuple):
    """What `load_state_dict(strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """The base class of layers and models: assign Parameters and Modules to attributes, define
    `forward`.

    >>> class Net(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Linear(784, 10)
    ...
    ...     def forward(self, x):
    ...         return self.fc(x)
    """

    training: bool
    forward: Callable[..., Any]

    def __init__(self) -> None:
        set_own = functools.partial(object.__setattr__, self)
        set_own("training", True)
        for name in ("_parameters", "_buffers", "_modules"):
            set_own(name, {})
        for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
            set_own(name, OrderedDict())
        set_own("_non_persistent_buffers_set", set())

    # attributes

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        if "_parameters" not in tables:
            if isinstance(value, Parameter | Module):
                raise AttributeError(
                    "call super().__init__() before assigning parameters and modules"
                )
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name)
            tables["_parameters"][name] = value
        elif isinstance(value, Module):
            self._forget(name)
            tables["_modules"][name] = value
        else:
            self._set_plain(name, value)

    def _set_plain(self, name: str, value: Any) -> None:
        for table in ("_parameters", "_modules", "_buffers"):
            if name in self.__dict__[table]:
                self._check_replacement(table, name, value)
                self.__dict__[table][name] = value
                return
        object.__setattr__(self, name, value)

    def _check_replacement(self, table: str, name: str, value: Any) -> None:
        allowed = Tensor if table == "_buffers" else type(None)
        if value is not None and not isinstance(value, allowed):
            kind = table.strip("_").removesuffix("s")
            raise TypeError(
                f"{type(self).__name__}.{name} is a {kind}"
                f" and cannot become a {type(value).__name__}"
            )

    def _forget(self, name: str) -> None:
        for table in ("_parameters", "_modules", "_buffers"):
            self.__dict__[table].pop(name, None)
        self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(table)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for table in ("_parameters", "_modules", "_buffers"):
            if name in self.__dict__[table]:
                del self.__dict__[table][name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None keeps the place."""
        self._forget(name)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained; persistent ones are in the state_dict."""
        self._forget(name)
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name."""
        self._forget(name)
        self._modules[name] = module

    register_module = add_module

    # calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._forward_pre_hooks or self._forward_hooks or self._backward_hooks:
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except TwofoldError as error:
            self._name_in(error)
            raise

    def _name_in(self, error: TwofoldError) -> None:
        """Lengthen the error's module path by the name under which the failing child stands
        here.
        """
        child = error.module
        names = (
            [name for name, module in self._modules.items() if module is child]
            if child is not None
            else []
        )
        below = error.path[1:] if error.path else ()
        error.path = (type(self).__name__, *names, *below)
        error.module = self

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in list(self._forward_pre_hooks.values()):
            if with_kwargs:
                changed = hook(self, args, kwargs)
                args, kwargs = changed if changed is not None else (args, kwargs)
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook, with_kwargs in list(self._forward_hooks.values()):
            changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            result = result if changed is None else changed
        self._hook_backward(args, result)
        return result

    def _hook_backward(self, args: tuple[Any, ...], result: Any) -> None:
        outs = result if isinstance(result, tuple) else (result,)
        for out in outs:
            if isinstance(out, Tensor) and out.node is not None:
                for hook in self._backward_hooks.values():
                    out.register_hook(lambda g, hook=hook: _as_none(hook(self, (None,), (g,))))  # type: ignore

    def register_forward_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call hook(module, args, output) after forward; what it returns replaces the output."""
        return _register(self._forward_hooks, (hook, with_kwargs), prepend)

    def register_forward_pre_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call hook(module, args) before forward; what it returns replaces the arguments."""
        return _register(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call hook(module, (None,), (gradient of an output,)) when that gradient is known."""
        return _register(self._backward_hooks, hook, prepend)

    # walking the tree

    def children(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module and all below it, each once."""
        memo = set() if memo is None else memo
        if remove_duplicate and id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def _named(
        self, table: str, prefix: str, recurse: bool, duplicates: bool = False
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, value in module.__dict__[table].items():
                if value is not None and (duplicates or id(value) not in seen):
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        return self._named("_parameters", prefix, recurse, not remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named("_buffers", prefix, recurse, not remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (value for _, value in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name below this one."""
        found: Any = self
        for name in target.split(".") if target else []:
            found = getattr(found, name)
        return found  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        path, _, name = target.rpartition(".")
        return getattr(self.get_submodule(path), name)  # type: ignore[no-any-return]

    get_buffer = get_parameter

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call fn on every module below this one and on this one last."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # modes and types

    def train(self, mode: bool = True) -> Module:
        """Training mode for dropout and batch norm, here and below."""
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Module:
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad  # type: ignore[attr-defined]
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or set them to zero)."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach().zero_()  # type: ignore[attr-defined]

    def to(self, *args: Any, **kwargs: Any) -> Module:
        """Convert floating parameters and buffers to a dtype, in place; devices are checked."""
        return self._convert(lambda x: x.to(*args, **kwargs), only_floating=True)

    def _convert(self, convert: Callable[[Any], Any], only_floating: bool) -> Module:
        for module in self.modules():
            for table in (module._parameters, module._buffers):
                for value in table.values():
                    if value is not None and (not only_floating or value.dtype.kind in "fc"):
                        before = set_grad(False)
                        value.array = convert(value).array
                        set_grad(before)
        return self

    def float(self) -> Module:
        return self.to(dtypes.float32)

    def double(self) -> Module:
        return self.to(dtypes.float64)

    def half(self) -> Module:
        return self.to(dtypes.float16)

    def bfloat16(self) -> Module:
        return self.to(dtypes.bfloat16)

    def type(self, dtype: Any) -> Module:
        return self.to(dtype)

    def cpu(self) -> Module:
        return self

    def cuda(self, device: Any = None) -> Module:
        return self.to("cuda")

    def share_memory(self) -> Module:
        return self

    # state

    def state_dict(
        self, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Every parameter and persistent buffer by dotted name; tensors share the module's
        memory.
        """
        result: dict[str, Any] = OrderedDict() if destination is None else destination
        for name, value in self._own_state():
            result[prefix + name] = value if keep_vars else value.detach()  # type: ignore[attr-defined]
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(result, f"{prefix}{name}.", keep_vars)
        extra = getattr(self, "get_extra_state", None)
        if extra is not None:
            result[prefix + "_extra_state"] = extra()
        return result

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in self._parameters.items():
            if value is not None:
                yield name, value
        for name, value in self._buffers.items():
            if value is not None and name not in self._non_persistent_buffers_set:
                yield name, value

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> LoadResult:
        """Copy values into the parameters and buffers of the same names.

        Nothing is changed unless everything fits. Raises StateError with the whole difference:
        names that are
        missing, names that are not expected, sizes that differ (sizes count even with
        strict=False).
        """
        own = self._state_targets()
        missing = [name for name in own if name not in state_dict]
        unexpected = [
            name for name in state_dict if name not in own and not name.endswith("_extra_state")
        ]
        wrong = [
            f"{name}: saved {_type(state_dict[name])}, here {type_of(target)}"
            for name, target in own.items()
            if name in state_dict and _shape(state_dict[name]) != target.array.shape
        ]
        if wrong or (strict and (missing or unexpected)):
            raise _mismatch(type(self).__name__, missing, unexpected, wrong)
        for name, target in own.items():
            if name in state_dict:
                _load_into(target, state_dict[name], assign)
        self._load_extra(state_dict)
        return LoadResult(missing, unexpected)

    def _state_targets(self) -> dict[str, Tensor]:
        made = {}
        for path, module in self.named_modules(remove_duplicate=False):
            for name, value in module._own_state():
                made[f"{path}.{name}" if path else name] = value
        return made

    def _load_extra(self, state_dict: Mapping[str, Any]) -> None:
        for path, module in self.named_modules():
            key = f"{path}._extra_state" if path else "_extra_state"
            if key in state_dict and hasattr(module, "set_extra_state"):
                module.set_extra_state(state_dict[key])

    # showing

    def extra_repr(self) -> str:
        """What stands between the parentheses; layers override it."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        if not lines:
            return f"{self._get_name()}({extra})"
        head = [extra] if extra else []
        body = "\n  ".join([*head, *lines])
        return f"{self._get_name()}(\n  {body}\n)"


def _register(table: OrderedDict[int, Any], hook: Any, first: bool) -> HookHandle:
    key = next(_hook_numbers)
    table[key] = hook
    if first:
        table.move_to_end(key, last=False)
    return HookHandle(functools.partial(_remove, table, key))


def _remove(table: OrderedDict[int, Any], key: int) -> None:
    with contextlib.suppress(KeyError):
        del table[key]


def _as_none(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(np.shape(value.array if isinstance(value, Tensor) else value))


def _type(value: Any) -> str:
    return (
        str(type_of(value))
        if isinstance(value, Tensor)
        else f"{type(value).__name__}{list(_shape(value))}"
    )


def _load_into(target: Tensor, value: Any, assign: bool) -> None:
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    if assign:
        target.array = array
    else:
        target.array[...] = dtypes.convert(array, target.dtype)
    target.version += 1


def _mismatch(name: str, missing: list[str], unexpected: list[str], wrong: list[str]) -> StateError:
    facts: dict[str, object] = {}
    for label, rows in (("missing", missing), ("unexpected", unexpected), ("different", wrong)):
        if rows:
            shown = rows[:12] + ([f"... and {len(rows) - 12} more"] if len(rows) > 12 else [])
            facts[label] = ("\n" + " " * 14).join(shown)
    return StateError(
        f"{name}.load_state_dict",
        "the saved state does not fit this module",
        hint="the same architecture, or strict=False to load what fits by name",
        **facts,
    )
