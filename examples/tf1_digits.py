"""The classic convolutional network of TensorFlow 1 on handwritten digits, as it was written.

python examples/tf1_digits.py
"""

import numpy as np

import twofold.v1 as tf
from twofold.data import datasets

STEPS = 300
BATCH = 64


def weight(shape):
    return tf.Variable(tf.truncated_normal(shape, stddev=0.1))


def bias(shape):
    return tf.Variable(tf.constant(0.1, shape=shape))


def conv(x, w):
    return tf.nn.conv2d(x, w, strides=[1, 1, 1, 1], padding="SAME")


def pool(x):
    return tf.nn.max_pool(x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")


def arrays(part):
    """Images of 64 pixels from 0 to 1, and their labels as rows with a single 1."""
    images, labels = zip(*(part[i] for i in range(len(part))), strict=True)
    pixels = np.stack([np.asarray(image) for image in images]).reshape(-1, 64)
    return pixels.astype(np.float32), np.eye(10, dtype=np.float32)[np.array(labels, int)]


def main(steps=STEPS):
    train_set, test_set = datasets.digits()
    images, labels = arrays(train_set)
    test_images, test_labels = arrays(test_set)
    tf.reset_default_graph()
    tf.set_random_seed(0)

    x = tf.placeholder(tf.float32, shape=[None, 64])
    y_ = tf.placeholder(tf.float32, shape=[None, 10])
    keep_prob = tf.placeholder(tf.float32)

    x_image = tf.reshape(x, [-1, 8, 8, 1])
    h_conv1 = tf.nn.relu(conv(x_image, weight([3, 3, 1, 16])) + bias([16]))
    h_pool1 = pool(h_conv1)
    h_conv2 = tf.nn.relu(conv(h_pool1, weight([3, 3, 16, 32])) + bias([32]))
    h_pool2 = pool(h_conv2)
    h_flat = tf.reshape(h_pool2, [-1, 2 * 2 * 32])
    h_fc1 = tf.nn.relu(tf.matmul(h_flat, weight([2 * 2 * 32, 64])) + bias([64]))
    h_drop = tf.nn.dropout(h_fc1, keep_prob)
    logits = tf.matmul(h_drop, weight([64, 10])) + bias([10])

    cross_entropy = tf.reduce_mean(
        tf.nn.softmax_cross_entropy_with_logits(labels=y_, logits=logits)
    )
    train_step = tf.train.AdamOptimizer(1e-2).minimize(cross_entropy)
    correct = tf.equal(tf.argmax(logits, 1), tf.argmax(y_, 1))
    accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))

    rng = np.random.default_rng(0)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for step in range(steps):
            rows = rng.integers(0, len(images), BATCH)
            batch = {x: images[rows], y_: labels[rows], keep_prob: 0.5}
            if step % 100 == 0:
                seen = accuracy.eval(feed_dict={**batch, keep_prob: 1.0})
                print(f"step {step}, training accuracy {seen:.2f}")
            train_step.run(feed_dict=batch)
        share = accuracy.eval(feed_dict={x: test_images, y_: test_labels, keep_prob: 1.0})
    tf.reset_default_graph()
    print(f"test accuracy {share:.2%}")
    return float(share)


if __name__ == "__main__":
    main()
