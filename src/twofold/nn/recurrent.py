"""Recurrent layers: RNN, LSTM, GRU and their cells. Floor 10.

The inputs of all steps are projected by one matrix product; only what depends on the last state
runs step by step, and for LSTM and GRU inside one operation (ops/sequences.py).
"""

from __future__ import annotations

import math
from typing import Any

from twofold.base.errors import ArgumentError, DTypeError, ShapeError, kind_of
from twofold.nn import functional as F
from twofold.nn import init
from twofold.nn.dropout_functions import check_probability
from twofold.nn.module import Module
from twofold.nn.packed import PackedSequence, each, run_packed
from twofold.ops.cells import gru_cell, lstm_cell
from twofold.ops.creation import empty
from twofold.ops.elementwise import add
from twofold.ops.guarding import guard
from twofold.ops.joining import cat, stack
from twofold.ops.sequences import gru_sequence, lstm_sequence
from twofold.ops.tensor import Parameter, Tensor, type_of
from twofold.ops.views import unsqueeze

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "RNNBase",
    "RNNCell",
    "RNNCellBase",
]


class Recurrent(Module):
    """What the recurrent layers share: weights by PyTorch's names, layers, directions, dropout
    between layers.
    """

    gates: int
    projects = False  # whether the output may be smaller than the state

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if proj_size and not (self.projects and 0 < proj_size < hidden_size):
            hint = "an LSTM, and 0 < proj_size < hidden_size"
            raise ArgumentError(name, f"proj_size = {proj_size}", hint=hint)
        for option, value in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(value, bool):
                raise DTypeError(name, f"{option} = {value!r} is no bool", hint=f"{option}=True")
        check_sizes(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_probability(name, dropout)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._all_weights: list[list[str]] = []  # names, by layers and directions
        options = {"dtype": dtype, "device": device}
        for layer in range(num_layers):
            width = input_size if layer == 0 else self._output_size * self._directions
            for suffix in ("", "_reverse")[: self._directions]:
                self._add_weights(f"_l{layer}{suffix}", width, options)
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _add_weights(self, name: str, width: int, options: Any) -> None:
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, width),
            "weight_hh": (rows, self._output_size),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        for kind, shape in shapes.items():
            self.register_parameter(f"{kind}{name}", Parameter(empty(shape, **options)))
        self._all_weights.append([f"{kind}{name}" for kind in shapes])

    @property
    def all_weights(self) -> list[list[Any]]:
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name) for name in self._flat_weights_names]

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do here; PyTorch programs call it."""

    def _check(self, x: Tensor) -> None:
        name = type(self).__name__
        if x.array.ndim not in (2, 3) or x.array.shape[-1] != self.input_size:
            raise ShapeError(
                name,
                f"2 or 3 axes are wanted, the last of size input_size = {self.input_size}",
                hint=f"an input of shape [steps, batch, {self.input_size}]",
                input=type_of(x),
            )
        if not x.array.shape[1 if x.array.ndim == 3 and self.batch_first else 0]:
            hint = "a sequence of one step or more"
            raise ShapeError(name, "there are no steps", hint=hint, input=type_of(x))

    def forward(self, input: Any, hx: Any = None) -> Any:
        """input f[L, N, input_size] (batch_first: f[N, L, ...]; without batch: f[L, ...]) ->
        (output, last state). A PackedSequence gives one.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        self._check(input)
        alone = input.array.ndim == 2
        x = input.unsqueeze(1) if alone else input.transpose(0, 1) if self.batch_first else input
        starts = self._starts(x, hx, alone)
        finals = []
        directions = self._directions
        for layer in range(self.num_layers):
            outs = []
            for direction in range(directions):
                name = f"_l{layer}{'_reverse' if direction else ''}"
                made, last = self._run(
                    x, starts[layer * directions + direction], name, bool(direction)
                )
                outs.append(made)
                finals.append(last)
            x = self._between(outs, layer)
        state = self._join(finals, alone)
        return (x.squeeze(1) if alone else x.transpose(0, 1) if self.batch_first else x), state

    def _between(self, outs: list[Any], layer: int) -> Any:
        """What a layer hands to the next: both directions, with dropout."""
        x = outs[0] if len(outs) == 1 else cat(outs, -1)
        if self.dropout and layer < self.num_layers - 1:
            x = F.dropout(x, self.dropout, self.training)
        return x

    def _run(self, x: Tensor, state: Any, name: str, reverse: bool) -> tuple[Tensor, Any]:
        return self.sequence(*self._prepared(x, state, name), reverse)

    def _prepared(self, x: Tensor, state: Any, name: str) -> tuple[Tensor, Any, Any]:
        """The projected inputs of all steps, the first state, and the weights of each step."""
        weights = self._parameters
        projected = F.linear(x, weights[f"weight_ih{name}"], weights.get(f"bias_ih{name}"))
        recurrent: Any = (weights[f"weight_hh{name}"], weights.get(f"bias_hh{name}"))
        if self.proj_size:
            recurrent += (weights[f"weight_hr{name}"],)
        return projected, state, recurrent

    def _packed(self, packed: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        x: Any = packed.data
        sizes = packed.batch_sizes.array.tolist()
        self._check(x)
        if packed.sorted_indices is not None and hx is not None:
            hx = each(lambda part: part.index_select(1, packed.sorted_indices), hx)
        starts = self._starts(x[: sizes[0]].unsqueeze(0), hx, False)
        finals = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(self._directions):
                name = f"_l{layer}{'_reverse' if direction else ''}"
                start = starts[layer * self._directions + direction]
                prepared = self._prepared(x, start, name)
                made, last = run_packed(self.sequence, *prepared, sizes, bool(direction))
                outs.append(made)
                finals.append(last)
            x = self._between(outs, layer)
        state = self._join(finals, False)
        if packed.unsorted_indices is not None:
            state = each(lambda part: part.index_select(1, packed.unsorted_indices), state)
        return packed._replace(data=x), state

    def sequence(
        self, projected: Tensor, state: Any, recurrent: Any, reverse: bool
    ) -> tuple[Tensor, Any]:
        """The outputs of all steps and the last state, from the projected inputs of all steps."""
        raise TypeError(f"{type(self).__name__} does not define a sequence")

    def _starts(self, x: Tensor, hx: Any, alone: bool, size: int | None = None) -> list[Any]:
        size = self.hidden_size if size is None else size
        shape = (self.num_layers * self._directions, x.array.shape[1], size)
        if hx is None:
            return [x.new_zeros(shape[1:])] * shape[0]  # type: ignore[attr-defined]
        wanted = (shape[0], shape[2]) if alone else shape
        if not isinstance(hx, Tensor):
            problem = f"the first state is {kind_of(hx)}, not a tensor"
            raise DTypeError(type(self).__name__, problem, hint=f"a tensor of shape {list(wanted)}")
        if hx.array.shape != wanted:
            raise ShapeError(
                type(self).__name__,
                f"the first state is not {list(wanted)}",
                hint="[layers * directions, batch, hidden_size]",
                hx=type_of(hx),
            )
        full: Any = unsqueeze(hx, 1) if alone else hx
        return list(full.unbind(0))

    def _join(self, finals: list[Any], alone: bool) -> Any:
        made = stack(finals)
        return made.squeeze(1) if alone else made  # type: ignore[attr-defined]

    def extra_repr(self) -> str:
        usual = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0}
        usual["bidirectional"] = False
        shown = [f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *shown])


def check_sizes(op: str, **sizes: Any) -> None:
    for name, value in sizes.items():
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            hint = f"{name} as a whole number"
            raise DTypeError(op, f"{name} = {value!r} is no whole number", hint=hint)
        if value < 1:
            raise ArgumentError(op, f"{name} = {value}", hint=f"{name} >= 1")


NONLINEARITIES = {"tanh": F.tanh, "relu": F.relu}


def check_nonlinearity(op: str, name: str) -> None:
    if name not in NONLINEARITIES:
        raise ArgumentError(op, f"nonlinearity={name!r} is not known", hint="'tanh' or 'relu'")


class RNN(Recurrent):
    """h' = tanh (or relu) of W_ih x + b_ih + W_hh h + b_hh (Elman 1990).

    input f[L, N, input_size] (batch_first: f[N, L, input_size]; without a batch f[L, input_size])
    and h, zeros if left out -> (output f[L, N, D * hidden_size], h f[num_layers * D, N,
    hidden_size]), where D is 2 if bidirectional, else 1. Raises ShapeError for an input or a state
    of other sizes.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        check_nonlinearity("RNN", nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity

    def sequence(
        self, projected: Tensor, state: Any, recurrent: Any, reverse: bool
    ) -> tuple[Tensor, Any]:
        steps = projected.unbind(0)  # type: ignore[attr-defined]
        outs: list[Tensor] = []
        for step in reversed(steps) if reverse else steps:
            state = NONLINEARITIES[self.nonlinearity](add(step, F.linear(state, *recurrent)))
            outs.append(state)
        return stack(outs[::-1] if reverse else outs), state


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter, Schmidhuber 1997; forget gates: Gers 2000).

    input f[L, N, input_size] (batch_first: f[N, L, input_size]; without a batch f[L, input_size])
    and (h, c), zeros if left out -> (output f[L, N, D * hidden_size], (h, c)), where D is 2 if
    bidirectional, else 1, and h, c are f[num_layers * D, N, hidden_size] in either order of axes.

    dropout: between layers, in training. proj_size: h is f[..., proj_size] by a further product.
    State: weight_ih_l0 f[4 * hidden_size, input_size], weight_hh_l0, bias_ih_l0, bias_hh_l0 and so
    on for each layer; gates in the order input, forget, cell, output. Raises ShapeError for an
    input or a state of other sizes.
    """

    gates = 4
    projects = True

    def sequence(
        self, projected: Tensor, state: Any, recurrent: Any, reverse: bool
    ) -> tuple[Tensor, Any]:
        if self.proj_size:
            return self._projected(projected, state, recurrent, reverse)
        weight, bias = recurrent
        h, c = state
        hs, cs = lstm_sequence(projected, weight, h, c, bias, reverse)
        last = 0 if reverse else -1
        return hs, (hs[last], cs[last])  # type: ignore[index]

    def _projected(
        self, projected: Tensor, state: Any, recurrent: Any, reverse: bool
    ) -> tuple[Tensor, Any]:
        """Step by step, each output made smaller by a matrix (Sak et al. 2014)."""
        weight, bias, projection = recurrent
        h, c = state
        steps = projected.unbind(0)  # type: ignore[attr-defined]
        outs: list[Tensor] = []
        for step in reversed(steps) if reverse else steps:
            h, c = lstm_cell(add(step, F.linear(h, weight, bias)), c)
            h = F.linear(h, projection)
            outs.append(h)
        return stack(outs[::-1] if reverse else outs), (h, c)

    def _starts(self, x: Tensor, hx: Any, alone: bool, size: int | None = None) -> list[Any]:
        parts = (None, None) if hx is None else hx
        if not isinstance(parts, tuple | list) or len(parts) != 2:
            problem = f"the first state is {kind_of(hx)}, not a pair"
            raise DTypeError(type(self).__name__, problem, hint="(h, c): hidden state, cell state")
        sizes = (self._output_size, self.hidden_size)
        both = [
            super(LSTM, self)._starts(x, part, alone, n)
            for part, n in zip(parts, sizes, strict=True)
        ]
        return list(zip(*both, strict=True))

    def _join(self, finals: list[Any], alone: bool) -> Any:
        return tuple(
            super(LSTM, self)._join([state[i] for state in finals], alone) for i in range(2)
        )


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), with the reset gate after the product as cuDNN and
    PyTorch have it.

    input f[L, N, input_size] (batch_first: f[N, L, input_size]; without a batch f[L, input_size])
    and h, zeros if left out -> (output f[L, N, D * hidden_size], h f[num_layers * D, N,
    hidden_size]), where D is 2 if bidirectional, else 1. State as LSTM's, gates in the order reset,
    update, new. Raises ShapeError for an input or a state of other sizes.
    """

    gates = 3

    def sequence(
        self, projected: Tensor, state: Any, recurrent: Any, reverse: bool
    ) -> tuple[Tensor, Any]:
        weight, bias = recurrent
        hs = gru_sequence(projected, weight, state, bias, reverse)
        return hs, hs[0 if reverse else -1]  # type: ignore[index]


class Cell(Module):
    """One step of a recurrent layer, with weights named weight_ih, weight_hh, bias_ih, bias_hh."""

    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes(type(self).__name__, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        options = {"dtype": dtype, "device": device}
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, **options))
        self.weight_hh = Parameter(empty(rows, hidden_size, **options))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, **options)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """input f[N, input_size] or f[input_size], hx of the same rank -> the next state."""
        alone = input.array.ndim == 1
        parts = hx if isinstance(hx, tuple | list) else (hx,) * (1 if hx is not None else 2)
        x, *states = (_with_batch(part, alone) for part in (input, *parts))
        if x.array.ndim != 2 or x.array.shape[1] != self.input_size:
            raise ShapeError(
                type(self).__name__,
                f"1 or 2 axes are wanted, the last of size input_size = {self.input_size}",
                hint=f"an input of shape [batch, {self.input_size}]",
                input=type_of(input),
            )
        wanted = (x.array.shape[0], self.hidden_size)
        if any(s is not None and s.array.shape != wanted for s in states):
            raise ShapeError(
                type(self).__name__,
                f"the state is not of shape {list(wanted[1:] if alone else wanted)}",
                hint="a state of hidden_size for each input",
                input=type_of(input),
                **{f"hx{i or ''}": type_of(part) for i, part in enumerate(parts)},
            )
        zero: Any = None if hx is not None else x.new_zeros(len(x.array), self.hidden_size)
        made = self.step(x, tuple(zero if s is None else s for s in states))
        outs = tuple(part.squeeze(0) if alone else part for part in made)  # type: ignore[attr-defined]
        return outs if len(outs) > 1 else outs[0]

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The parts of the next state from a batch of inputs and the parts of the last one."""
        raise TypeError(f"{type(self).__name__} does not define a step")

    def _projected(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        own = F.linear(x, self.weight_ih, self.bias_ih)
        return own, F.linear(h, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


def _with_batch(x: Tensor | None, alone: bool) -> Any:
    return x.unsqueeze(0) if alone and x is not None else x  # type: ignore[attr-defined]


class LSTMCell(Cell):
    """(h, c) from x f[N, input_size] and (h, c)."""

    gates = 4

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return lstm_cell(add(*self._projected(x, state[0])), state[1])


class GRUCell(Cell):
    """h from x f[N, input_size] and h."""

    gates = 3

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (gru_cell(*self._projected(x, state[0]), state[0]),)


class RNNCell(Cell):
    """h = tanh (or relu) of W_ih x + b_ih + W_hh h + b_hh."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_nonlinearity("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (NONLINEARITIES[self.nonlinearity](add(*self._projected(x, state[0]))),)

    def extra_repr(self) -> str:
        other = self.nonlinearity != "tanh"
        return super().extra_repr() + (f", nonlinearity={self.nonlinearity}" if other else "")


RNNBase, RNNCellBase = Recurrent, Cell


guard(globals())
