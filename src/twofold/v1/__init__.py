"""The names with which TensorFlow 1 programs are written, over Graph and Session. Floor 13.

    import twofold.v1 as tf

    x = tf.placeholder(tf.float32, [None, 64])
    w = tf.Variable(tf.zeros([64, 10]))
    y = tf.nn.softmax(tf.matmul(x, w))

The first of these names enters the default graph of the thread; `reset_default_graph` leaves it.
Importing this gives tensors `eval` and `get_shape`.
"""

from twofold.base.dtypes import bool_ as bool
from twofold.base.dtypes import (
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from twofold.frontends.session import (
    Graph,
    Operation,
    Session,
    control_dependencies,
    get_default_graph,
    global_variables,
    global_variables_initializer,
    gradients,
    group,
    reset_default_graph,
    trainable_variables,
)
from twofold.frontends.session import default_session as get_default_session
from twofold.ops.tensor import Tensor
from twofold.v1 import app, contrib, layers, losses, nn, summary, train
from twofold.v1.app import ConfigProto, GPUOptions, GraphOptions, OptimizerOptions, flags, logging
from twofold.v1.arrays import *
from twofold.v1.arrays import abs_ as abs
from twofold.v1.arrays import pow_ as pow
from twofold.v1.arrays import range_ as range
from twofold.v1.arrays import round_ as round
from twofold.v1.arrays import slice_ as slice
from twofold.v1.more import *
from twofold.v1.rnn import reverse_sequence
from twofold.v1.start import (
    constant_initializer,
    glorot_normal_initializer,
    glorot_uniform_initializer,
    ones_initializer,
    orthogonal_initializer,
    random_normal,
    random_normal_initializer,
    random_uniform,
    random_uniform_initializer,
    truncated_normal,
    truncated_normal_initializer,
    variance_scaling_initializer,
    zeros_initializer,
)
from twofold.v1.state import (
    AUTO_REUSE,
    GraphKeys,
    InteractiveSession,
    Variable,
    add_to_collection,
    all_variables,
    assign,
    assign_add,
    assign_sub,
    device,
    get_collection,
    get_variable,
    get_variable_scope,
    initialize_all_variables,
    local_variables_initializer,
    name_scope,
    no_op,
    placeholder,
    placeholder_with_default,
    set_random_seed,
    variable_scope,
    variables_initializer,
)
