"""TensorFlow, eagerly, as a tf.function, and as one that XLA compiles."""

import os

TITLE = "TensorFlow"
DISTRIBUTION = "tensorflow-cpu"
MODES = ("eager", "function", "xla")
QUICK = ("function",)


def start(mode, threads):
    global tf
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def tensor(array):
    return tf.constant(array)


def array(value):
    return value.numpy() if hasattr(value, "numpy") else value


def wait(result):
    """On a CPU, TensorFlow's results are there when it returns."""


def compiled(mode, function, **options):
    if mode == "eager":
        return function
    return tf.function(function, jit_compile=mode == "xla" or None, **options)
