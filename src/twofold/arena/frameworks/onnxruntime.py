"""ONNX Runtime: inference of graphs that are written with onnx.helper."""

TITLE = "ONNX Runtime"
DISTRIBUTION = "onnxruntime"
MODES = ("session",)
QUICK = ("session",)


def start(mode, threads):
    global onnxruntime, count
    import onnx  # noqa: F401  the contestants write their graphs with it
    import onnxruntime

    count = threads


def tensor(array):
    return array


def array(value):
    return value


def wait(result):
    """A session returns when it is done."""


def compiled(mode, function, **options):
    """A function that runs an ONNX model: `function` is the model, inputs go by position."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = count
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        function.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    names = [given.name for given in session.get_inputs()]

    def run(*inputs):
        return session.run(None, dict(zip(names, inputs, strict=True)))

    return run
