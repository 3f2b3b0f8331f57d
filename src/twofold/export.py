"""Programs of modules under torch.export's names: `export.export(model, args)`. Floor 13.

    ep = export.export(model, (x,), dynamic_shapes={"x": {0: export.Dim("batch", max=64)}})
    y = ep.module()(x)                        the bits of model(x)
    export.save(ep, "model.pt2")              and export.load: an archive, without pickle

It is Twofold's own export (frontends/export.py) by another name, and the module itself can still be
called as that: `twofold.export(f, *examples, path=path)`. Every size is a symbol anyway; a Dim says
between which numbers it has to be, and which sizes have to be equal.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, final

from twofold.base.errors import ArgumentError, DTypeError, ShapeError, StateError, kind_of
from twofold.base.trees import flatten
from twofold.base.trees import unflatten as _unflatten
from twofold.frontends.export import Loaded, open_graph, program_of
from twofold.frontends.export import export as _written
from twofold.frontends.replay import replay
from twofold.fx.graph_module import GraphModule
from twofold.fx.of_program import graph_of
from twofold.nn.module import Module, Parameter
from twofold.ops.bind import mode
from twofold.ops.tensor import Tensor
from twofold.saving.files import load as _load
from twofold.saving.files import save as _save

__all__ = ["Dim", "ExportedProgram", "dims", "export", "load", "save", "unflatten"]

NAMES, RANGES, TIES, UNUSED = "export.names", "export.ranges", "export.ties", "export.unused"
ORDER, ARGUMENTS = "export.order", "export.arguments"


@final
class Dim:
    """A size that may change, from `min` to `max`. Two axes with one Dim have equal sizes.

    `Dim.AUTO` and `Dim.DYNAMIC` say that a size may change, `Dim.STATIC` that it may not.
    """

    AUTO: Any
    DYNAMIC: Any
    STATIC: Any

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None) -> None:
        if not (isinstance(name, str) and name.isidentifier()):
            raise ArgumentError("Dim", f"{name!r} is not a name", hint='Dim("batch")')
        low = 0 if min is None else min
        if max is not None and max < low:
            raise ArgumentError("Dim", f"{name} has no size", min=min, max=max)
        self.__name__ = name
        self.min, self.max = low, sys.maxsize if max is None else max
        self.root, self.times, self.plus = self, 1, 0

    def _derived(self, times: int, plus: int, text: str) -> Dim:
        made = Dim(self.__name__)
        made.root, made.times, made.plus = self.root, self.times * times, self.plus * times + plus
        made.__name__ = text
        made.min = made.times * self.root.min + made.plus
        top = self.root.max
        made.max = sys.maxsize if top == sys.maxsize else made.times * top + made.plus
        return made

    def __mul__(self, other: int) -> Dim:
        return self._derived(other, 0, f"{other}*{self.__name__}")

    __rmul__ = __mul__

    def __add__(self, other: int) -> Dim:
        return self._derived(1, other, f"{self.__name__} + {other}")

    def __sub__(self, other: int) -> Dim:
        return self._derived(1, -other, f"{self.__name__} - {other}")

    def __repr__(self) -> str:
        return f"Dim({self.__name__!r}, min={self.min}, max={self.max})"


class _Hint:
    """Whether a size may change."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Dim.{self.name}"


Dim.AUTO, Dim.DYNAMIC, Dim.STATIC = map(_Hint, ("AUTO", "DYNAMIC", "STATIC"))


def dims(*names: str, min: int | None = None, max: int | None = None) -> tuple[Dim, ...]:
    """A Dim for each name."""
    return tuple(Dim(name, min=min, max=max) for name in names)


# ---- what dynamic_shapes says --------------------------------------------------------------------


def _named(module: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], shapes: Any) -> Any:
    """(args, kwargs)-shaped specifications of what is given by name, or in order."""
    if not isinstance(shapes, Mapping):
        given = tuple(shapes)
        if len(given) != len(args) + len(kwargs):
            problem = f"dynamic_shapes is for {len(given)} arguments, and {len(args)} are given"
            raise ArgumentError("export", problem, hint="one for each, None where nothing is said")
        return given[: len(args)], dict(zip(kwargs, given[len(args) :], strict=True))
    bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    unknown = [name for name in shapes if name not in bound and name not in kwargs]
    if unknown:
        problem = f"dynamic_shapes names {unknown[0]!r}, which is no argument"
        raise ArgumentError("export", problem, hint=f"the arguments are {', '.join(bound)}")
    names, rest = list(bound), dict(shapes)
    in_order: list[Any] = []
    for name in names[: len(args)]:
        spec = rest.pop(name, None)
        several = inspect.signature(module.forward).parameters[name].kind
        if several is inspect.Parameter.VAR_POSITIONAL:
            in_order.extend(spec or [None] * (len(args) - len(in_order)))
        else:
            in_order.append(spec)
    return tuple(in_order), {name: rest.get(name) for name in kwargs}


def _argument_names(module: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
    """What the leaves of the arguments are called, by the names that forward gives them."""
    names = []
    in_order = inspect.signature(module.forward).bind_partial(*args).arguments
    for name, value in (*in_order.items(), *kwargs.items()):
        count = len(flatten(value)[0])
        names += [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
    return names


def _axes(value: Any, spec: Any, path: str) -> Iterator[tuple[Any, int, Any, str]]:
    """(tensor, axis, Dim or hint or number, name) for each size that is spoken of."""
    if spec is None:
        return
    if isinstance(value, Tensor):
        rows = spec.items() if isinstance(spec, Mapping) else enumerate(spec)
        for axis, dim in rows:
            if not -value.ndim <= axis < value.ndim:
                problem = f"dynamic_shapes names axis {axis} of {path}"
                raise ShapeError("export", problem, hint=f"it has {value.ndim} axes")
            if dim is not None:
                yield value, axis % value.ndim, dim, path
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _axes(part, spec.get(key), f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        if len(value) != len(spec):
            problem = f"dynamic_shapes has {len(spec)} entries for the {len(value)} of {path}"
            raise ArgumentError("export", problem, hint="one for each, None where nothing is said")
        for i, (part, inner) in enumerate(zip(value, spec, strict=True)):
            yield from _axes(part, inner, f"{path}[{i}]")


def _rules(leaves: Sequence[Any], rows: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """(ranges, ties) as plain values: [place, axis, name, low, high] for each size, and of sizes of
    one Dim, [place, axis, times, plus, root] for each.
    """
    ranges: list[Any] = []
    ties: list[Any] = []
    places = {id(leaf): place for place, leaf in enumerate(leaves)}
    for value, axis, dim, path in rows:
        place, size = places[id(value)], int(value.shape[axis])
        if dim is Dim.STATIC or type(dim) is int:
            ranges.append([place, axis, f"{path}.shape[{axis}]", size, size])
        elif isinstance(dim, Dim):
            ranges.append([place, axis, dim.__name__, dim.min, dim.max])
            ties.append([place, axis, dim.times, dim.plus, dim.root.__name__])
        elif not isinstance(dim, _Hint):
            problem = f"{kind_of(dim)} is no Dim"
            raise DTypeError("export", problem, hint='Dim("batch"), Dim.AUTO, Dim.STATIC or None')
    return ranges, ties


def _check(leaves: Sequence[Any], ranges: Sequence[Any], ties: Sequence[Any]) -> None:
    """Raise ShapeError for a size that is out of its range, or not equal to what it has to be."""
    for place, axis, name, low, high in ranges:
        size = int(leaves[place].shape[axis])
        if not low <= size <= high:
            wanted = str(low) if low == high else f"from {low} to {high}"
            raise ShapeError("export", f"{name} = {size}, and the program takes {wanted}")
    roots: dict[str, int] = {}
    for place, axis, times, plus, root in ties:
        size = int(leaves[place].shape[axis])
        number, left = divmod(size - plus, times)
        if left or roots.setdefault(root, number) != number:
            problem = f"axis {axis} of argument {place} has {size} elements"
            raise ShapeError("export", problem, hint=f"sizes that follow from one {root!r}")


# ---- programs ------------------------------------------------------------------------------------


@final
class ExportedModule(Module):
    """An exported program as a module: it has the parameters of the one that was exported."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.__dict__["program"] = program
        self.training = program.loaded.training
        for name, value in program.state_dict.items():
            inside: Module = self
            *parents, last = name.split(".")
            for parent in parents:
                if parent not in inside._modules:
                    inside.add_module(parent, Module())
                inside = inside._modules[parent]  # type: ignore[assignment]
            if isinstance(value, Parameter):
                inside.register_parameter(last, value)
            else:
                inside.register_buffer(last, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.program(*args, **kwargs)

    def train(self, mode: bool = True) -> ExportedModule:
        """Raises StateError for the other mode: the program is as it was exported."""
        self.program.loaded.train(mode)
        return self


@final
class ExportedProgram:
    """What `export` gives.

    graph, graph_module   the program as fx has it, to be read: print(ep.graph_module.code)
    state_dict            the tensors that it has found: parameters, buffers, constants, by name
    range_constraints     the sizes that have names, with the least and the largest number
    """

    def __init__(self, saved: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.saved = saved
        self.loaded: Loaded = open_graph(saved)
        names = saved[NAMES]
        used = {names[key]: tensors.get(key, value) for key, value in self.loaded.state.items()}
        unused = {name: tensors.get(name, value) for name, value in saved[UNUSED].items()}
        order = [*saved[ORDER], *used]
        self.state_dict = {name: (used | unused)[name] for name in dict.fromkeys(order)}
        self.example_inputs: Any = None

    @property
    def range_constraints(self) -> dict[str, tuple[int, int]]:
        return {name: (low, high) for _, _, name, low, high in self.saved[RANGES]}

    @property
    def graph_module(self) -> GraphModule:
        return GraphModule(self.module(), self.graph)

    @property
    def graph(self) -> Any:
        program = self.loaded.program
        state, given = {}, {}
        rows = zip(program.source.inputs, program.sources, self.saved["inputs"], strict=True)
        for taken, source, (_, key) in rows:
            if source.kind == "state":
                state[taken.value] = self.saved[NAMES][key]
            elif source.kind == "argument":
                given[taken.value] = self.saved[ARGUMENTS][source.key]
        return graph_of(program.source, state, given)

    @property
    def graph_signature(self) -> SimpleNamespace:
        """Names of parameters, buffers, inputs and results."""
        kinds = {True: [], False: []}  # type: dict[bool, list[str]]
        for name, value in self.state_dict.items():
            kinds[isinstance(value, Parameter)].append(name)
        found = list(self.graph.nodes)
        return SimpleNamespace(
            parameters=kinds[True],
            buffers=kinds[False],
            user_inputs=[n.name for n in found if n.op == "placeholder"],
            user_outputs=[n.name for n in found[-1].all_input_nodes],
        )

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        for name, value in self.state_dict.items():
            if isinstance(value, Parameter):
                yield name, value

    def parameters(self) -> Iterator[Parameter]:
        return (value for _, value in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in self.state_dict.items():
            if not isinstance(value, Parameter):
                yield name, value

    def buffers(self) -> Iterator[Tensor]:
        return (value for _, value in self.named_buffers())

    def module(self, check_guards: bool = True) -> ExportedModule:
        """A module that computes what the exported one computed, bit for bit."""
        return ExportedModule(self)

    def run_decompositions(self, decomp_table: Any = None) -> ExportedProgram:
        """Itself: its operations are Twofold's own."""
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, form = flatten((args, kwargs))
        if form == self.loaded.form:
            _check(leaves, self.saved[RANGES], self.saved[TIES])
        found = [x for x in (*leaves, *self.state_dict.values()) if isinstance(x, Tensor)]
        if mode.grad and any(x.requires_grad for x in found):
            return self._recorded(leaves, args, kwargs)
        return self.loaded(*args, **kwargs)

    def _recorded(self, leaves: Sequence[Any], args: Any, kwargs: Any) -> Any:
        """The same, call by call, so that gradients can be taken."""
        program = self.loaded.program
        plain = self.loaded(*args, **kwargs)  # which checks the arguments
        if any(source.kind not in ("argument", "state") for source in program.sources):
            return plain
        if program.source.updates:
            return plain
        known: dict[Any, Tensor] = {}
        given = zip(program.source.inputs, program.sources, self.saved["inputs"], strict=True)
        for taken, source, (_, key) in given:
            is_state = source.kind == "state"
            known[taken.value] = (
                self.state_dict[self.saved[NAMES][key]] if is_state else leaves[source.key]
            )
        replay(program.source.calls, known, program.values(leaves))
        answer, results = program.answer, program.source.results
        values = [
            known[results[leaf.what]]
            if leaf.kind == "result"
            else leaves[leaf.what]
            if leaf.kind == "argument"
            else leaf.what
            for leaf in answer.leaves
        ]
        return _unflatten(values, answer.form)

    def __str__(self) -> str:
        return f"ExportedProgram:\n{self.loaded.graph}\nRange constraints: {self.range_constraints}"


def export(
    mod: Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    strict: bool = False,
    preserve_module_call_signature: Sequence[str] = (),
    prefer_deferred_runtime_asserts_over_guards: bool = False,
) -> ExportedProgram:
    """The program of a module for arguments like the examples.

    args: a tuple of examples; kwargs: those by name. dynamic_shapes: for each argument, by name or
    in order, the Dims of its axes: `{"x": {0: Dim("batch")}}`. Sizes that are not named may change
    too, as far as the program allows it.

    Raises DTypeError where mod is no Module or args no tuple, CaptureError for what needs Python at
    each call, ShapeError and ArgumentError where dynamic_shapes does not fit the arguments.
    """
    if not isinstance(mod, Module):
        hint = "a module whose forward calls it"
        raise DTypeError("export", f"{kind_of(mod)} is no Module", hint=hint)
    if not isinstance(args, tuple):
        raise DTypeError("export", f"args is {kind_of(args)}", hint="a tuple of examples: (x,)")
    named = dict(kwargs or {})
    saved, program = program_of(mod, args, named)
    rows: list[Any] = []
    if dynamic_shapes is not None:
        first, second = _named(mod, args, named, dynamic_shapes)
        for i, (value, spec) in enumerate(zip(args, first, strict=True)):
            rows.extend(_axes(value, spec, f"argument {i}"))
        for name, value in named.items():
            rows.extend(_axes(value, second[name], name))
    leaves, _ = flatten((args, named))
    saved[RANGES], saved[TIES] = _rules(leaves, rows)
    _check(leaves, saved[RANGES], saved[TIES])
    own = {id(x): name for name, x in (*mod.named_parameters(), *mod.named_buffers())}
    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for taken, source in zip(program.source.inputs, program.sources, strict=True):
        if source.kind == "state":
            names[taken.name] = own.get(id(source.key), f"constant_{taken.name}")
            if isinstance(source.key, Tensor):
                tensors[taken.name] = source.key
    saved[ARGUMENTS] = _argument_names(mod, args, named)
    state = mod.state_dict(keep_vars=True)
    saved[NAMES], saved[ORDER] = names, list(state)
    saved[UNUSED] = {name: x for name, x in state.items() if name not in names.values()}
    made = ExportedProgram(saved, tensors | saved[UNUSED])
    made.example_inputs = (args, named)
    return made


draft_export = export


def unflatten(module: ExportedProgram, flat_args_adapter: Any = None) -> ExportedModule:
    """The program as a module whose parameters stand in modules of the names that they had."""
    return module.module()


def save(ep: ExportedProgram, f: Any, *, extra_files: Any = None, **_: Any) -> None:
    """Write the program to a file, or to anything that takes bytes. Raises as `twofold.save`."""
    if not isinstance(ep, ExportedProgram):
        raise DTypeError("export.save", f"{kind_of(ep)} is no ExportedProgram", hint="export(...)")
    kept = {name: isinstance(x, Parameter) for name, x in ep.state_dict.items()}
    archive = {"export": dict(ep.saved), "parameters": kept, "files": dict(extra_files or {})}
    _save(archive, f)


def load(f: Any, *, extra_files: Any = None, **_: Any) -> ExportedProgram:
    """The program of a file that `save` wrote; extra_files is a dict whose texts are read from it.

    Raises DamagedFileError for a file that means nothing, StateError for one of something else.
    """
    archive = _load(f)
    if not isinstance(archive, dict) or "export" not in archive:
        hint = "twofold.load(f) reads what twofold.save and twofold.export have written"
        raise StateError("export.load", "the file holds no exported program", hint=hint)
    saved = archive["export"]
    names = saved[NAMES]
    tensors = {
        key: Parameter(value) if archive["parameters"][names[key]] else value
        for key, value in saved["state"].items()
    }
    for name, value in saved[UNUSED].items():
        tensors[name] = Parameter(value) if archive["parameters"][name] else value
    for name in extra_files or ():
        extra_files[name] = archive["files"].get(name, "")
    return ExportedProgram(saved, tensors)


class _Callable(ModuleType):
    """The module, which can be called as the function that it is named for."""

    def __call__(self, function: Any, *examples: Any, path: Any, **keywords: Any) -> None:
        """Write the program of a function to a file: `frontends.export.export`."""
        _written(function, *examples, path=path, **keywords)


_Callable.__call__.__doc__ = _written.__doc__
sys.modules[__name__].__class__ = _Callable
