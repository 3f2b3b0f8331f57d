"""Recurrent layers: RNN, LSTM, GRU and their cells. Floor 10.

The inputs of all steps are projected by one matrix product; only what depends on the last state
runs step by step.
"""

from __future__ import annotations

import math
from typing import Any, final

from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn import functional as F
from twofold.nn import init
from twofold.nn.module import Module
from twofold.ops.cells import gru_cell, lstm_cell
from twofold.ops.creation import empty
from twofold.ops.joining import cat, stack
from twofold.ops.tensor import Parameter, Tensor, type_of

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
]


class Recurrent(Module):
    """What the recurrent layers share: weights by PyTorch's names, directions, layers, dropout
    between layers.
    """

    gates: int

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
        **options: Any,
    ) -> None:
        super().__init__()
        if proj_size:
            raise ArgumentError(
                type(self).__name__, "proj_size is not supported", hint="a Linear after the layer"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = (
            bias,
            batch_first,
            dropout,
            bidirectional,
        )
        self._set_options(**options)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * (2 if bidirectional else 1)
            for suffix in ("", "_reverse")[: 2 if bidirectional else 1]:
                self._add_weights(f"_l{layer}{suffix}", width)
        self.reset_parameters()

    def _set_options(self) -> None:
        """Take the options that are the subclass's own."""

    def _add_weights(self, name: str, width: int) -> None:
        rows = self.gates * self.hidden_size
        self.register_parameter(f"weight_ih{name}", Parameter(empty(rows, width)))
        self.register_parameter(f"weight_hh{name}", Parameter(empty(rows, self.hidden_size)))
        if self.bias:
            self.register_parameter(f"bias_ih{name}", Parameter(empty(rows)))
            self.register_parameter(f"bias_hh{name}", Parameter(empty(rows)))

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do here; PyTorch programs call it."""

    def _check(self, x: Tensor) -> None:
        if x.array.ndim not in (2, 3) or x.array.shape[-1] != self.input_size:
            raise ShapeError(
                type(self).__name__,
                f"2 or 3 axes are wanted, the last of size input_size = {self.input_size}",
                input=type_of(x),
            )

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """input f[L, N, input_size] (batch_first: f[N, L, ...]; without batch: f[L, ...]) ->
        (output, last state).
        """
        self._check(input)
        alone = input.array.ndim == 2
        x = input.unsqueeze(1) if alone else input.transpose(0, 1) if self.batch_first else input  # type: ignore
        starts = self._starts(x, hx, alone)
        finals = []
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            outs = []
            for direction in range(directions):
                name = f"_l{layer}{'_reverse' if direction else ''}"
                made, last = self._run(
                    x, starts[layer * directions + direction], name, bool(direction)
                )
                outs.append(made)
                finals.append(last)
            x = outs[0] if directions == 1 else cat(outs, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        state = self._join(finals, alone)
        return (x.squeeze(1) if alone else x.transpose(0, 1) if self.batch_first else x), state

    def _run(self, x: Tensor, state: Any, name: str, reverse: bool) -> tuple[Tensor, Any]:
        weights = self._parameters
        projected = F.linear(x, weights[f"weight_ih{name}"], weights.get(f"bias_ih{name}"))
        recurrent = (weights[f"weight_hh{name}"], weights.get(f"bias_hh{name}"))
        steps = projected.unbind(0)  # type: ignore[attr-defined]
        outs: list[Tensor] = []
        for step in reversed(steps) if reverse else steps:
            state = self.step(step, state, recurrent)
            outs.append(self.output(state))
        return stack(outs[::-1] if reverse else outs), state

    def step(self, projected: Tensor, state: Any, recurrent: Any) -> Any:
        """The next state from one step's projected input."""
        raise TypeError(f"{type(self).__name__} does not define a step")

    def output(self, state: Any) -> Tensor:
        return state  # type: ignore[no-any-return]

    def _starts(self, x: Tensor, hx: Any, alone: bool) -> list[Any]:
        count = self.num_layers * (2 if self.bidirectional else 1)
        if hx is None:
            zero = x.new_zeros(x.array.shape[1], self.hidden_size)  # type: ignore[attr-defined]
            return [zero] * count
        full = hx.unsqueeze(1) if alone else hx
        if full.array.shape != (count, x.array.shape[1], self.hidden_size):
            wanted = [count, x.array.shape[1], self.hidden_size]
            raise ShapeError(
                type(self).__name__, f"the first state is not {wanted}", hx=type_of(hx)
            )
        return list(full.unbind(0))

    def _join(self, finals: list[Any], alone: bool) -> Any:
        made = stack(finals)
        return made.squeeze(1) if alone else made  # type: ignore[attr-defined]

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"num_layers={self.num_layers}"] if self.num_layers != 1 else []
        parts += [f"{n}=True" for n in ("batch_first", "bidirectional") if getattr(self, n)]
        return ", ".join(parts)


@final
class RNN(Recurrent):
    """h' = tanh (or relu) of W_ih x + b_ih + W_hh h + b_hh (Elman 1990)."""

    gates = 1

    def _set_options(self, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                "RNN", f"nonlinearity={nonlinearity!r} is not known", hint="'tanh' or 'relu'"
            )
        self.nonlinearity = nonlinearity

    def step(self, projected: Tensor, state: Any, recurrent: Any) -> Any:
        total = projected + F.linear(state, *recurrent)  # type: ignore[operator]
        return F.tanh(total) if self.nonlinearity == "tanh" else F.relu(total)


@final
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter, Schmidhuber 1997; forget gates: Gers 2000). State: (h,
    c).
    """

    gates = 4

    def step(self, projected: Tensor, state: Any, recurrent: Any) -> Any:
        return lstm_cell(projected + F.linear(state[0], *recurrent), state[1])  # type: ignore[operator]

    def output(self, state: Any) -> Tensor:
        return state[0]  # type: ignore[no-any-return]

    def _starts(self, x: Tensor, hx: Any, alone: bool) -> list[Any]:
        parts = (None, None) if hx is None else hx
        both = [super(LSTM, self)._starts(x, part, alone) for part in parts]
        return list(zip(*both, strict=True))

    def _join(self, finals: list[Any], alone: bool) -> Any:
        return tuple(
            super(LSTM, self)._join([state[i] for state in finals], alone) for i in range(2)
        )


@final
class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), with the reset gate after the product as cuDNN and
    PyTorch have it.
    """

    gates = 3

    def step(self, projected: Tensor, state: Any, recurrent: Any) -> Any:
        return gru_cell(projected, F.linear(state, *recurrent), state)


class Cell(Module):
    """One step of a recurrent layer, with weights named weight_ih, weight_hh, bias_ih, bias_hh."""

    gates: int

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size))
        self.weight_hh = Parameter(empty(rows, hidden_size))
        self.register_parameter("bias_ih", Parameter(empty(rows)) if bias else None)
        self.register_parameter("bias_hh", Parameter(empty(rows)) if bias else None)
        bound = 1 / math.sqrt(hidden_size) if hidden_size else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _zero(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.array.shape[0], self.hidden_size)  # type: ignore[attr-defined, no-any-return]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


@final
class LSTMCell(Cell):
    """(h, c) from x f[N, input_size] and (h, c)."""

    gates = 4

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        state = (self._zero(input),) * 2 if hx is None else hx
        gates = F.linear(input, self.weight_ih, self.bias_ih) + F.linear(
            state[0], self.weight_hh, self.bias_hh
        )  # type: ignore
        return lstm_cell(gates, state[1])


@final
class GRUCell(Cell):
    """h from x f[N, input_size] and h."""

    gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        state = self._zero(input) if hx is None else hx
        projected = F.linear(input, self.weight_ih, self.bias_ih)
        return gru_cell(projected, F.linear(state, self.weight_hh, self.bias_hh), state)


@final
class RNNCell(Cell):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh)."""

    gates = 1

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        state = self._zero(input) if hx is None else hx
        return F.tanh(
            F.linear(input, self.weight_ih, self.bias_ih)
            + F.linear(state, self.weight_hh, self.bias_hh)
        )  # type: ignore
