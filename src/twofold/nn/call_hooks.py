"""Hooks around the calls of modules: a module's own, and those of all modules, as in PyTorch's
`nn.modules.module`. Floor 10.
"""

from __future__ import annotations

import functools
import itertools
import traceback
import warnings
from collections import OrderedDict
from typing import Any

from twofold.autograd.api import HookHandle
from twofold.nn.backward_hooks import Around

_numbers = itertools.count()
Hooks = OrderedDict[int, Any]

# A module's tables: its hooks by number, and the numbers of those that take keywords or run always.
TABLES = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_pre_hooks",
    "_backward_hooks",
)
# Hooks of all modules, and which of these there are.
BEFORE: Hooks = OrderedDict()
AFTER: Hooks = OrderedDict()
BACKWARD_BEFORE: Hooks = OrderedDict()
BACKWARD: Hooks = OrderedDict()
CALLED: Hooks = OrderedDict()
WITH_KEYWORDS: Hooks = OrderedDict()
ALWAYS: Hooks = OrderedDict()
# What is called when a module gets a member: (module, name, member) -> another member or None.
ADDED: dict[str, Hooks] = {name: OrderedDict() for name in ("_parameters", "_buffers", "_modules")}


def register(table: Hooks, hook: Any, *marks: Hooks, first: bool = False) -> HookHandle:
    """Put a hook into a table, at its end or before all others, and its number into `marks`."""
    key = next(_numbers)
    table[key] = hook
    for mark in marks:
        mark[key] = True
    if first:
        table.move_to_end(key, last=False)
    return HookHandle(functools.partial(_remove, (table, *marks), key))


def _remove(tables: tuple[Hooks, ...], key: int) -> None:
    for table in tables:
        table.pop(key, None)


def before(module: Any, hook: Any, first: bool, with_kwargs: bool) -> HookHandle:
    """What Module.register_forward_pre_hook does."""
    marks = [module._forward_pre_hooks_with_kwargs] if with_kwargs else []
    return register(module._forward_pre_hooks, hook, *marks, first=first)


def after(module: Any, hook: Any, first: bool, with_kwargs: bool, always: bool) -> HookHandle:
    """What Module.register_forward_hook does."""
    marks = [module._forward_hooks_with_kwargs] if with_kwargs else []
    marks += [module._forward_hooks_always_called] if always else []
    return register(module._forward_hooks, hook, *marks, first=first)


def added(table: str, module: Any, name: str, value: Any) -> Any:
    """A member that a module gets, or what the hooks of all modules make of it."""
    for hook in ADDED[table].values():
        made = hook(module, name, value)
        value = value if made is None else made
    return value


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A call of a module with everything that is called before and after it."""
    done: set[int] = set()
    if not ALWAYS and not module._forward_hooks_always_called:
        return _call(module, args, kwargs, done)
    try:
        return _call(module, args, kwargs, done)
    except Exception:
        _call_left(module, args, kwargs, done)
        raise


def _call(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], done: set[int]) -> Any:
    for key, hook in [*BEFORE.items(), *module._forward_pre_hooks.items()]:
        if key in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            args, kwargs = changed if changed is not None else (args, kwargs)
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    around = Around(
        module,
        {**BACKWARD_BEFORE, **module._backward_pre_hooks},
        {**BACKWARD, **module._backward_hooks},
    )
    result = module.forward(*around.enter(args), **kwargs)
    for key, hook in [*AFTER.items(), *module._forward_hooks.items()]:
        done.add(key)
        changed = hook(module, *_given(module, key, args, kwargs), result)
        result = result if changed is None else changed
    return around.leave(result)


def _given(module: Any, key: int, args: Any, kwargs: Any) -> tuple[Any, ...]:
    with_keywords = key in WITH_KEYWORDS or key in module._forward_hooks_with_kwargs
    return (args, kwargs) if with_keywords else (args,)


def _call_left(module: Any, args: Any, kwargs: Any, done: set[int]) -> None:
    """Call the hooks that run always and have not run, without a result; what they raise is a
    warning beside the error of the call.
    """
    always = {**ALWAYS, **module._forward_hooks_always_called}
    for key, hook in [*AFTER.items(), *module._forward_hooks.items()]:
        if key in always and key not in done:
            try:
                hook(module, *_given(module, key, args, kwargs), None)
            except Exception:
                name, text = type(module).__name__, traceback.format_exc()
                warnings.warn(
                    f"{name}: a forward hook with always_call raised {text}", stacklevel=2
                )


def register_module_forward_pre_hook(hook: Any) -> HookHandle:
    """Call hook(module, args) before every call of any module; what it returns replaces the
    arguments.
    """
    return register(BEFORE, hook, CALLED)


def register_module_forward_hook(
    hook: Any, *, with_kwargs: bool = False, always_call: bool = False
) -> HookHandle:
    """Call hook(module, args, output) after every call of any module, before the module's own
    hooks; what it returns replaces the output. with_kwargs, always_call: as in
    Module.register_forward_hook.
    """
    marks = [WITH_KEYWORDS] if with_kwargs else []
    marks += [ALWAYS] if always_call else []
    return register(AFTER, hook, CALLED, *marks)


def register_module_full_backward_hook(hook: Any) -> HookHandle:
    """Call hook(module, gradients of the inputs, gradients of the outputs) for every module."""
    return register(BACKWARD, hook, CALLED)


register_module_backward_hook = register_module_full_backward_hook


def register_module_full_backward_pre_hook(hook: Any) -> HookHandle:
    """Call hook(module, gradients of the outputs) for every module, before its backward pass."""
    return register(BACKWARD_BEFORE, hook, CALLED)


def register_module_parameter_registration_hook(hook: Any) -> HookHandle:
    """Call hook(module, name, parameter) whenever a module gets a parameter; what it returns takes
    the parameter's place.
    """
    return register(ADDED["_parameters"], hook)


def register_module_buffer_registration_hook(hook: Any) -> HookHandle:
    """Call hook(module, name, buffer) whenever a module gets a buffer; what it returns takes the
    buffer's place.
    """
    return register(ADDED["_buffers"], hook)


def register_module_module_registration_hook(hook: Any) -> HookHandle:
    """Call hook(module, name, submodule) whenever a module gets a submodule; what it returns takes
    the submodule's place.
    """
    return register(ADDED["_modules"], hook)
