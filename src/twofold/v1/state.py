"""What a graph remembers besides its operations: names, scopes, variables under names. Floor 13."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, final

from twofold.base.dtypes import DType, as_dtype, float32
from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.symbols import Symbol
from twofold.frontends import session
from twofold.frontends.session import (
    GLOBAL_VARIABLES,
    Graph,
    Operation,
    Session,
    current_graph,
    global_variables,
    group,
)
from twofold.ops.creation import tensor
from twofold.ops.methods import attach
from twofold.ops.tensor import Tensor
from twofold.v1 import start

WORDS = {"float": "float32", "double": "float64", "int": "int32", "half": "float16"}


@final
class GraphKeys:
    """The names of the usual collections."""

    GLOBAL_VARIABLES: str = GLOBAL_VARIABLES
    TRAINABLE_VARIABLES: str = session.TRAINABLE_VARIABLES
    UPDATE_OPS: str = "update_ops"
    SUMMARIES: str = "summaries"
    LOSSES: str = "losses"
    REGULARIZATION_LOSSES: str = "regularization_losses"


@final
class Names:
    """The names that are taken in a graph, and the scope that is open."""

    def __init__(self) -> None:
        self.scope: list[str] = []
        self.taken: dict[str, int] = {}
        self.variables: dict[str, Any] = {}
        self.layers: dict[str, int] = {}  # without a name, of each kind, in the open scope
        self.reuse: Any = False
        self.initializer: Any = None

    def unique(self, name: str) -> str:
        full = "/".join([*self.scope, name])
        count = self.taken[full] = self.taken.get(full, -1) + 1
        return full if not count else self.unique(f"{name}_{count}")

    def layer(self, kind: str) -> str:
        """The scope of a layer without a name: a scope that is entered again counts again."""
        count = self.layers[kind] = self.layers.get(kind, -1) + 1
        return f"{kind}_{count}" if count else kind


_names: weakref.WeakKeyDictionary[Graph, Names] = weakref.WeakKeyDictionary()


def names() -> Names:
    """Those of the graph in whose block this is, else of the default graph, which is entered."""
    graph = current_graph("twofold.v1")
    found = _names.get(graph)
    if found is None:
        found = _names[graph] = Names()
    return found


def type_named(dtype: Any) -> DType | None:
    """An element type by TensorFlow's words too: "float" is float32."""
    if isinstance(dtype, str):
        dtype = WORDS.get(dtype, dtype)
    return None if dtype is None else as_dtype(dtype)


# ---- placeholders, variables ---------------------------------------------------------------------


def placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor that is given when the graph runs. Without a shape it is one number: the rank is a
    part of the program.
    """
    label = names().unique(name or "Placeholder")
    return session.placeholder(type_named(dtype), () if shape is None else shape, label)


def placeholder_with_default(input: Any, shape: Any, name: str | None = None) -> Tensor:
    """A tensor that may be fed; otherwise it is `input`."""
    names()
    return given(input).clone()  # type: ignore[attr-defined, no-any-return]


def given(x: Any, dtype: Any = None) -> Tensor:
    """A tensor of the graph: itself, or a constant. Whole numbers are int32, as in TensorFlow."""
    if isinstance(x, Tensor):
        return x
    names()
    made = tensor(x, dtype=type_named(dtype))
    plain = dtype is None and not hasattr(x, "dtype")
    return made.int() if plain and made.dtype.kind == "i" else made  # type: ignore[attr-defined, no-any-return]


def Variable(
    initial_value: Any = None,
    trainable: bool = True,
    collections: Any = None,
    validate_shape: bool = True,
    caching_device: Any = None,
    name: str | None = None,
    dtype: Any = None,
    **_: Any,
) -> session.Variable:
    """A tensor that lives between runs, and has its value once its initializer was run."""
    label = names().unique(name or "Variable")
    with session.around(current_graph("Variable")):
        value = initial_value() if callable(initial_value) else initial_value
        made = session.Variable(given(value, dtype), trainable, label)
    for collection in collections or ():
        if collection not in (GLOBAL_VARIABLES, session.TRAINABLE_VARIABLES):
            add_to_collection(collection, made)
    return made


def get_variable(
    name: str,
    shape: Any = None,
    dtype: Any = float32,
    initializer: Any = None,
    regularizer: Callable[[Any], Any] | None = None,
    trainable: bool = True,
    collections: Any = None,
    **_: Any,
) -> session.Variable:
    """The variable of this name in the open scope: a new one, or with `reuse` the one that is.

    Raises ArgumentError for a name that is taken, or that is not there to be reused.
    """
    here = names()
    full = "/".join([*here.scope, name])
    found = here.variables.get(full)
    if found is not None and here.reuse:
        if shape is not None and tuple(shape) != tuple(found.shape):
            raise ShapeError("get_variable", f"{full} has another shape", is_=found.shape)
        return found  # type: ignore[no-any-return]
    if found is not None:
        hint = "variable_scope(..., reuse=True) to use the same variable again"
        raise ArgumentError("get_variable", f"{full} exists already", hint=hint)
    if here.reuse is True:
        raise ArgumentError("get_variable", f"there is no {full} to be reused")
    make = initializer or here.initializer or start.glorot_uniform_initializer()
    with session.around(current_graph("get_variable")):
        value = make(shape, type_named(dtype)) if callable(make) else make
        made = session.Variable(given(value, dtype if shape is None else None), trainable, full)
    here.variables[full] = made
    here.taken.setdefault(full, 0)
    for collection in collections or ():
        if collection not in (GLOBAL_VARIABLES, session.TRAINABLE_VARIABLES):
            add_to_collection(collection, made)
    if regularizer is not None:
        add_to_collection("regularization_losses", regularizer(made))
    return made


def assign(ref: Any, value: Any, **_: Any) -> Operation:
    """The operation that gives a variable a value. Fetch the variable to see it."""
    return session.assign(ref, given(value, ref.dtype))


def assign_add(ref: Any, value: Any, **_: Any) -> Operation:
    return session.assign(ref, ref + given(value, ref.dtype))


def assign_sub(ref: Any, value: Any, **_: Any) -> Operation:
    return session.assign(ref, ref - given(value, ref.dtype))


def no_op(name: str | None = None) -> Operation:
    """An operation that does nothing."""
    return group(name=name or "no_op")


def variables_initializer(var_list: Sequence[Any], name: str = "init") -> Operation:
    return group(*(v.initializer for v in var_list), name=name)


def local_variables_initializer() -> Operation:
    """Nothing: all variables are global ones."""
    return no_op("init_local")


# ---- scopes, collections, graphs -----------------------------------------------------------------


@contextlib.contextmanager
def name_scope(name: str, default_name: str | None = None, values: Any = None) -> Iterator[str]:
    """Names made in the block begin with this one."""
    here = names()
    label = here.unique(name or default_name or "scope").split("/")[-1]
    here.scope.append(label)
    try:
        yield "/".join(here.scope) + "/"
    finally:
        here.scope.pop()


@contextlib.contextmanager
def variable_scope(
    name_or_scope: Any,
    default_name: str | None = None,
    values: Any = None,
    initializer: Any = None,
    reuse: Any = None,
    **_: Any,
) -> Iterator[Scope]:
    """Variables of `get_variable` in the block have names that begin with this one.

    reuse: True takes variables that exist, AUTO_REUSE takes or makes them.
    """
    here = names()
    before = list(here.scope), here.reuse, here.initializer, here.layers
    if isinstance(name_or_scope, Scope):
        here.scope = name_or_scope.name.split("/")
    else:
        here.scope = [*here.scope, name_or_scope or default_name or "scope"]
    here.reuse = reuse or here.reuse
    here.initializer = initializer or here.initializer
    here.layers = {}
    try:
        yield Scope("/".join(here.scope))
    finally:
        here.scope, here.reuse, here.initializer, here.layers = before


AUTO_REUSE = "auto"


class Scope(NamedTuple):
    """A scope that can be entered again."""

    name: str

    def reuse_variables(self) -> None:
        """From here to the end of the block, take variables that exist."""
        names().reuse = True


def get_variable_scope() -> Scope:
    return Scope("/".join(names().scope))


@contextlib.contextmanager
def device(name: Any) -> Iterator[None]:
    """There is one device."""
    yield


def add_to_collection(name: str, value: Any) -> None:
    current_graph("add_to_collection").add_to_collection(name, value)


def get_collection(key: str, scope: str | None = None) -> list[Any]:
    found = current_graph("get_collection").get_collection(key)
    if scope is None:
        return found
    return [x for x in found if str(getattr(x, "name", "")).startswith(scope)]


def set_random_seed(seed: int) -> None:
    """The seed of all draws that are given none of their own."""
    start.seed(seed)


def InteractiveSession(graph: Graph | None = None, **_: Any) -> Session:
    """A session that is the default one until it is closed: `x.eval()`, `op.run()`."""
    return Session(graph).__enter__()


# ---- what tensors know ---------------------------------------------------------------------------


@final
class Dimension(int):
    """A size, under TensorFlow's name too."""

    @property
    def value(self) -> int:
        return int(self)


@final
class TensorShape(tuple):  # type: ignore[type-arg]
    """Sizes; None for those that differ from run to run."""

    def as_list(self) -> list[int | None]:
        return [None if n is None else int(n) for n in self]

    @property
    def ndims(self) -> int:
        return len(self)


def get_shape(x: Tensor) -> TensorShape:
    """The sizes that are known before anything runs."""
    return TensorShape(None if type(n) is Symbol else Dimension(n) for n in x.array.shape)


def evaluated(x: Tensor, feed_dict: Any = None, session: Session | None = None) -> Any:
    """The value in a session, or in the one whose block this is."""
    return (session or default_session()).run(x, feed_dict)


default_session = session.default_session
attach("eval", evaluated)
attach("get_shape", get_shape)
initialize_all_variables = session.global_variables_initializer
all_variables = global_variables
