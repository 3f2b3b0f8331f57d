"""MLX on the CPU, lazily and under mx.compile. It has no setting for its threads."""

TITLE = "MLX"
DISTRIBUTION = "mlx"
MODES = ("eager", "compile")
QUICK = ("compile",)


def start(mode, threads):
    global mx
    import mlx.core as mx

    mx.set_default_device(mx.cpu)


def tensor(array):
    return mx.array(array)


def array(value):
    return value


def wait(result):
    mx.eval(result)


def compiled(mode, function, **options):
    return mx.compile(function, **options) if mode == "compile" else function
