"""What every optimizer is: parameter groups, state, and a step. Floor 11."""

from __future__ import annotations

import functools
import itertools
import warnings
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from twofold.autograd.api import HookHandle, forget_grad, grad_of, retains_grad
from twofold.base import dtypes
from twofold.base.dtypes import float64
from twofold.base.errors import ArgumentError, DTypeError, StateError, in_python, kind_of
from twofold.base.types import Type
from twofold.ops.bind import mode, set_grad
from twofold.ops.guarding import guard
from twofold.ops.joining import clone
from twofold.ops.tensor import Tensor, type_of, wrap


class Group(dict[str, Any]):
    """Parameters and the options for them. While a graph is captured, the rate that Python reads is
    that of each run: a schedule may set another before it; of other options that Python reads the
    capture takes note.

    made_in   a weak reference to the capture in which it was made, if in any
    """

    made_in: Any = None

    def __getitem__(self, key: str) -> Any:
        found = dict.__getitem__(self, key)
        if mode.capture is not None:
            if key == "lr" and type(found) in (int, float):
                return self._rate(found)
            mode.capture.options_read.add((id(self), key))
        return found

    def get(self, key: str, default: Any = None) -> Any:
        """The option of a name, or the default."""
        found = dict.get(self, key, MISSING)
        return default if found is MISSING else self[key]

    def _rate(self, found: float) -> Any:
        capture = mode.capture
        if capture.set_inside(self, "lr") or made_here(self, "Optimizer"):
            return found
        if id(self) in capture.late:  # a measure of this run has set it
            return _callback(lambda: wrap(np.array(self["lr"])), like=wrap(np.zeros(()))).item()
        number = capture.host(lambda: dict.__getitem__(self, "lr"), "rate", like=RATE)
        return wrap(capture.host_value(number, None, (), float64)).item()  # type: ignore[attr-defined]


def made_here(group: Any, op: str) -> bool:
    """Whether a group was made in the function that is captured: each run begins with a new one.
    Only Python can run a loop of a graph around what belongs to such a group.
    """
    found = None if mode.capture is None else getattr(group, "made_in", None)
    if found is None:
        return False
    capture, made = mode.capture, found()
    if capture is made:
        return True
    while capture is not None and capture is not made:
        capture = capture.outer
    if capture is not None:
        raise only_in_python(op, "an optimizer that the function makes, in a loop of the graph")
    return False


def only_in_python(op: str, problem: str) -> StateError:
    """The refusal of what only Python can run."""
    error = StateError(op, problem, hint="make it outside of the compiled function")
    in_python(error)
    return error


def _callback(function: Callable[..., Any], *operands: Tensor, like: Any = None) -> Any:
    """Python that a program calls where it stands (frontends/effects.py, which captures need)."""
    return mode.capture.call(function, *operands, like=like)


class States(defaultdict[Any, dict[str, Any]]):
    """The states of an optimizer's parameters. A program updates those that it found."""

    def _forget(self) -> None:
        if mode.capture is not None:
            raise only_in_python("Optimizer", "the function forgets an optimizer's state")

    def clear(self) -> None:
        self._forget()
        super().clear()

    def pop(self, *given: Any) -> Any:
        self._forget()
        return super().pop(*given)

    def popitem(self) -> Any:
        self._forget()
        return super().popitem()

    def __delitem__(self, key: Any) -> None:
        self._forget()
        super().__delitem__(key)


MISSING = object()
RATE = Type((), float64)
_hooks = itertools.count()
# Of a state: tensors elsewhere, numbers here.
NUMBERS = ("step", "mu_product", "eta", "mu", "H_diag", "ro", "al", "t")
HOOKS = ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_pre", "load_post")
EVERY: dict[str, dict[int, Any]] = {name: {} for name in HOOKS[:2]}  # hooks of all optimizers


ParamsT = Iterable[Any]


class _Required:
    """The default of an option that must be given."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _use_grad_for_differentiable(func: Callable[..., Any]) -> Callable[..., Any]:
    """A step that records nothing, unless its optimizer is made with differentiable=True."""

    @functools.wraps(func)
    def step(*args: Any, **kwargs: Any) -> Any:
        before = set_grad(is_recorded(args[0]))
        try:
            return func(*args, **kwargs)
        finally:
            set_grad(before)

    return step


def is_recorded(optimizer: Any) -> bool:
    """Whether the optimizer's steps are part of what is differentiated."""
    return bool(getattr(optimizer, "defaults", {}).get("differentiable"))


class Optimizer:
    """Parameters in groups with options, and a state for each parameter.

    Subclasses are final: they name their state's tensors (`slots`) and update the parameters of one
    group.
    `state_dict` and `load_state_dict` have PyTorch's layout: groups with parameter numbers, state
    by number.
    """

    slots: tuple[str, ...] = ()
    unshaped: tuple[str, ...] = ()  # what of a state has not its parameter's shape
    takes_complex = True  # whether complex parameters can be optimised
    saves_step = True  # whether the count of steps is part of the state that is saved

    def __init__(self, params: Any, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        at_once = [name for name in ("fused", "foreach") if self.defaults.get(name)]
        if is_recorded(self) and at_once:
            problem = f"`{at_once[0]}` does not support `differentiable`"
            raise ArgumentError(type(self).__name__, problem, hint=f"{at_once[0]}=False")
        self.state: dict[Any, dict[str, Any]] = States(dict)
        self.param_groups: list[Group] = []
        self._hooks: dict[str, dict[int, Any]] = {name: OrderedDict() for name in HOOKS}
        if isinstance(params, Tensor):
            raise DTypeError(
                type(self).__name__,
                "params is one tensor",
                hint="[x], or model.parameters()",
                params=type_of(params),
            )
        if not isinstance(params, Iterable):
            raise DTypeError(
                type(self).__name__,
                f"{kind_of(params)} is no list of parameters",
                hint="model.parameters()"
                if callable(params) or hasattr(params, "parameters")
                else "[x]",
            )
        given = list(params)
        if not given:
            raise ArgumentError(
                type(self).__name__,
                "there is no parameter",
                hint="layers as attributes of the module, or in an nn.ModuleList: "
                "a list hides them, and a generator is empty once it was used",
            )
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own; what is not given has the optimizer's
        defaults.
        """
        group = dict(param_group)
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ArgumentError(type(self).__name__, f"{name} must be given", hint=f"{name}=")
        members = group["params"]
        members = [members] if isinstance(members, Tensor) else list(members)
        name = type(self).__name__
        named = [isinstance(x, tuple) for x in members]
        if any(named):
            if not all(named):
                what = "some parameters of a group have names, and some have none"
                hint = "model.named_parameters(), or model.parameters()"
                raise ArgumentError(name, what, hint=hint)
            group["param_names"] = [label for label, _ in members]
            members = [x for _, x in members]
        for x in members:
            self._check(x)
        if len({id(x) for x in members}) < len(members):
            message = f"{name}: a parameter is twice in one group, and is updated twice"
            warnings.warn(message, stacklevel=4)
        if any(("param_names" in group) != ("param_names" in g) for g in self.param_groups):
            what = "some groups have names for their parameters, and some have none"
            raise ArgumentError(name, what, hint="model.named_parameters() for all groups")
        group["params"] = members
        first = {"params": members} | self.defaults
        made = Group(first | group)
        capture = mode.capture
        if capture is not None and not capture.begins(self, not self.param_groups):
            what = "a group for an optimizer that was there before"
            raise only_in_python("add_param_group", what)
        if capture is not None and capture.keeps:
            capture.conditions.append(lambda: False)  # the next call makes another optimizer
        elif capture is not None and capture.keeps is False:
            made.made_in = weakref.ref(capture)
            capture.optimizers.append(weakref.ref(self))
        self.param_groups.append(made)

    def _check(self, x: Any) -> None:
        name = type(self).__name__
        if not isinstance(x, Tensor):
            raise DTypeError(
                name,
                f"{kind_of(x)} is not a parameter",
                hint="model.parameters(), or tensors that require a gradient",
            )
        if x.dtype.is_complex and not self.takes_complex:
            raise DTypeError(
                name,
                "complex parameters have no step here",
                hint="view_as_real(x) as the parameter, or another optimizer",
                param=type_of(x),
            )
        if x.node is not None and not (is_recorded(self) or retains_grad(x)):
            raise ArgumentError(
                name,
                "only leaves can be optimised",
                hint="x.detach().requires_grad_(); differentiable=True for steps with a gradient",
                param=type_of(x),
            )
        if any(x is p for group in self.param_groups for p in group["params"]):
            raise ArgumentError(
                name, "a parameter is in two groups", hint="each in one", param=type_of(x)
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or set them to zero)."""
        for group in self.param_groups:
            for x in group["params"]:
                forget_grad(x, set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. `closure` computes the loss again first, and
        it is returned.
        """
        span = getattr(type(mode.interpreter), "span", None)
        if span is not None:  # a profile runs
            name = f"Optimizer.step#{type(self).__name__}.step"
            return span(mode.interpreter, name, lambda: self.step(closure))
        args = (self,) if closure is None else (self, closure)
        for hook in self._all_hooks("step_pre"):
            made = hook(self, args, {})
            if made is not None:
                args = made[0]
                closure = args[1] if len(args) > 1 else made[1].get("closure")
        loss = None
        if closure is not None:
            before = set_grad(True)
            loss = closure()
            set_grad(before)
        before = set_grad(is_recorded(self))
        try:
            for group in self.param_groups:
                active = [x for x in group["params"] if grad_of(x) is not None]
                if active:
                    self.update(group, active)
        finally:
            set_grad(before)
        for hook in self._all_hooks("step_post"):
            hook(self, args, {})
        return loss

    def _watch_own_step(self) -> None:
        """Where a class of the user's defines `step`, its hooks are called around that."""
        own = type(self).step
        if own is Optimizer.step or own.__module__.startswith("twofold.") or "step" in vars(self):
            return

        @functools.wraps(own)
        def step(*args: Any, **kwargs: Any) -> Any:
            for hook in self._all_hooks("step_pre"):
                found = hook(self, (self, *args), kwargs)
                if found is not None:
                    args, kwargs = found[0][1:], found[1]
            made = own(self, *args, **kwargs)
            for hook in self._all_hooks("step_post"):
                hook(self, (self, *args), kwargs)
            return made

        vars(self)["step"] = step

    def _all_hooks(self, kind: str) -> list[Any]:
        return [*EVERY.get(kind, {}).values(), *self._hooks[kind].values()]

    def update(self, group: Group, params: list[Tensor]) -> None:
        """Update the parameters of one group, all of which have gradients."""
        raise TypeError(f"{type(self).__name__} does not define update")

    def state_of(self, x: Tensor, slots: Iterable[str]) -> dict[str, Any]:
        """The parameter's state, made at its first update: a step count and zeros for each slot."""
        state = self.state[x]
        state.setdefault("step", 0)
        for name in slots:
            if name not in state:
                state[name] = self.filled(x.array.shape, 0.0, x.array.dtype)
        return state

    def filled(self, shape: Any, value: complex, storage: Any) -> Tensor:
        """A new tensor of a state. Of an optimizer that a graph makes it belongs to the graph."""
        if made_here(self.param_groups[0], type(self).__name__):
            number = mode.capture.filled(tuple(shape), value, dtypes.of(np.dtype(storage)))
            return clone(wrap(number))  # memory of its own, which the steps write
        return wrap(np.full(shape, value, storage))

    def register_step_pre_hook(self, hook: Any) -> HookHandle:
        """Call hook(optimizer, args, kwargs) before each step, with the step's own arguments, the
        optimizer first; it may give another (args, kwargs).
        """
        self._watch_own_step()
        return _register(self._hooks["step_pre"], hook)

    def register_step_post_hook(self, hook: Any) -> HookHandle:
        """Call hook(optimizer, args, kwargs) after each step."""
        self._watch_own_step()
        return _register(self._hooks["step_post"], hook)

    def register_state_dict_pre_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call hook(optimizer) before each state_dict()."""
        return _register(self._hooks["state_dict_pre"], hook, prepend)

    def register_state_dict_post_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call hook(optimizer, state) after each state_dict(); it may give another state."""
        return _register(self._hooks["state_dict_post"], hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call hook(optimizer, state) before a state is loaded; it may give another one."""
        return _register(self._hooks["load_pre"], hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call hook(optimizer) after a state is loaded."""
        return _register(self._hooks["load_post"], hook, prepend)

    # saving

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take all attributes from `state`; subclasses add what older ones lack."""
        self.__dict__.update(state)

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: {...}}, "param_groups": [{..., "params": [numbers]}]}; tensors are
        shared.
        """
        for hook in self._all_hooks("state_dict_pre"):
            hook(self)
        numbers = {id(x): i for i, x in enumerate(self._all())}
        groups = [
            {k: v for k, v in group.items() if k != "params"}
            | {"params": [numbers[id(x)] for x in group["params"]]}
            for group in self.param_groups
        ]
        state = {
            numbers[id(x)]: {k: v for k, v in kept.items() if k != "step" or self.saves_step}
            for x, kept in self.state.items()
            if id(x) in numbers
        }
        made = {"state": {i: kept for i, kept in state.items() if kept}, "param_groups": groups}
        for hook in self._all_hooks("state_dict_post"):
            found = hook(self, made)
            made = made if found is None else found
        return made

    def _all(self) -> list[Tensor]:
        return [x for group in self.param_groups for x in group["params"]]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take options and state from `state_dict`, copied. Raises StateError if groups or shapes
        differ.
        """
        for hook in self._all_hooks("load_pre"):
            found = hook(self, state_dict)
            state_dict = state_dict if found is None else found
        groups = state_dict["param_groups"]
        sizes = [len(g["params"]) for g in groups]
        own = [len(g["params"]) for g in self.param_groups]
        name = f"{type(self).__name__}.load_state_dict"
        if sizes != own:
            raise StateError(
                name,
                "the groups differ",
                hint="the same parameters in the same groups as when it was saved",
                saved=f"{sizes} parameters",
                here=f"{own} parameters",
            )
        for group in groups:
            self._check_options(name, group)
        numbers = [number for g in groups for number in g["params"]]
        by_number = dict(zip(numbers, self._all(), strict=True))
        loaded: dict[Any, dict[str, Any]] = States(dict)
        for key, values in state_dict["state"].items():
            x = by_number[int(key)]
            loaded[x] = {k: self._loaded(name, k, v, x) for k, v in values.items()}
        self.state = loaded
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update({k: v for k, v in saved.items() if k != "params"})
        for hook in self._all_hooks("load_post"):
            hook(self)

    def _check_options(self, name: str, saved: Mapping[str, Any]) -> None:
        """Raise StateError where numbers are missing that this optimizer computes with."""
        computed = {k for k, v in self.defaults.items() if type(v) in (int, float, tuple)}
        if lost := sorted(computed - saved.keys()):
            raise StateError(
                name,
                f"the saved state is of another optimizer: it has no {', '.join(lost)}",
                saved=", ".join(sorted(saved.keys() - {"params"})),
                hint="the same class as when it was saved",
            )

    def _loaded(self, name: str, key: str, value: Any, x: Tensor) -> Any:
        if isinstance(value, list | tuple):
            return [self._loaded(name, key, one, x) for one in value]
        if not isinstance(value, Tensor):
            return value
        if key in NUMBERS:
            return int(value.array) if key == "step" else float(value.array)
        shaped = key not in self.unshaped
        if shaped and value.array.shape != x.array.shape and value.array.ndim:
            raise StateError(
                name,
                f"{key} has another shape than its parameter",
                hint="the model that it was saved with",
                saved=type_of(value),
                here=type_of(x),
            )
        return wrap(value.array.astype(x.array.dtype, copy=True))

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += ["", f"Parameter Group {i}"] if i else [f"Parameter Group {i}"]
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def register_optimizer_step_pre_hook(hook: Any) -> HookHandle:
    """Call hook(optimizer, args, kwargs) before each step of every optimizer."""
    return _register(EVERY["step_pre"], hook)


def register_optimizer_step_post_hook(hook: Any) -> HookHandle:
    """Call hook(optimizer, args, kwargs) after each step of every optimizer."""
    return _register(EVERY["step_post"], hook)


def _register(hooks: Any, hook: Any, first: bool = False) -> HookHandle:
    key = next(_hooks)
    hooks[key] = hook
    if first:
        hooks.move_to_end(key, last=False)
    return HookHandle(functools.partial(hooks.pop, key, None))


def check_range(op: str, **values: float) -> None:
    """Raise ArgumentError for options that are negative, or betas that are not below 1."""
    for name, value in values.items():
        if isinstance(value, str | bool | None) or not hasattr(value, "__float__"):
            raise DTypeError(op, f"{name} = {value!r} is not a number", hint=f"{name}=0.001")
        low = value < 0.0
        if low or (name.startswith("beta") and value >= 1.0):
            hint = "0 <= beta < 1" if name.startswith("beta") else f"{name} >= 0"
            raise ArgumentError(op, f"{name} = {value}", hint=hint)


def _default_to_fused_or_foreach(
    params: Any, differentiable: bool, use_fused: bool = False
) -> tuple[bool, bool]:
    """PyTorch's choice of a way to update parameters, (fused, foreach): libraries go one by one."""
    return False, False


guard(globals())
