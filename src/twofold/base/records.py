"""Records that are tuples with names, made quickly. Floor 0.

`NamedTuple` is written and used as the one of `typing`, which type checkers take it for. That one
compiles source text for each class, 0.3 ms of an import; there are a hundred such classes. Here one
function for each number of fields is compiled, and its code is given the fields' names.
"""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers see; at run time it is made below, quicker
    from typing import NamedTuple

__all__ = ["NamedTuple"]

# What Python itself takes for a field of such classes: faster than a property.
Getter: Any = type(vars(namedtuple("One", "field"))["field"])


def _make(cls: Any, iterable: Any) -> Any:
    """A record of these values, in the order of the fields."""
    return cls(*iterable)


def _replace(self: Any, /, **values: Any) -> Any:
    """The same record with other values for some fields."""
    made = self.__class__(*map(values.pop, self._fields, self))
    if values:
        raise ValueError(f"{self.__class__.__name__} has no fields {list(values)}")
    return made


def _asdict(self: Any) -> dict[str, Any]:
    """The fields' names with their values."""
    return dict(zip(self._fields, self, strict=True))


def _represent(self: Any) -> str:
    shown = [f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True)]
    return f"{self.__class__.__name__}({', '.join(shown)})"


SHARED = {
    "__slots__": (),
    "_make": classmethod(_make),
    "_replace": _replace,
    "_asdict": _asdict,
    "__repr__": _represent,
    "__getnewargs__": lambda self: tuple(self),
}


@cache
def _maker(count: int) -> Any:
    """A function that puts a class and `count` values together."""
    names = [f"v{i}" for i in range(count)]
    text = f"lambda _cls, {', '.join(names)}: _new(_cls, ({', '.join(names)}{',' * (count > 0)}))"
    return eval(text, {"_new": tuple.__new__})


def _new(owner: str, fields: tuple[str, ...], defaults: tuple[Any, ...]) -> FunctionType:
    maker = _maker(len(fields))
    code = maker.__code__.replace(co_varnames=("_cls", *fields), co_name="__new__")
    made = FunctionType(code, maker.__globals__, "__new__", defaults)
    made.__qualname__ = f"{owner}.__new__"
    return made


def _annotations(space: dict[str, Any]) -> dict[str, Any]:
    """The annotations of a class body. Python 3.14 keeps a function that makes them (PEP 649)."""
    annotate = space.get("__annotate_func__")
    made: dict[str, Any] = annotate(1) if annotate else space.get("__annotations__", {})
    return made


class Record(type):
    """What makes a class of the annotated names of its body, and their values as defaults."""

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        fields = tuple(_annotations(space))
        defaults = {field: space[field] for field in fields if field in space}
        if tuple(defaults) != fields[len(fields) - len(defaults) :]:
            raise TypeError(f"{name}: a field without a default follows one that has one")
        getters = {field: Getter(i, "") for i, field in enumerate(fields)}
        facts = {
            "__match_args__": fields,
            "_fields": fields,
            "_field_defaults": defaults,
            "__new__": _new(name, fields, tuple(defaults.values())),
        }
        return type(name, (tuple,), SHARED | facts | space | getters)


if not TYPE_CHECKING:

    class NamedTuple:
        """The base of a record's class, which is a plain tuple's in the end."""

        @staticmethod
        def __mro_entries__(bases):
            return (_Base,)

    NamedTuple = NamedTuple()
    _Base = type.__new__(Record, "_Base", (), {})
