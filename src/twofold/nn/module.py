"""Module: parameters, buffers and submodules under names, and what one does with all of them. Floor
10.
"""

from __future__ import annotations

import functools
import importlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twofold.autograd.api import HookHandle, forget_grad
from twofold.base import dtypes
from twofold.base.errors import (
    ArgumentError,
    DTypeError,
    MissingNameError,
    TwofoldError,
    UndefinedError,
    kind_of,
)
from twofold.nn import call_hooks, state
from twofold.nn.buffer import Buffer
from twofold.ops.bind import mode, recording
from twofold.ops.creation import zeros
from twofold.ops.creation_like import empty_like
from twofold.ops.guarding import TRIPPED, wrong_argument
from twofold.ops.tensor import Exchanged, OtherLayout, Parameter, Tensor, wrap

COMPILER = "twofold.frontends.decorator"  # imported when a module is compiled
TABLES = ("_parameters", "_buffers", "_modules")
LAYERS = "twofold.nn."  # modules of ours
LISTS = ("ModuleList", "ModuleDict", "ParameterList", "ParameterDict")


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
    call_super_init = False  # whether the class after this one in the order is made, too
    dump_patches = False

    def __init__(self, *args: Any, **options: Any) -> None:
        if (args or options) and not self.call_super_init:
            raise self._took(args, options)
        set_own = functools.partial(object.__setattr__, self)
        set_own("training", True)
        for name in ("_parameters", "_buffers", "_modules"):
            set_own(name, {})
        for name in call_hooks.TABLES:
            set_own(name, OrderedDict())
        set_own("_non_persistent_buffers_set", set())
        if self.call_super_init:
            super().__init__(*args, **options)

    # attributes

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        if "_parameters" not in tables:
            if isinstance(value, Parameter | Module):
                raise self._no_attribute(name)
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            tables["_modules"][name] = call_hooks.added("_modules", self, name, value)
        elif isinstance(value, Buffer):
            self._forget(name, "_buffers")
            self.register_buffer(name, wrap(value.array), value.persistent)
        else:
            self._set_plain(name, value)

    def _took(self, args: tuple[Any, ...], options: dict[str, Any]) -> DTypeError:
        """The error of a class, or of a super().__init__, that was given what it does not take."""
        name = type(self).__name__
        given = ", ".join([*map(kind_of, args), *options])
        hint = f"an __init__ of {name} that takes it, and super().__init__() in it"
        if any(isinstance(x, Tensor) for x in args):
            hint = f"{name}()(x): first the module is made, then it is called"
        return DTypeError(name, f"Module.__init__ takes no arguments, but got {given}", hint=hint)

    def _set_plain(self, name: str, value: Any) -> None:
        for table in ("_parameters", "_modules", "_buffers"):
            if name in self.__dict__[table]:
                self._check_replacement(table, name, value)
                self.__dict__[table][name] = value
                return
        object.__setattr__(self, name, value)

    def _check_replacement(self, table: str, name: str, value: Any) -> None:
        allowed = (Tensor, OtherLayout) if table == "_buffers" else type(None)
        if value is not None and not isinstance(value, allowed):
            kind = table.strip("_").removesuffix("s")
            raise DTypeError(
                type(self).__name__,
                f"{name} is a {kind} and cannot become {kind_of(value)}",
                hint=f"nn.Parameter(...) around it, or del self.{name} first",
            )

    def _check_member(self, table: str, name: str, value: Any, kind: Any) -> None:
        """Raise for a name that cannot be one, or is taken, and for a value of another kind."""
        op = type(self).__name__
        if not isinstance(name, str) or "." in name or not name:
            raise ArgumentError(op, f"{name!r} is not a name", hint="a string without dots")
        own = self.__dict__
        taken = name in own or any(name in own[t] for t in TABLES if t != table)
        # A property that has no value yet leaves the name free, as in PyTorch.
        if taken or (hasattr(type(self), name) and hasattr(self, name)):
            raise ArgumentError(
                op, f"there is an attribute {name} already", hint=f"del self.{name}"
            )
        if value is not None and not isinstance(value, kind):
            if isinstance(value, type):
                what, hint = f"{name} is the class {value.__name__}", f"{value.__name__}(...)"
            elif callable(value):
                what, hint = f"{name} is a function", f"a {kind.__name__} that does the same"
            else:
                what, hint = f"{name} is {kind_of(value)}", f"a {kind.__name__}, or None"
            raise DTypeError(op, f"{what}, not a {kind.__name__}", hint=hint)

    def _forget(self, name: str, kept: str) -> None:
        """Take a name out of all tables but `kept`, where a new value has the old one's place."""
        for table in TABLES:
            if table != kept:
                self.__dict__[table].pop(name, None)
        self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        tables = self.__dict__
        try:
            return tables["_parameters"][name]  # what is asked for most, at each call of a layer
        except KeyError:
            for table in ("_buffers", "_modules"):
                found = tables.get(table)
                if found is not None and name in found:
                    return found[name]
        if mode.capture is not None and mode.capture.unread.found_none(tables, name):
            return None
        raise self._no_attribute(name)

    def _no_attribute(self, name: str) -> MissingNameError:
        owner = type(self).__name__
        if "_parameters" in self.__dict__:
            return MissingNameError(owner, name, lambda: dir(self))
        error = MissingNameError(owner, name)
        what = "the module" if name.startswith("_") else repr(name)
        error.problem = f"{what} was used before Module.__init__ was called"
        error.hint = "super().__init__() as the first line of __init__"
        return error

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
        self._check_member("_parameters", name, param, Parameter)
        self._parameters[name] = call_hooks.added("_parameters", self, name, param)

    def register_buffer(
        self, name: str, tensor: Tensor | OtherLayout | None, persistent: bool = True
    ) -> None:
        """Add a tensor, dense or sparse, that is state but not trained; persistent ones are in the
        state_dict.
        """
        kind = OtherLayout if isinstance(tensor, OtherLayout) else Tensor
        self._check_member("_buffers", name, tensor, kind)
        self._buffers[name] = call_hooks.added("_buffers", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name."""
        self._check_member("_modules", name, module, Module)
        self._modules[name] = call_hooks.added("_modules", self, name, module)

    register_module = add_module

    # calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        name = type(self).__name__
        hint = (
            "a loop over its modules" if name in LISTS else f"def forward(self, x): in class {name}"
        )
        raise UndefinedError(name, "the module does not define forward", hint=hint)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if mode.capture is not None:
            with mode.capture.within(self):
                return self._call(args, kwargs)
        return self._call(args, kwargs)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Run `forward` compiled from now on; the options are those of `twofold.compile`."""
        compiled = importlib.import_module(COMPILER)
        object.__setattr__(self, "forward", compiled.compile(self.forward, *args, **kwargs))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            if (
                self._forward_pre_hooks
                or self._forward_hooks
                or self._backward_hooks
                or self._backward_pre_hooks
                or call_hooks.CALLED
            ):
                return call_hooks.call_with_hooks(self, args, kwargs)
            return self.forward(*args, **kwargs)
        except TwofoldError as error:
            self._name_in(error)
            raise
        except TRIPPED:
            wrong = self._wrong_argument(args, kwargs)
            if wrong is None:
                raise
            raise wrong from None

    def _wrong_argument(self, args: Any, kwargs: Any) -> TwofoldError | None:
        """What a layer of ours was given that is no tensor; a user's forward says so itself."""
        if not str(type(self).forward.__module__).startswith(LAYERS):
            return None
        return wrong_argument(type(self).forward, (self, *args), kwargs)

    def _name_in(self, error: TwofoldError) -> None:
        """Lengthen the error's module path by the name of the failing module below this one."""
        child, below = error.module, error.path
        if child is not None:
            found = (path for path, module in self.named_modules() if module is child)
            path = next(found, None)
            below = below if path is None else (*path.split("."), *below[1:])
        error.path = (type(self).__name__, *below)
        error.module = self

    def register_forward_hook(
        self,
        hook: Any,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> HookHandle:
        """Call hook(module, args, output) after forward; what it returns replaces the output.

        with_kwargs: hook(module, args, kwargs, output). always_call: with None for the output, too,
        where the call raises an error.
        """
        return call_hooks.after(self, hook, prepend, with_kwargs, always_call)

    def register_forward_pre_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call hook(module, args) before forward; what it returns replaces the arguments."""
        return call_hooks.before(self, hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call hook(module, gradients of the inputs, gradients of the outputs) when both are known.

        What it returns replaces the gradients of the inputs; None stands for one that is not
        wanted.
        """
        return call_hooks.register(self._backward_hooks, hook, first=prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call hook(module, gradients of the outputs); what it returns replaces them."""
        return call_hooks.register(self._backward_pre_hooks, hook, first=prepend)

    # walking the tree

    def children(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        return (m for _, m in self.named_modules(remove_duplicate=remove_duplicate))

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

    def _named(self, table: str, prefix: str, recurse: bool, once: bool) -> Iterator[Any]:
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=once)
        for path, module in modules if recurse else [(prefix, self)]:
            for name, value in module.__dict__[table].items():
                if value is not None and not (once and id(value) in seen):
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (value for _, value in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name below this one. Raises AttributeError."""
        found: Any = self
        for name in target.split(".") if target else []:
            found = getattr(found, name, None)
            if not isinstance(found, Module):
                op = f"{type(self).__name__}.get_submodule"
                raise MissingNameError(op, target, lambda: [p for p, _ in self.named_modules()])
        return found  # type: ignore[no-any-return]

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module in the place of a dotted name. Raises AttributeError for a path that is not
        there, and with `strict` for a module that is not.
        """
        if strict:
            self.get_submodule(target)
        path, _, name = target.rpartition(".")
        setattr(self.get_submodule(path), name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter (or buffer) with a dotted name. Raises AttributeError."""
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

    def train(self, mode: Any = True) -> Module:
        """Training mode for dropout and batch norm, here and below."""
        if not isinstance(mode, bool):
            problem = f"{mode!r} is not True or False"
            raise ArgumentError(f"{type(self).__name__}.train", problem, hint="train() or eval()")
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
            forget_grad(parameter, set_to_none)

    def to(self, *args: Any, **kwargs: Any) -> Module:
        """Convert floating parameters and buffers to a dtype, in place; devices are checked."""
        trial = zeros((), device="cpu").to(*args, **kwargs)  # type: ignore[attr-defined]
        if trial.dtype.kind not in "fc":
            raise DTypeError(
                f"{type(self).__name__}.to",
                f"{trial.dtype.name} is not a floating type",
                hint="float32, float64, float16 or bfloat16",
            )
        return self._apply(lambda x: x.to(*args, **kwargs) if x.dtype.kind in "fc" else x)

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Module:
        """Replace the values of every parameter, its gradient and every buffer by fn of them."""
        seen = set()
        for module in self.modules() if recurse else [self]:
            for value in (*module._parameters.values(), *module._buffers.values()):
                if value is None or id(value) in seen:
                    continue
                seen.add(id(value))
                with recording(False):
                    if isinstance(value, OtherLayout):
                        value._take(fn(value._numbers))
                        continue
                    value.array = fn(value).array
                    Exchanged.times += 1
                    if value.grad is not None:
                        value.grad = fn(value.grad)
        return self

    def float(self) -> Module:
        return self.to(dtypes.float32)

    def double(self) -> Module:
        return self.to(dtypes.float64)

    def half(self) -> Module:
        return self.to(dtypes.float16)

    def bfloat16(self) -> Module:
        return self.to(dtypes.bfloat16)

    def type(self, dst_type: Any) -> Module:
        return self.to(dst_type)

    def to_empty(self, *, device: Any = None, recurse: bool = True) -> Module:
        """The parameters and buffers in new memory, with whatever it holds."""
        return self._apply(lambda x: empty_like(x, device=device), recurse)

    def cpu(self) -> Module:
        return self._apply(lambda x: x.cpu())

    def cuda(self, device: Any = None) -> Module:
        return self.to("cuda")

    def xpu(self, device: Any = None) -> Module:
        return self.to("xpu")

    def mtia(self, device: Any = None) -> Module:
        return self.to("mtia")

    def ipu(self, device: Any = None) -> Module:
        return self.to("ipu")

    def share_memory(self) -> Module:
        """Parameters and buffers move to memory that is shared with other processes."""
        for x in (*self.parameters(), *self.buffers()):
            x.share_memory_()  # type: ignore[attr-defined]
        return self

    # state

    def state_dict(
        self, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Every parameter and persistent buffer by dotted name; tensors share the module's
        memory. Its attribute `_metadata` has the `_version` of each module.
        """
        result: Any = OrderedDict() if destination is None else destination
        if destination is None:
            result._metadata = OrderedDict()
        return state.state_of(self, result, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.LoadResult:
        """Copy values into the parameters and buffers of the same names.

        Nothing is changed unless everything fits. Raises StateError with the whole difference:
        names that are missing, names that are not expected, sizes that differ (sizes count even
        with strict=False). assign: take the given memory instead of copying.
        """
        return state.load_state(self, state_dict, strict, assign)

    get_extra_state = state.no_extra_state
    set_extra_state = state.takes_no_extra_state
    _version = 1  # of the state's form, for subclasses that tell older ones from it
    _load_from_state_dict = state.load_own
    _save_to_state_dict = state.save_own
    register_load_state_dict_pre_hook = state.on_load_with_module
    register_load_state_dict_post_hook = state.on_loaded
    register_state_dict_pre_hook = state.on_save
    register_state_dict_post_hook = _register_state_dict_hook = state.on_saved
    _register_load_state_dict_pre_hook = state.on_load

    # showing

    def extra_repr(self) -> str:
        """What stands between the parentheses; layers override it."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = [line for line in self.extra_repr().split("\n") if line]
        children = self._child_lines()
        if not children and len(extra) < 2:
            return f"{self._get_name()}({''.join(extra)})"
        body = "\n  ".join([*extra, *children])
        return f"{self._get_name()}(\n  {body}\n)"

    def _child_lines(self) -> list[str]:
        return [f"({name}): {indented(repr(m))}" for name, m in self._modules.items()]


def indented(text: str) -> str:
    return text.replace("\n", "\n  ")
