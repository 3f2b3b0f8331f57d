"""JAX, eagerly and under jax.jit. Its threads follow the CPUs that the process may use."""

TITLE = "JAX"
DISTRIBUTION = "jax"
MODES = ("eager", "jit")
QUICK = ("jit",)


def start(mode, threads):
    global jax
    import jax
    import jax.numpy

    jax.config.update("jax_platforms", "cpu")


def tensor(array):
    return jax.numpy.asarray(array)


def array(value):
    return value


def wait(result):
    jax.block_until_ready(result)


def compiled(mode, function, **options):
    return jax.jit(function, **options) if mode == "jit" else function
