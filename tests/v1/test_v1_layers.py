"""TensorFlow 1's layers that make their own variables, recurrent cells and collected losses."""

import sys

import numpy as np
import pytest

import twofold.v1 as tf
from twofold.base.errors import ArgumentError, ShapeError
from twofold.v1.app import Flags


@pytest.fixture(autouse=True)
def own_graph():
    tf.reset_default_graph()
    tf.set_random_seed(0)
    yield
    tf.reset_default_graph()


def value(x, feed=None):
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        return s.run(x, feed)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def near(a, b):
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


# ---- layers --------------------------------------------------------------------------------------


def test_dense_layers_count_in_their_scope_and_share_variables() -> None:
    x = tf.placeholder(tf.float32, [None, 3])

    def twice(reuse=None):
        with tf.variable_scope("net", reuse=reuse):
            hidden = tf.layers.dense(x, 4, activation=tf.nn.relu)
            return tf.layers.dense(hidden, 2, use_bias=False)

    first, second = twice(), twice(reuse=True)
    names = [v.name for v in tf.trainable_variables()]
    assert names == ["net/dense/kernel", "net/dense/bias", "net/dense_1/kernel"]
    rows = numbers(5, 3)
    a, b, kernel, last = value([first, second, *tf.trainable_variables()[::2]], {x: rows})
    near(a, np.maximum(rows @ kernel, 0) @ last)
    assert np.array_equal(a, b)
    with pytest.raises(ArgumentError, match="exists already"), tf.variable_scope("net"):
        tf.layers.dense(x, 4)
    with pytest.raises(ShapeError, match="is not known"):
        tf.layers.dense(tf.placeholder(tf.float32, [2, None]), 4)


def test_regularizers_and_losses_are_collected() -> None:
    x = tf.placeholder(tf.float32, [None, 3])
    y = tf.layers.dense(x, 1, kernel_regularizer=tf.contrib.layers.l2_regularizer(0.5))
    loss = tf.losses.mean_squared_error(tf.zeros([4, 1]), y)
    kernel = tf.trainable_variables()[0]
    rows = numbers(4, 3)
    total, w, one = value([tf.losses.get_total_loss(), kernel, loss], {x: rows})
    near(one, np.mean((rows @ w) ** 2))
    near(total, one + 0.25 * np.sum(w**2))


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size, step", [(3, 1), (3, 2), (2, 3), (4, 2)])
def test_the_turned_convolution_is_the_gradient_of_one(layout, padding, size, step) -> None:
    last = layout == "channels_last"
    x = numbers(2, 5, 4, 3) if last else numbers(2, 3, 5, 4)
    made = tf.layers.conv2d_transpose(tf.constant(x), 2, size, step, padding, layout)
    kernel = tf.trainable_variables()[0]
    wide = tf.placeholder(tf.float32, made.get_shape().as_list())
    letters = "NHWC" if last else "NCHW"
    steps = [1, step, step, 1] if last else [1, 1, step, step]
    back = tf.nn.conv2d(wide, kernel, steps, padding.upper(), data_format=letters)
    assert back.get_shape().as_list() == list(x.shape)
    turned = tf.gradients(tf.reduce_sum(back * x), wide)
    a, b = value([made, turned], {wide: np.zeros(made.get_shape().as_list(), np.float32)})
    near(a, b)


def test_batches_are_normalised_and_their_moments_kept() -> None:
    x, training = tf.placeholder(tf.float32, [None, 4, 3]), tf.placeholder(tf.bool, [])
    y = tf.layers.batch_normalization(x, momentum=0.5, training=training)
    moves = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    mean, variance = tf.global_variables()[2:]
    rows = numbers(6, 4, 3) * 2 + 1
    m, v = rows.mean((0, 1)), rows.var((0, 1))
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        near(s.run(y, {x: rows, training: True}), (rows - m) / np.sqrt(v + 1e-3))
        near(s.run(y, {x: rows, training: False}), rows / np.sqrt(1 + 1e-3))
        s.run(moves, {x: rows, training: True})
        near(s.run(mean), 0.5 * m)
        near(s.run(variance), 0.5 + 0.5 * v)
        s.run(moves, {x: rows, training: False})
        near(s.run(mean), 0.5 * m)


def test_dropout_while_training() -> None:
    training = tf.placeholder(tf.bool, [])
    y = tf.layers.dropout(tf.ones([1000]), 0.25, training=training)
    on, off = value(y, {training: True}), value(y, {training: False})
    assert set(np.unique(on)) == {0.0, np.float32(1 / 0.75)} and 0.15 < (on == 0).mean() < 0.35
    assert np.array_equal(off, np.ones(1000))


# ---- recurrent cells -----------------------------------------------------------------------------


def lstm(xs, c, h, kernel, bias):
    for x in xs:
        i, j, f, o = np.split(np.concatenate([x, h], 1) @ kernel + bias, 4, 1)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
        h = sigmoid(o) * np.tanh(c)
        yield c, h


def gru(xs, h, gates, first, kernel, bias):
    for x in xs:
        r, u = np.split(sigmoid(np.concatenate([x, h], 1) @ gates + first), 2, 1)
        new = np.tanh(np.concatenate([x, r * h], 1) @ kernel + bias)
        h = u * h + (1 - u) * new
        yield h


def test_an_lstm_over_any_length_and_as_a_list() -> None:
    cell = tf.nn.rnn_cell.BasicLSTMCell(4)
    x = tf.placeholder(tf.float32, [None, None, 3])
    outputs, state = tf.nn.dynamic_rnn(cell, x, dtype=tf.float32)
    five = tf.placeholder(tf.float32, [None, 5, 3])
    listed, last = tf.nn.static_rnn(cell, tf.unstack(five, axis=1), dtype=tf.float32)
    kernel, bias = tf.trainable_variables()
    assert kernel.name == "rnn/basic_lstm_cell/kernel"
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        for length, batch in [(5, 2), (1, 3), (7, 1)]:
            rows = numbers(batch, length, 3, seed=length)
            made, (c, h), k, b = s.run([outputs, state, kernel, bias], {x: rows})
            zeros = np.zeros((batch, 4), np.float32)
            right = list(lstm(rows.transpose(1, 0, 2), zeros, zeros, k, b))
            near(made, np.stack([h for _, h in right], 1))
            near(c, right[-1][0])
            near(h, right[-1][1])
        rows = numbers(2, 5, 3)
        many, (_, h), one, (_, g) = s.run([outputs, state, listed, last], {x: rows, five: rows})
        near(many, np.stack(one, 1))
        near(h, g)


def test_rows_end_where_their_length_says() -> None:
    cell, other = tf.nn.rnn_cell.GRUCell(4), tf.nn.rnn_cell.GRUCell(4)
    x = tf.placeholder(tf.float32, [None, None, 3])
    lengths = tf.placeholder(tf.int32, [None])
    (ahead, back), (last, first) = tf.nn.bidirectional_dynamic_rnn(
        cell, other, x, sequence_length=lengths, dtype=tf.float32
    )
    rows, counts = numbers(3, 6, 3), np.array([6, 2, 4])
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        a, b, end, begin, *w = s.run(
            [ahead, back, last, first, *tf.trainable_variables()], {x: rows, lengths: counts}
        )
    zero = np.zeros((1, 4), np.float32)
    for row, count in enumerate(counts):
        steps = rows[row, :count, None]
        right = np.concatenate(list(gru(steps, zero, *w[:4])))
        near(a[row, :count], right)
        near(end[row], right[-1])
        turned = np.concatenate(list(gru(steps[::-1], zero, *w[4:])))[::-1]
        near(b[row, :count], turned)
        near(begin[row], turned[0])
        assert not a[row, count:].any() and not b[row, count:].any()


def test_cells_of_cells_train_with_dropout() -> None:
    layers = [
        tf.nn.rnn_cell.DropoutWrapper(tf.nn.rnn_cell.LSTMCell(8, num_proj=6), output_keep_prob=0.8)
        for _ in range(2)
    ]
    cell = tf.nn.rnn_cell.MultiRNNCell(layers)
    x, y = tf.placeholder(tf.float32, [None, None, 2]), tf.placeholder(tf.float32, [None, 1])
    outputs, state = tf.nn.dynamic_rnn(cell, x, dtype=tf.float32)
    guess = tf.layers.dense(state[-1].h, 1)
    loss = tf.losses.mean_squared_error(y, guess)
    step = tf.train.AdamOptimizer(0.02).minimize(loss)
    rng, losses = np.random.default_rng(0), []
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        for _ in range(80):
            rows = rng.standard_normal((16, rng.integers(2, 6), 2), np.float32)
            losses.append(s.run([step, loss], {x: rows, y: rows[:, 0, :1]})[1])
        rows = numbers(4, 5, 2)
        once, again = (s.run(outputs, {x: rows}) for _ in range(2))
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert not np.array_equal(once, again)  # each run draws anew
    assert 0.1 < (once == 0).mean() < 0.3
    assert not np.array_equal(once[:, 0] == 0, once[:, 1] == 0)  # and each turn


def test_cells_begin_with_the_values_that_are_asked_for() -> None:
    three = tf.constant_initializer(3.0)
    x = tf.zeros([1, 2])
    for cell in (
        tf.nn.rnn_cell.GRUCell(2, kernel_initializer=three, bias_initializer=three),
        tf.nn.rnn_cell.LSTMCell(2, initializer=three, use_peepholes=True, num_proj=2),
    ):
        cell(x, cell.zero_state(1, tf.float32))
    variables = tf.trainable_variables()
    assert len(variables) == 10
    for variable, found in zip(variables, value(variables), strict=True):
        assert (found == (0.0 if variable.name == "lstm_cell/bias" else 3.0)).all(), variable.name


def test_peepholes() -> None:
    cell = tf.nn.rnn_cell.LSTMCell(2, use_peepholes=True, forget_bias=0.0, cell_clip=0.5)
    x, c, h = numbers(3, 2), numbers(3, 2, seed=1), numbers(3, 2, seed=2)
    made = cell(tf.constant(x), tf.nn.rnn_cell.LSTMStateTuple(tf.constant(c), tf.constant(h)))
    kernel, bias, wi, wf, wo = tf.trainable_variables()
    (out, (new, _)), k, b, pi, pf, po = value([made, kernel, bias, wi, wf, wo])
    i, j, f, o = np.split(np.concatenate([x, h], 1) @ k + b, 4, 1)
    right = sigmoid(f + pf * c) * c + sigmoid(i + pi * c) * np.tanh(j)
    right = np.clip(right, -0.5, 0.5)
    near(new, right)
    near(out, sigmoid(o + po * right) * np.tanh(right))


# ---- losses --------------------------------------------------------------------------------------

A, B = numbers(4, 3), numbers(4, 3, seed=1)
W = np.array([[1.0], [0.0], [2.0], [0.0]], np.float32)
LABELS = np.array([0, 2, 1, 1])
SOFT = A - np.log(np.exp(A).sum(1, keepdims=True))
CHANCE = sigmoid(B)
LOSSES = {
    "mean_squared_error": (lambda l: l(A, B), (A - B) ** 2),
    "absolute_difference": (lambda l: l(A, B), abs(A - B)),
    "huber_loss": (
        lambda l: l(A, B, delta=0.5),
        np.where(abs(A - B) < 0.5, 0.5 * (A - B) ** 2, 0.5 * abs(A - B) - 0.125),
    ),
    "log_loss": (
        lambda l: l(A > 0, CHANCE),
        -np.log(np.where(A > 0, CHANCE, 1 - CHANCE) + 1e-7),
    ),
    "hinge_loss": (lambda l: l(A > 0, B), np.maximum(1 - np.where(A > 0, B, -B), 0)),
    "cosine_distance": (lambda l: l(A, B), 1 - (A * B).sum(1, keepdims=True)),
    "softmax_cross_entropy": (
        lambda l: l(np.eye(3, dtype=np.float32)[LABELS], A, label_smoothing=0.3),
        -(SOFT * (np.eye(3)[LABELS] * 0.7 + 0.1)).sum(1),
    ),
    "sparse_softmax_cross_entropy": (lambda l: l(LABELS, A), -SOFT[range(4), LABELS]),
    "sigmoid_cross_entropy": (
        lambda l: l(A > 0, B),
        -np.log(np.where(A > 0, CHANCE, 1 - CHANCE)),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_means_over_what_counts(name: str) -> None:
    make, right = LOSSES[name]
    loss = getattr(tf.losses, name)
    near(value(make(loss)), right.mean())
    weights = W if right.ndim == 2 else W[:, 0]

    def weighted(*args, **options):
        return loss(*args, weights=weights, **options)

    each = right * weights
    near(value(make(weighted)), each.sum() / (np.broadcast_to(weights, each.shape) != 0).sum())
    assert len(tf.losses.get_losses()) == 2


def test_reductions_of_losses() -> None:
    r, each = tf.losses.Reduction, (A - B) ** 2 * W
    wide = np.broadcast_to(W, each.shape)

    def made(reduction):
        return value(tf.losses.mean_squared_error(A, B, W, reduction=reduction))

    near(made(r.NONE), each)
    near(made(r.SUM), each.sum())
    near(made(r.MEAN), each.sum() / wide.sum())
    near(made(r.SUM_OVER_BATCH_SIZE), each.mean())
    none = value(tf.losses.mean_squared_error(A, B, 0.0))
    assert none == 0
    with pytest.raises(ShapeError):
        tf.losses.mean_squared_error(A, B[:, :1])


def test_losses_over_drawn_classes() -> None:
    weights, biases, x = numbers(10, 4), numbers(10, seed=1), numbers(3, 4, seed=2)
    right, drawn = np.array([[1], [7], [3]]), np.array([3, 0, 9])
    counts = np.array([[0.5], [0.1], [0.2]], np.float32), np.array([0.2, 0.9, 0.05], np.float32)
    sampled = tuple(map(tf.constant, (drawn, *counts)))
    given = (tf.constant(weights), tf.constant(biases), right, tf.constant(x), 3, 10)
    a, b = (
        value(f(*given, sampled_values=sampled))
        for f in (tf.nn.nce_loss, tf.nn.sampled_softmax_loss)
    )
    true = (x * weights[right[:, 0]]).sum(1) + biases[right[:, 0]] - np.log(counts[0][:, 0])
    others = x @ weights[drawn].T + biases[drawn] - np.log(counts[1])
    near(a, np.log1p(np.exp(-true)) + np.log1p(np.exp(others)).sum(1))
    others[2, 0] = -np.inf  # class 3 is the true one there
    near(b, -true + np.log(np.exp(true) + np.exp(others).sum(1)))


def test_drawn_classes_come_as_often_as_is_said() -> None:
    found = tf.nn.log_uniform_candidate_sampler(np.array([[0], [4]]), 1, 20000, False, 5)
    drawn, true, own = value(found)
    chance = np.log((np.arange(5) + 2) / (np.arange(5) + 1)) / np.log(6)
    assert np.allclose(np.bincount(drawn, minlength=5) / 20000, chance, atol=0.02)
    near(true, 20000 * chance[[[0], [4]]])
    near(own, 20000 * chance[drawn])


# ---- rates, averages, loops, flags ---------------------------------------------------------------


def test_rates() -> None:
    step = tf.placeholder(tf.int64, [])
    made = [
        tf.train.natural_exp_decay(0.5, step, 10, 2.0),
        tf.train.inverse_time_decay(0.5, step, 10, 2.0, staircase=True),
        tf.train.polynomial_decay(0.5, step, 10, 0.1, power=2.0),
        tf.train.polynomial_decay(0.5, step, 10, 0.1, cycle=True),
        tf.train.cosine_decay(0.5, step, 10, alpha=0.2),
    ]
    for n in (0, 4, 10, 25):
        low, turns = min(n / 10, 1), max(np.ceil(n / 10), 1) * 10
        right = [
            0.5 * np.exp(-0.2 * n),
            0.5 / (1 + 2 * (n // 10)),
            0.4 * (1 - low) ** 2 + 0.1,
            0.4 * (1 - n / turns) + 0.1,
            0.5 * (0.8 * 0.5 * (1 + np.cos(np.pi * low)) + 0.2),
        ]
        near(value(made, {step: n}), right)


def test_averages_of_variables() -> None:
    v = tf.Variable(3.0, name="v")
    count = tf.Variable(0, trainable=False, dtype=tf.int64)
    average = tf.train.ExponentialMovingAverage(0.9, num_updates=count)
    move, grow = average.apply([v]), tf.assign_add(v, 1.0)
    assert average.average(v).name == "v/ExponentialMovingAverage"
    assert set(average.variables_to_restore()) == {"v/ExponentialMovingAverage", "Variable"}
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        assert s.run(average.average(v)) == 3.0
        s.run(grow)
        s.run(move)  # decay (1 + 0) / (10 + 0)
        near(s.run(average.average(v)), 0.1 * 3 + 0.9 * 4)


def test_loops_over_rows_and_plain_numbers_in_loops() -> None:
    x = tf.placeholder(tf.float32, [None])
    made = [
        tf.map_fn(lambda a: a * a, x),
        tf.scan(lambda a, b: a + b, x),
        tf.scan(lambda a, b: a + b, x, initializer=10.0),
        tf.foldl(lambda a, b: a * b, x),
        tf.foldr(lambda a, b: 2 * a + b, x),
        tf.while_loop(lambda n: tf.less(n, 10), lambda n: tf.add(n, 3), [tf.constant(0)]),
        tf.while_loop(lambda n, t: n < 4, lambda n, t: [n + 1, t * 2.0], [0, x]),
    ]
    rows = np.array([1, 2, 3, 4], np.float32)
    found = value(made, {x: rows})
    right = [rows**2, rows.cumsum(), 10 + rows.cumsum(), 24, 49, 12]
    for a, b in zip(found, right, strict=False):
        near(a, b)
    assert found[6][0] == 4 and np.array_equal(found[6][1], rows * 16)
    weight = tf.get_variable("w", [], initializer=tf.ones_initializer())
    inside = tf.scan(lambda a, b: a * weight + b, x)
    near(value(tf.gradients(inside[3], weight), {x: rows}), [1 * 3 + 2 * 2 + 3])


def test_draws_in_a_loop_follow_the_seed() -> None:
    def drawn():
        tf.reset_default_graph()
        tf.set_random_seed(7)
        loop = tf.map_fn(lambda a: a + tf.random_uniform([]), tf.zeros([50]))
        with tf.Session() as s:
            return s.run(loop), s.run(loop)

    (a, b), (c, d) = drawn(), drawn()
    assert np.array_equal(a, c) and np.array_equal(b, d)
    assert not np.array_equal(a, b) and len(set(a)) == 50


def test_orthogonal_and_scaled_initializers() -> None:
    tall = value(tf.orthogonal_initializer(2.0)([6, 4], tf.float32))
    near(tall.T @ tall, 4 * np.eye(4))
    wide = value(tf.get_variable("w", [300, 400], initializer=tf.variance_scaling_initializer(2.0)))
    assert abs(wide.var() * 300 / 2 - 1) < 0.05 and abs(wide).max() < 2 * (2 / 300) ** 0.5 / 0.879


def test_sizes_that_meet_are_taken_to_be_equal() -> None:
    """A batch of any size beside one of four rows: it has to be of four rows too."""
    x, y = tf.placeholder(tf.float32, [None, 2]), tf.placeholder(tf.float32, [None, 1])
    mixed = tf.random_uniform([4, 1]) * 0.0 + x
    total = mixed * tf.ones([4, 2]) + y
    rows = numbers(4, 2)
    near(value(total, {x: rows, y: rows[:, :1]}), rows + rows[:, :1])
    with pytest.raises(ShapeError, match="to be True"):
        value(total, {x: numbers(3, 2), y: rows[:3, :1]})
    with pytest.raises(ShapeError, match="do not broadcast"):
        tf.ones([3, 1]) + tf.ones([4, 1])


def test_a_placeholder_without_sizes_says_what_to_do() -> None:
    x = tf.placeholder("float")
    with pytest.raises(ShapeError, match=r"placeholder\(dtype, \[None\]\)"):
        value(x * 2, {x: [1.0, 2.0]})


def test_flags_and_what_is_left_of_the_command_line(monkeypatch) -> None:
    monkeypatch.setattr(tf.app, "FLAGS", Flags())
    words = ["run.py", "--steps", "7", "--noverbose", "--fast=true", "rest", "--rate", "0.5"]
    monkeypatch.setattr(sys, "argv", words)
    tf.app.DEFINE_integer("steps", 1, "how many")
    tf.app.DEFINE_boolean("verbose", True)
    tf.app.DEFINE_bool("fast", False)
    tf.app.DEFINE_string("name", "x")
    assert tf.app.FLAGS.steps == 7 and tf.app.FLAGS.verbose is False and tf.app.FLAGS.fast is True
    tf.app.DEFINE_float("rate", 0.1)  # after the first look
    tf.app.FLAGS.name = "other"
    with pytest.raises(SystemExit) as ended:
        tf.app.run(lambda rest: (rest, tf.app.FLAGS.rate, tf.app.FLAGS.name))
    assert ended.value.code == (["run.py", "rest"], 0.5, "other")
    with pytest.raises(ArgumentError, match="no flag is called 'other'"):
        tf.app.FLAGS.other  # noqa: B018


def test_settings_are_taken() -> None:
    config = tf.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    with tf.Session(config=config) as s:
        assert s.run(tf.constant(1.0)) == 1.0
    assert config.gpu_options.allow_growth and config.allow_soft_placement
