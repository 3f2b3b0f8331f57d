"""What programs take from tf.contrib: `contrib.rnn`, `contrib.layers`. Floor 13."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twofold.ops.tensor import Tensor
from twofold.v1 import functions, rnn_cell, start
from twofold.v1 import layers as own_layers
from twofold.v1 import rnn as sequences
from twofold.v1.arrays import reduce_sum
from twofold.v1.functions import relu
from twofold.v1.state import given


def l2_regularizer(scale: float, scope: str | None = None) -> Any:
    """scale times half the sum of squares."""
    return lambda weights: functions.l2_loss(weights) * scale


def l1_regularizer(scale: float, scope: str | None = None) -> Any:
    """scale times the sum of magnitudes."""
    return lambda weights: reduce_sum(given(weights).abs()) * scale


def xavier_initializer(
    uniform: bool = True, seed: int | None = None, dtype: Any = "float32"
) -> Any:
    make = start.glorot_uniform_initializer if uniform else start.glorot_normal_initializer
    return make(seed, dtype)


def variance_scaling_initializer(
    factor: float = 2.0, mode: str = "FAN_IN", uniform: bool = False, seed: int | None = None
) -> Any:
    """Of He et al. 2015, as it stands: normal numbers, cut, of variance 2 / inputs."""
    modes = {"FAN_IN": "fan_in", "FAN_OUT": "fan_out", "FAN_AVG": "fan_avg"}
    kind = "uniform" if uniform else "truncated_normal"
    return start.variance_scaling_initializer(factor, modes[mode], kind, seed)


def fully_connected(
    inputs: Any,
    num_outputs: int,
    activation_fn: Any = relu,
    weights_initializer: Any = None,
    weights_regularizer: Any = None,
    biases_initializer: Any = None,
    reuse: Any = None,
    trainable: bool = True,
    scope: str | None = None,
    **_: Any,
) -> Tensor:
    """A dense layer, with a relu if no other activation is named."""
    return own_layers.dense(
        inputs,
        num_outputs,
        activation_fn,
        kernel_initializer=weights_initializer,
        bias_initializer=biases_initializer,
        kernel_regularizer=weights_regularizer,
        trainable=trainable,
        name=scope,
        reuse=reuse,
    )


layers = SimpleNamespace(
    flatten=own_layers.flatten,
    fully_connected=fully_connected,
    l1_regularizer=l1_regularizer,
    l2_regularizer=l2_regularizer,
    variance_scaling_initializer=variance_scaling_initializer,
    xavier_initializer=xavier_initializer,
    xavier_initializer_conv2d=xavier_initializer,
)
CELLS = "BasicLSTMCell BasicRNNCell DropoutWrapper GRUCell LSTMCell LSTMStateTuple MultiRNNCell"
CELLS += " RNNCell ResidualWrapper"
rnn = SimpleNamespace(
    **{name: getattr(rnn_cell, name) for name in CELLS.split()},
    static_bidirectional_rnn=sequences.static_bidirectional_rnn,
    static_rnn=sequences.static_rnn,
)
