"""Recurrent cells, as tf.nn.rnn_cell. Floor 13.

    cell = tf.nn.rnn_cell.BasicLSTMCell(64)
    outputs, state = tf.nn.dynamic_rnn(cell, x, dtype=tf.float32)

A cell makes its variables at its first call, in the scope that is open there, and uses them again
in later ones. Its weights are one `kernel` for the input and the state, side by side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

from twofold.base.dtypes import float32
from twofold.ops import creation
from twofold.ops.tensor import Tensor
from twofold.v1 import functions, start
from twofold.v1.arrays import clip_by_value, concat, matmul, sigmoid, split, tanh
from twofold.v1.layers import width_of
from twofold.v1.state import get_variable, given, names, variable_scope

Activation = Callable[[Any], Tensor]


class LSTMStateTuple(NamedTuple):
    """The state of an LSTM: what it remembers, and its last output."""

    c: Any
    h: Any


class RNNCell(ABC):
    """output, state = cell(input, state), each of a batch of rows."""

    kind = "rnn_cell"

    def __init__(self, name: str | None = None, reuse: Any = None) -> None:
        self.name, self.reuse = name, reuse
        self.first: tuple[Any, Any] = None, None  # of kernels and of biases
        self.weights: dict[str, Any] = {}

    @property
    @abstractmethod
    def state_size(self) -> Any:
        """The width of the state, or those of its parts."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The width of the output."""

    @abstractmethod
    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step."""

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> tuple[Tensor, Any]:
        return self.call(given(inputs), state)

    def zero_state(self, batch_size: Any, dtype: Any = float32) -> Any:
        """The state to begin with."""
        names()
        return zeros_of(self.state_size, batch_size, dtype)

    def own(self, label: str, shape: Sequence[int], dtype: Any, initializer: Any = None) -> Any:
        """A variable of the cell."""
        found = self.weights.get(label)
        if found is None:
            if not self.weights and self.name is None:
                self.name = names().layer(self.kind)
            with variable_scope(self.name, reuse=self.reuse):
                found = get_variable(label, list(shape), dtype, initializer)
            self.weights[label] = found
        return found

    def dense(
        self, inputs: Sequence[Any], units: int, label: str = "", bias: float = 0.0
    ) -> Tensor:
        """The inputs side by side, times a kernel, plus a bias."""
        x = concat(inputs, 1)
        shape = [width_of(self.kind, x), units]
        kernel = self.own(label + "kernel", shape, x.dtype, self.first[0])
        first = self.first[1] or start.constant_initializer(bias)
        return matmul(x, kernel) + self.own(label + "bias", [units], x.dtype, first)


def zeros_of(size: Any, batch_size: Any, dtype: Any) -> Any:
    if isinstance(size, LSTMStateTuple):
        return LSTMStateTuple(*(zeros_of(part, batch_size, dtype) for part in size))
    if isinstance(size, tuple):
        return tuple(zeros_of(part, batch_size, dtype) for part in size)
    return creation.zeros((batch_size, size), dtype=dtype)


class OfUnits(RNNCell):
    """A cell whose state is its output: so many numbers, after an activation."""

    def __init__(
        self, num_units: int, activation: Activation | None, reuse: Any, name: str | None
    ) -> None:
        super().__init__(name, reuse)
        self.units, self.activation = num_units, activation or tanh

    @property
    def state_size(self) -> int:
        return self.units

    @property
    def output_size(self) -> int:
        return self.units


@final
class BasicRNNCell(OfUnits):
    """h = activation([x, h] kernel + bias)"""

    kind = "basic_rnn_cell"

    def __init__(
        self,
        num_units: int,
        activation: Activation | None = None,
        reuse: Any = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__(num_units, activation, reuse, name)

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        made = self.activation(self.dense([inputs, state], self.units))
        return made, made


@final
class GRUCell(OfUnits):
    """r, u = sigmoid([x, h] gates); c = activation([x, r * h] candidate); h = u * h + (1 - u) * c

    (Cho et al. 2014, arXiv:1406.1078). The gates' biases begin at 1.
    """

    kind = "gru_cell"

    def __init__(
        self,
        num_units: int,
        activation: Activation | None = None,
        reuse: Any = None,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__(num_units, activation, reuse, name)
        self.first = kernel_initializer, bias_initializer

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        gates = sigmoid(self.dense([inputs, state], 2 * self.units, "gates/", 1.0))
        reset, keep = split(gates, 2, 1)
        new = self.activation(self.dense([inputs, reset * state], self.units, "candidate/"))
        made = keep * state + (1 - keep) * new
        return made, made


class LSTMCell(RNNCell):
    """i, j, f, o = [x, h] kernel + bias; c = sigmoid(f + forget_bias) * c + sigmoid(i) *
    activation(j); h = sigmoid(o) * activation(c)   (Hochreiter, Schmidhuber 1997; Sak et al. 2014)

    use_peepholes: the gates see c as well. num_proj: h is projected to so many numbers.
    """

    kind = "lstm_cell"

    def __init__(
        self,
        num_units: int,
        use_peepholes: bool = False,
        cell_clip: float | None = None,
        initializer: Any = None,
        num_proj: int | None = None,
        proj_clip: float | None = None,
        num_unit_shards: Any = None,
        num_proj_shards: Any = None,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Activation | None = None,
        reuse: Any = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__(name, reuse)
        self.units, self.out = num_units, num_proj or num_units
        self.first = initializer, None
        self.peepholes, self.projects = use_peepholes, num_proj is not None
        self.clips = cell_clip, proj_clip
        self.forget_bias, self.tuples = forget_bias, state_is_tuple
        self.activation = activation or tanh

    @property
    def state_size(self) -> Any:
        return LSTMStateTuple(self.units, self.out) if self.tuples else self.units + self.out

    @property
    def output_size(self) -> int:
        return self.out

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        c, h = state if self.tuples else split(state, [self.units, self.out], 1)
        i, j, f, o = split(self.dense([inputs, h], 4 * self.units), 4, 1)
        if self.peepholes:
            i, f = i + self.peep("i", c), f + self.peep("f", c)
        c = sigmoid(f + self.forget_bias) * c + sigmoid(i) * self.activation(j)
        c = _clipped(c, self.clips[0])
        if self.peepholes:
            o = o + self.peep("o", c)
        h = sigmoid(o) * self.activation(c)
        if self.projects:
            kernel = self.own("projection/kernel", [self.units, self.out], h.dtype, self.first[0])
            h = _clipped(matmul(h, kernel), self.clips[1])
        return h, LSTMStateTuple(c, h) if self.tuples else concat([c, h], 1)

    def peep(self, gate: str, c: Any) -> Tensor:
        return self.own(f"w_{gate}_diag", [self.units], c.dtype, self.first[0]) * c


def _clipped(x: Any, most: float | None) -> Any:
    return x if most is None else clip_by_value(x, -most, most)


@final
class BasicLSTMCell(LSTMCell):
    """An LSTM without peepholes and projection."""

    kind = "basic_lstm_cell"

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Activation | None = None,
        reuse: Any = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__(
            num_units,
            forget_bias=forget_bias,
            state_is_tuple=state_is_tuple,
            activation=activation,
            reuse=reuse,
            name=name,
        )


# ---- cells of cells ------------------------------------------------------------------------------


@final
class MultiRNNCell(RNNCell):
    """Cells on top of each other: the output of each is the input of the next."""

    kind = "multi_rnn_cell"

    def __init__(self, cells: Sequence[RNNCell], state_is_tuple: bool = True) -> None:
        super().__init__()
        self.cells = list(cells)

    @property
    def state_size(self) -> Any:
        return tuple(cell.state_size for cell in self.cells)

    @property
    def output_size(self) -> int:
        return self.cells[-1].output_size

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        self.name = self.name or names().layer(self.kind)
        states = []
        with variable_scope(self.name):
            for number, (cell, old) in enumerate(zip(self.cells, state, strict=True)):
                with variable_scope(f"cell_{number}"):
                    inputs, new = cell(inputs, old)
                states.append(new)
        return inputs, tuple(states)


class Wrapper(RNNCell):
    """Something around a cell, of the cell's sizes."""

    def __init__(self, cell: RNNCell) -> None:
        super().__init__()
        self.cell = cell

    @property
    def state_size(self) -> Any:
        return self.cell.state_size

    @property
    def output_size(self) -> int:
        return self.cell.output_size


@final
class DropoutWrapper(Wrapper):
    """A cell with dropout of what goes in, of what comes out and of its state."""

    def __init__(
        self,
        cell: RNNCell,
        input_keep_prob: Any = 1.0,
        output_keep_prob: Any = 1.0,
        state_keep_prob: Any = 1.0,
        seed: int | None = None,
        **_: Any,
    ) -> None:
        super().__init__(cell)
        self.seed = seed
        self.keep = input_keep_prob, output_keep_prob, state_keep_prob

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        made, new = self.cell(self.dropped(inputs, self.keep[0]), state)
        if isinstance(new, LSTMStateTuple):  # what an LSTM remembers is kept
            new = new._replace(h=self.dropped(new.h, self.keep[2]))
        elif isinstance(new, Tensor):
            new = self.dropped(new, self.keep[2])
        return self.dropped(made, self.keep[1]), new

    def dropped(self, x: Any, keep: Any) -> Any:
        return x if isinstance(keep, float | int) and keep >= 1 else functions.dropout(x, keep)


@final
class ResidualWrapper(Wrapper):
    """A cell whose input is added to its output."""

    def __init__(self, cell: RNNCell, residual_fn: Any = None) -> None:
        super().__init__(cell)
        self.add = residual_fn or (lambda x, y: x + y)

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        made, new = self.cell(inputs, state)
        return self.add(inputs, made), new
