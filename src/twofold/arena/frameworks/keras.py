"""Keras on each of its backends: one mode per backend."""

import os

TITLE = "Keras"
DISTRIBUTION = "keras"
MODES = ("tensorflow", "torch", "jax")
QUICK = ("tensorflow",)


def start(mode, threads):
    global keras
    os.environ["KERAS_BACKEND"] = mode
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if mode == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    elif mode == "torch":
        import torch

        torch.set_num_threads(threads)
    else:
        import jax

        jax.config.update("jax_platforms", "cpu")
    import keras


def tensor(array):
    return keras.ops.convert_to_tensor(array)


def array(value):
    return keras.ops.convert_to_numpy(value)


def wait(result):
    """Keras gives losses as Python numbers; the rest is waited for here."""
    if hasattr(result, "block_until_ready"):
        result.block_until_ready()


def compiled(mode, function, **options):
    return function
