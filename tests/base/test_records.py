"""Records are typing's named tuples in all that programs see."""

import copy
import pickle
import typing

import pytest

from twofold.base.records import NamedTuple


class Ours(NamedTuple):
    """Two sizes and a name."""

    rows: int
    columns: int = 2
    name: str = "x"

    @property
    def size(self) -> int:
        return self.rows * self.columns

    def wider(self) -> "Ours":
        return self._replace(columns=self.columns + 1)


class Theirs(typing.NamedTuple):
    """Two sizes and a name."""

    rows: int
    columns: int = 2
    name: str = "x"


def test_they_are_made_and_read_alike():
    for kind in (Ours, Theirs):
        made = kind(3, name="y")
        assert made == (3, 2, "y") == (made.rows, made.columns, made.name)
        assert kind(columns=5, rows=4)[:2] == (4, 5)
        assert kind._make([1, 2, "z"]).name == "z"
        assert made._asdict() == {"rows": 3, "columns": 2, "name": "y"}
        assert kind._fields == kind.__match_args__ == ("rows", "columns", "name")
        assert kind._field_defaults == {"columns": 2, "name": "x"}
        assert repr(made) == f"{kind.__name__}(rows=3, columns=2, name='y')"
        assert kind.__doc__ == "Two sizes and a name." and kind.__mro__ == (kind, tuple, object)
        assert not hasattr(made, "__dict__")


def test_methods_and_properties_see_the_fields():
    assert Ours(3).size == 6
    assert Ours(3).wider() == Ours(3, 3)


def test_copies_and_pickles_are_equal():
    made = Ours(3)
    for other in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert other == made and type(other) is Ours


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match=r"Ours.__new__\(\) missing 1 required .*: 'rows'"):
        Ours()
    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
        Ours(1, depth=2)
    with pytest.raises(TypeError, match="positional arguments"):
        Ours(1, 2, "x", 4)
    with pytest.raises(ValueError, match="has no fields"):
        Ours(1)._replace(depth=3)
    with pytest.raises(AttributeError):
        Ours(1).rows = 3
    with pytest.raises(TypeError, match="a field without a default"):

        class Wrong(NamedTuple):
            first: int = 1
            second: int
