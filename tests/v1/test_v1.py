"""Programs in TensorFlow 1's words run, and its formulas hold."""

import json

import numpy as np
import pytest

import twofold
import twofold.nn.functional as F
import twofold.v1 as tf
from twofold.base.errors import ArgumentError, ShapeError, StateError


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


# ---- whole programs ------------------------------------------------------------------------------


def digits():
    data = pytest.importorskip("sklearn.datasets", reason="the digits come with scikit-learn")
    found = data.load_digits()
    pixels = (found.data / 16).astype(np.float32)
    labels = np.eye(10, dtype=np.float32)[found.target]
    return pixels[:1500], labels[:1500], pixels[1500:], labels[1500:]


def test_softmax_regression():
    images, labels, test_images, test_labels = digits()
    x = tf.placeholder("float", [None, 64])
    w = tf.Variable(tf.zeros([64, 10]))
    b = tf.Variable(tf.zeros([10]))
    y = tf.nn.softmax(tf.matmul(x, w) + b)
    y_ = tf.placeholder("float", [None, 10])
    cross_entropy = -tf.reduce_sum(y_ * tf.log(y))
    train_step = tf.train.GradientDescentOptimizer(0.005).minimize(cross_entropy)
    init = tf.initialize_all_variables()
    sess = tf.Session()
    sess.run(init)
    rng = np.random.default_rng(0)
    for _ in range(300):
        rows = rng.integers(0, 1500, 100)
        sess.run(train_step, feed_dict={x: images[rows], y_: labels[rows]})
    correct = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))
    accuracy = tf.reduce_mean(tf.cast(correct, "float"))
    share = sess.run(accuracy, feed_dict={x: test_images, y_: test_labels})
    assert 0.87 < share < 1.0
    # one row is a batch too, and gives the bits that it has among others
    many = sess.run(y, {x: test_images[:10]})
    assert np.array_equal(sess.run(y, {x: test_images[3:4]})[0], many[3])
    sess.close()


def test_the_deep_one():
    images, labels, test_images, test_labels = digits()
    sess = tf.InteractiveSession()
    x = tf.placeholder(tf.float32, shape=[None, 64])
    y_ = tf.placeholder(tf.float32, shape=[None, 10])
    keep_prob = tf.placeholder(tf.float32)

    def layer(h, channels, out):
        w = tf.Variable(tf.truncated_normal([3, 3, channels, out], stddev=0.1))
        b = tf.Variable(tf.constant(0.1, shape=[out]))
        h = tf.nn.relu(tf.nn.conv2d(h, w, strides=[1, 1, 1, 1], padding="SAME") + b)
        return tf.nn.max_pool(h, [1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")

    h = layer(tf.reshape(x, [-1, 8, 8, 1]), 1, 8)
    h = layer(h, 8, 16)
    assert h.get_shape().as_list() == [None, 2, 2, 16]
    h = tf.reshape(h, [-1, 2 * 2 * 16])
    w = tf.get_variable("w", [64, 48])
    b = tf.get_variable("b", [48], initializer=tf.zeros_initializer())
    h = tf.nn.dropout(tf.nn.relu(tf.matmul(h, w) + b), keep_prob)
    out = tf.get_variable("out", [48, 10])
    logits = tf.matmul(h, out)
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y_, logits=logits))
    step = tf.train.AdamOptimizer(1e-2).minimize(loss)
    correct = tf.equal(tf.argmax(logits, 1), tf.argmax(y_, 1))
    accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
    sess.run(tf.global_variables_initializer())
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows = rng.integers(0, 1500, 48)  # as many as the hidden layer has units
        step.run(feed_dict={x: images[rows], y_: labels[rows], keep_prob: 0.6})
    share = accuracy.eval({x: test_images, y_: test_labels, keep_prob: 1.0})
    assert 0.86 < share < 1.0
    sess.close()
    with pytest.raises(twofold.TwofoldError, match="there is no session here"):
        accuracy.eval({x: test_images, y_: test_labels, keep_prob: 1.0})


# ---- optimizers ----------------------------------------------------------------------------------


def descend(optimizer, turns=3):
    v = tf.Variable([1.0, -2.0, 3.0])
    step = optimizer.minimize(tf.reduce_sum(v * v * v))
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        for _ in range(turns):
            s.run(step)
        return s.run(v)


def by_hand(update, turns=3):
    v, memory = np.array([1.0, -2.0, 3.0]), {}
    for t in range(1, turns + 1):
        v = update(v, 3 * v * v, memory, t)
    return v


def momentum(nesterov):
    def update(v, g, memory, t):
        memory["m"] = memory.get("m", 0) * 0.9 + g
        return v - 0.01 * (g + 0.9 * memory["m"] if nesterov else memory["m"])

    return update


def adagrad(v, g, memory, t):
    memory["s"] = memory.get("s", 0.1) + g * g
    return v - 0.1 * g / np.sqrt(memory["s"])


def rmsprop(v, g, memory, t):
    memory["s"] = memory.get("s", 1.0) * 0.9 + 0.1 * g * g
    memory["m"] = memory.get("m", 0) * 0.5 + 0.1 * g / np.sqrt(memory["s"] + 1e-10)
    return v - memory["m"]


def adam(v, g, memory, t):
    memory["m"] = memory.get("m", 0) * 0.9 + 0.1 * g
    memory["v"] = memory.get("v", 0) * 0.999 + 0.001 * g * g
    rate = 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return v - rate * memory["m"] / (np.sqrt(memory["v"]) + 1e-8)


@pytest.mark.parametrize(
    ("make", "update"),
    [
        (lambda: tf.train.GradientDescentOptimizer(0.01), lambda v, g, m, t: v - 0.01 * g),
        (lambda: tf.train.MomentumOptimizer(0.01, 0.9), momentum(False)),
        (lambda: tf.train.MomentumOptimizer(0.01, 0.9, use_nesterov=True), momentum(True)),
        (lambda: tf.train.AdagradOptimizer(0.1), adagrad),
        (lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.5), rmsprop),
        (lambda: tf.train.AdamOptimizer(0.1), adam),
    ],
)
def test_steps_are_those_of_the_formula(make, update):
    assert np.allclose(descend(make()), by_hand(update), rtol=1e-5)


def test_gradients_may_be_changed_before_they_are_applied():
    v, other = tf.Variable([3.0, 4.0]), tf.Variable(1.0)
    count = tf.Variable(0, trainable=False)
    rate = tf.train.exponential_decay(0.5, count, 1, 0.5)
    optimizer = tf.train.GradientDescentOptimizer(rate)
    pairs = optimizer.compute_gradients(tf.reduce_sum(v * v) / 2)
    assert [p[1] is v for p in pairs] == [True, False] and pairs[1][0] is None
    clipped, norm = tf.clip_by_global_norm([g for g, _ in pairs], 1.0)
    step = optimizer.apply_gradients(zip(clipped, [v, other], strict=True), global_step=count)
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        assert s.run(norm) == 5.0
        s.run(step)
        assert np.allclose(s.run(v), [3 - 0.3, 4 - 0.4])
        s.run(step)
        assert np.allclose(s.run(v), [3 - 0.45, 4 - 0.6])
        assert s.run(count) == 2


# ---- functions -----------------------------------------------------------------------------------


def images(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "window", "stride"), [(7, 3, 1), (7, 3, 2), (8, 2, 2), (6, 4, 3)])
def test_convolution_and_pooling(size, window, stride, padding):
    torch = pytest.importorskip("torch", reason="compared with PyTorch")
    x, w = images((2, size, size, 3)), images((window, window, 3, 4), 1)
    steps, ksize = [1, stride, stride, 1], [1, window, window, 1]
    feed = tf.placeholder(tf.float32, [None, size, size, 3])
    made = value(
        [
            tf.nn.conv2d(feed, tf.constant(w), steps, padding),
            tf.nn.max_pool(feed, ksize, steps, padding),
            tf.nn.avg_pool(feed, ksize, steps, padding),
        ],
        {feed: x},
    )
    turns = -(-size // stride) if padding == "SAME" else (size - window) // stride + 1
    total = max((turns - 1) * stride + window - size, 0) if padding == "SAME" else 0
    sides = [total // 2, total - total // 2] * 2
    plane = torch.tensor(x).permute(0, 3, 1, 2)
    wide = torch.nn.functional.pad(plane, sides)
    low = torch.nn.functional.pad(plane, sides, value=float("-inf"))
    ones = torch.nn.functional.pad(torch.ones_like(plane), sides)
    pool = torch.nn.functional.avg_pool2d
    wanted = [
        torch.nn.functional.conv2d(wide, torch.tensor(w).permute(3, 2, 0, 1), stride=stride),
        torch.nn.functional.max_pool2d(low, window, stride),
        pool(wide, window, stride) / pool(ones, window, stride),
    ]
    for found, right in zip(made, wanted, strict=True):
        assert found.shape == (2, turns, turns, right.shape[1])
        assert np.allclose(found, right.permute(0, 2, 3, 1).numpy(), atol=1e-4)


def test_losses():
    logits, labels = images((5, 4)), np.array([0, 3, 2, 1, 3])
    hot = np.eye(4, dtype=np.float32)[labels]
    made = value(
        [
            tf.nn.softmax_cross_entropy_with_logits(labels=hot, logits=logits),
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits),
            tf.nn.sigmoid_cross_entropy_with_logits(labels=hot, logits=logits),
            tf.nn.l2_loss(logits),
        ]
    )
    x = twofold.tensor(logits)
    tf.reset_default_graph()  # from here on eagerly
    right = F.cross_entropy(x, twofold.tensor(labels), reduction="none").numpy()
    assert np.allclose(made[0], right, atol=1e-6) and np.allclose(made[1], right, atol=1e-6)
    each = F.binary_cross_entropy_with_logits(x, twofold.tensor(hot), reduction="none").numpy()
    assert np.array_equal(made[2], each)
    assert np.isclose(made[3], (logits**2).sum() / 2)


def test_losses_take_names_and_equal_shapes():
    with pytest.raises(ArgumentError, match="its arguments have names"):
        tf.nn.softmax_cross_entropy_with_logits(tf.zeros([2, 3]), tf.zeros([2, 3]))
    with pytest.raises(ShapeError, match="labels and logits differ"):
        tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.zeros([2]), logits=tf.zeros([2, 1]))


@pytest.mark.parametrize(
    ("make", "right"),
    [
        (
            lambda x: tf.reduce_mean(x, reduction_indices=[1], keep_dims=True),
            lambda x: x.mean(1, keepdims=True),
        ),
        (lambda x: tf.reduce_sum(x, [0, 2]), lambda x: x.sum((0, 2))),
        (lambda x: tf.reduce_max(x), lambda x: x.max()),
        (lambda x: tf.reduce_min(x, -1), lambda x: x.min(-1)),
        (
            lambda x: tf.reduce_prod(x, axis=(0, 1), keepdims=True),
            lambda x: x.prod((0, 1), keepdims=True),
        ),
        (lambda x: tf.transpose(x), lambda x: x.T),
        (lambda x: tf.transpose(x, [1, 0, 2]), lambda x: x.transpose(1, 0, 2)),
        (lambda x: tf.expand_dims(x, -1), lambda x: x[..., None]),
        (lambda x: tf.squeeze(tf.expand_dims(x, 1), [1]), lambda x: x),
        (lambda x: tf.concat([x, x], 1), lambda x: np.concatenate([x, x], 1)),
        (lambda x: tf.stack([x, x], axis=1), lambda x: np.stack([x, x], 1)),
        (lambda x: tf.split(x, 2, axis=2)[1], lambda x: np.split(x, 2, 2)[1]),
        (lambda x: tf.split(x, [1, 3], 2)[1], lambda x: x[:, :, 1:]),
        (lambda x: tf.unstack(x, axis=1)[2], lambda x: x[:, 2]),
        (lambda x: tf.argmax(x, 1), lambda x: x.argmax(1)),
        (lambda x: tf.cast(tf.greater(x, 0), tf.int32), lambda x: (x > 0).astype(np.int32)),
        (lambda x: tf.where(x > 0, x, tf.zeros_like(x)), lambda x: np.maximum(x, 0)),
        (lambda x: tf.clip_by_value(x, -0.5, 0.5), lambda x: x.clip(-0.5, 0.5)),
        (lambda x: tf.gather(x, [[1, 0]], axis=1), lambda x: x[:, [[1, 0]]]),
        (lambda x: tf.slice(x, [0, 1, 0], [-1, 2, 3]), lambda x: x[:, 1:3, :3]),
        (
            lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1]]),
            lambda x: np.pad(x, [(0, 0), (1, 2), (0, 1)]),
        ),
        (lambda x: tf.nn.moments(x, [0, 1])[1], lambda x: x.var((0, 1))),
        (lambda x: tf.matmul(x, x, transpose_b=True), lambda x: x @ x.transpose(0, 2, 1)),
        (lambda x: tf.one_hot([1, 0], 3, axis=0), lambda x: np.eye(3, dtype=np.float32)[[1, 0]].T),
        (lambda x: tf.fill([2, 3], 7), lambda x: np.full((2, 3), 7, np.int32)),
        (lambda x: tf.range(1, 7, 2), lambda x: np.arange(1, 7, 2, dtype=np.int32)),
        (lambda x: tf.add_n([x, x, x]), lambda x: x + x + x),
        (
            lambda x: tf.nn.bias_add(x, [1.0, 2.0, 3.0, 4.0]),
            lambda x: x + np.arange(1, 5, dtype=np.float32),
        ),
        (
            lambda x: tf.nn.l2_normalize(x, 2),
            lambda x: x / np.linalg.norm(x, axis=2, keepdims=True),
        ),
        (lambda x: tf.tile(x, [1, 2, 1]), lambda x: np.tile(x, (1, 2, 1))),
        (
            lambda x: tf.nn.in_top_k(x[0], [0, 1, 3], 2),
            lambda x: (np.argsort(-x[0])[:, :2] == [[0], [1], [3]]).any(1),
        ),
    ],
)
def test_functions(make, right):
    data = images((2, 3, 4))
    x = tf.placeholder(tf.float32, [None, 3, 4])
    found, wanted = value(make(x), {x: data}), np.asarray(right(data))
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    assert np.allclose(found, wanted, atol=1e-5)


def test_random_values():
    normal = tf.random_normal([4000], mean=1.0, stddev=2.0)
    cut = tf.truncated_normal([4000], stddev=2.0)
    flat = tf.random_uniform([4000], -1, 3)
    with tf.Session() as s:
        a, b, c = s.run([normal, cut, flat])
        assert not np.array_equal(a, s.run(normal))
    assert abs(a.mean() - 1) < 0.15 and abs(a.std() - 2) < 0.15
    assert abs(b).max() <= 4.001 and abs(b.std() - 2 * 0.8796) < 0.1
    assert c.min() >= -1 and c.max() < 3 and abs(c.mean() - 1) < 0.1


def test_dropout_keeps_the_mean():
    keep = tf.placeholder(tf.float32)
    x = tf.ones([200, 50])
    with tf.Session() as s:
        made = s.run(tf.nn.dropout(x, keep), {keep: 0.25})
        rated = s.run(tf.nn.dropout(x, rate=0.5))
    assert set(np.unique(made)) == {0.0, 4.0} and abs(made.mean() - 1) < 0.1
    assert set(np.unique(rated)) == {0.0, 2.0}
    with pytest.raises(ArgumentError, match="either keep_prob or rate"):
        tf.nn.dropout(x)


def test_choices_and_loops():
    x = tf.placeholder(tf.float32)
    chosen = tf.cond(x > 0, lambda: x * 2, lambda: x - 1)
    halved = tf.while_loop(lambda n, i: n > 1, lambda n, i: (n / 2, i + 1), [x, 0])
    with tf.Session() as s:
        assert s.run(chosen, {x: 3.0}) == 6 and s.run(chosen, {x: -3.0}) == -4
        assert s.run(halved, {x: 10.0})[1] == 4


# ---- variables, scopes, files --------------------------------------------------------------------


def test_temporary_operations_are_not_mixed_up():
    v = tf.Variable(0.0)
    with tf.Session() as s:
        for n in range(20):
            s.run(tf.assign(v, float(n)))
            assert s.run(v) == n


def test_scopes_and_shared_variables():
    with tf.variable_scope("layer") as scope:
        w = tf.get_variable("w", [2, 3])
        with pytest.raises(ArgumentError, match="layer/w exists already"):
            tf.get_variable("w", [2, 3])
        scope.reuse_variables()
        assert tf.get_variable("w") is w
    with tf.variable_scope("layer", reuse=tf.AUTO_REUSE):
        assert tf.get_variable("w", [2, 3]) is w
        assert tf.get_variable("b", [3]).name == "layer/b"
        with pytest.raises(ShapeError, match="another shape"):
            tf.get_variable("w", [2, 4])
    with tf.variable_scope("layer", reuse=True), pytest.raises(ArgumentError, match="no layer/c"):
        tf.get_variable("c", [2])
    with tf.name_scope("part"):
        names = [tf.Variable(0.0, name="n").name for _ in range(2)]
    assert names == ["part/n", "part/n_1"]


def test_saving_and_restoring(tmp_path):
    v, w = tf.Variable([1.0, 2.0], name="v"), tf.Variable(3.0, name="w")
    saver = tf.train.Saver(max_to_keep=2)
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        paths = [saver.save(s, tmp_path / "model", global_step=n) for n in range(3)]
        s.run([tf.assign(v, [0.0, 0.0]), tf.assign(w, 0.0)])
        saver.restore(s, paths[-1])
        assert s.run(v).tolist() == [1.0, 2.0] and s.run(w) == 3.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model-1", "model-2"]
    assert tf.train.latest_checkpoint(str(tmp_path)) in paths
    tf.reset_default_graph()
    other = tf.Variable([1.0, 2.0, 3.0], name="v")
    with tf.Session() as s:
        with pytest.raises(StateError, match="another shape"):
            tf.train.Saver().restore(s, paths[-1])
        with pytest.raises(StateError, match="no 'z'"):
            tf.train.Saver({"z": other}).restore(s, paths[-1])


def test_summaries_are_values(tmp_path):
    x = tf.placeholder(tf.float32)
    tf.summary.scalar("loss", x * 2)
    with tf.name_scope("more"):
        tf.summary.scalar("other", x + 1)
    merged = tf.summary.merge_all()
    with tf.Session() as s:
        writer = tf.summary.FileWriter(str(tmp_path), s.graph)
        made = s.run(merged, {x: 3.0})
        writer.add_summary(made, 7)
        writer.close()
    assert made == {"loss": 6.0, "more/other": 4.0}
    line = json.loads((tmp_path / "summaries.jsonl").read_text())
    assert line == {"step": 7, "loss": 6.0, "more/other": 4.0}
    assert "mul" in (tmp_path / "graph.txt").read_text()


def test_moving_averages_run_with_the_step():
    x = tf.placeholder(tf.float32, [None])
    mean = tf.Variable(0.0, trainable=False)
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.assign(mean, tf.reduce_mean(x)))
    w = tf.Variable(1.0)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        step = tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(x * w))
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        s.run(step, {x: [2.0, 4.0]})
        assert s.run(mean) == 3.0 and np.isclose(s.run(w), 1 - 0.6)
