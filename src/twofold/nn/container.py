"""Modules that hold modules or parameters. Floor 10."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError, kind_of
from twofold.nn.module import Module, indented
from twofold.ops.guarding import guard
from twofold.ops.tensor import Parameter, Tensor


class ModuleSequence(Module):
    """What Sequential and ModuleList share: modules in an order, named by their numbers."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __dir__(self) -> list[str]:
        return [key for key in super().__dir__() if not key.isdigit()]

    def _name(self, index: int) -> str:
        names: list[str] = list(self._modules)
        if not -len(names) <= index < len(names):
            raise IndexRangeError(
                type(self).__name__,
                f"index {index} is out of range",
                hint=f"{-len(names)} to {len(names) - 1}" if names else "append a module first",
                modules=len(names),
            )
        return names[index]

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._part(list(self._modules.items())[index])
        return self._modules[self._name(index)]

    def _part(self, items: list[tuple[str, Module]]) -> ModuleSequence:
        """A sequence of some of the modules."""
        raise TypeError(f"{type(self).__name__} does not define parts")

    def __setitem__(self, index: int, module: Module) -> None:
        name = self._name(index)
        self._check_member("_modules", name, module, Module)
        self._modules[name] = module

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self._modules.values())
        del kept[index]
        self._renumber(kept)

    def _renumber(self, modules: list[Any]) -> None:
        self._modules.clear()
        for index, module in enumerate(modules):
            self.add_module(str(index), module)

    def __iadd__(self, modules: Iterable[Module]) -> Any:
        return self.extend(modules)

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Add a module before the one with this number."""
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, key: int = -1) -> Module:
        """Take the module of this number out."""
        module: Module = self[key]
        del self[key]
        return module


class Sequential(ModuleSequence):
    """Modules called one after the other, each on what the one before gave: `Sequential(a, b)` or
    `Sequential(OrderedDict(first=a, second=b))`.

    A list with append, insert, extend and slices. Raises DTypeError for what is no Module.

    >>> model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else None
        for name, module in enumerate(args) if named is None else named:
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    def _part(self, items: list[tuple[str, Module]]) -> Sequential:
        return Sequential(dict(items))

    def extend(self, sequential: Iterable[Module]) -> Any:
        """Add modules at the end."""
        return super().extend(sequential)

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        """The same modules several times over."""
        return Sequential(*self._times(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        return self.extend(self._times(times)[len(self) :])  # type: ignore[no-any-return]

    def _times(self, times: Any) -> list[Module]:
        if not isinstance(times, int):
            problem = f"{kind_of(times)} is no number of times"
            raise DTypeError("Sequential", problem, hint="model * 2")
        if times <= 0:
            raise ArgumentError("Sequential", f"{times} times", hint="once or more")
        return list(self) * times


class ModuleList(ModuleSequence):
    """A list of modules whose parameters are found, which a plain list's are not. It is not called:
    loop over it in `forward`.

    >>> self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _part(self, items: list[tuple[str, Module]]) -> ModuleList:
        return ModuleList(module for _, module in items)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def _child_lines(self) -> list[str]:
        """Equal neighbours are shown once: (0-3): 4 x Linear(...)."""
        texts = [repr(module) for module in self]
        lines, start = [], 0
        for stop in range(1, len(texts) + 1):
            if stop < len(texts) and texts[stop] == texts[start]:
                continue
            name, times = str(start), ""
            if stop - start > 1:
                name, times = f"{start}-{stop - 1}", f"{stop - start} x "
            lines.append(f"({name}): {times}{indented(texts[start])}")
            start = stop
        return lines


class ModuleDict(Module):
    """A dictionary of modules by name, whose parameters are found, which a plain dict's are not.

    >>> self.heads = nn.ModuleDict({"class": nn.Linear(8, 10), "box": nn.Linear(8, 4)})
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]  # type: ignore[no-any-return]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def keys(self) -> Any:
        return self._modules.keys()

    def values(self) -> Any:
        return self._modules.values()

    def items(self) -> Any:
        return self._modules.items()

    def update(self, modules: Any) -> None:
        """Add modules from a mapping or from pairs."""
        for key, module in modules.items() if hasattr(modules, "items") else modules:
            self.add_module(key, module)

    def pop(self, key: str) -> Module:
        """Take a module out."""
        return self._modules.pop(key)  # type: ignore[no-any-return]

    def clear(self) -> None:
        self._modules.clear()


def _shown(name: str, value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"({name}): Object of type: {type(value).__name__}"
    size = "x".join(map(str, value.array.shape))
    return f"({name}): {type(value).__name__} containing: [{value.dtype!r} of size {size}]"


class Parameters(Module):
    """What ParameterList and ParameterDict share: values under names, in an order.

    Plain tensors become parameters; modules and other values are kept as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._names)

    def extra_repr(self) -> str:
        return "\n".join(f"  {_shown(name, self._get(name))}" for name in self._names)

    def _child_lines(self) -> list[str]:
        return []

    def _get(self, name: str) -> Any:
        for table in ("_parameters", "_modules"):
            if name in self.__dict__[table]:
                return self.__dict__[table][name]
        return self.__dict__[name]

    def _put(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        if name in self._names:
            setattr(self, name, value)
        elif isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self.add_module(name, value)
        else:
            object.__setattr__(self, name, value)
        self._names[name] = None

    def _drop(self, name: str) -> Any:
        value = self._get(name)
        del self._names[name]
        delattr(self, name)
        return value


class ParameterList(Parameters):
    """A list of parameters; plain tensors become parameters, other values stay as they are."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def __iter__(self) -> Iterator[Any]:
        return map(self._get, self._names)

    def __getitem__(self, index: int | slice) -> Any:
        names = list(self._names)
        if isinstance(index, slice):
            return ParameterList(map(self._get, names[index]))
        return self._get(names[index])

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(list(self._names)[index], value)

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end."""
        self._put(str(len(self)), value)
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add values at the end."""
        for value in list(values):
            self.append(value)
        return self


class ParameterDict(Parameters):
    """A dictionary of parameters; plain tensors become parameters, other values stay."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, key: str) -> bool:
        return key in self._names

    def __getitem__(self, key: str) -> Any:
        return self._get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._put(key, value)

    def __delitem__(self, key: str) -> None:
        self._drop(key)

    def keys(self) -> Any:
        return self._names.keys()

    def values(self) -> Any:
        return dict(self.items()).values()

    def items(self) -> Any:
        return {name: self._get(name) for name in self._names}.items()

    def get(self, key: str, default: Any = None) -> Any:
        return self._get(key) if key in self._names else default

    def update(self, parameters: Any) -> None:
        """Add parameters from a mapping or from pairs."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def pop(self, key: str) -> Any:
        """Take a value out."""
        return self._drop(key)

    def popitem(self) -> tuple[str, Any]:
        """Take the last value out: its name and it. Raises KeyError where there is none."""
        key = next(reversed(self._names), None)
        if key is None:
            raise KeyError("ParameterDict.popitem: there is nothing in it")
        return key, self._drop(key)

    def clear(self) -> None:
        """Take all values out."""
        for key in list(self._names):
            self._drop(key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a name, which is `default` from now on where there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self) -> ParameterDict:
        """Another dictionary with the same values."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Another dictionary with these names, each with the same value."""
        return ParameterDict((key, default) for key in keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names)

    def __or__(self, other: ParameterDict) -> ParameterDict:
        return ParameterDict([*self.items(), *other.items()])

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        return ParameterDict([*other.items(), *self.items()])

    def __ior__(self, other: ParameterDict) -> ParameterDict:
        self.update(other)
        return self


guard(globals())
