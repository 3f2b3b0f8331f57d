"""Twofold, eagerly and compiled; and compiled with fast_math, where that changes anything."""

TITLE = "Twofold"
DISTRIBUTION = "twofold"
MODES = ("eager", "compiled", "fast_math")
QUICK = ("eager", "compiled")


# The arena's own workloads without convolutions of 3 x 3 taps, which alone fast_math changes.
SAME = (
    "chargpt",
    "gpt2",
    "lenet",
    "lstm",
    "mlp",
    "overhead",
    "pinn",
    "rows",
    "scan",
    "seed",
    "shapes",
)


def start(mode, threads):
    global twofold
    import twofold

    if mode != "eager" and not hasattr(twofold, "compile"):
        return "this version of Twofold has no twofold.compile"
    twofold.set_num_threads(threads)


def refuses(mode, workload):
    """Why a workload is not run in a mode; None if it is."""
    if mode == "fast_math" and workload in SAME:
        return "fast_math changes nothing here"
    return None


def tensor(array):
    return twofold.from_numpy(array)


def array(value):
    return value.detach().numpy() if hasattr(value, "detach") else value


def wait(result):
    """Twofold returns when it is done."""


def settle():
    """Have what is compiled beside a program that runs for longer."""
    if hasattr(twofold, "compiler"):
        twofold.compiler.settle()


def give_back():
    """Return to the system what earlier work left in the cache."""
    twofold.memory.empty_cache()


def compiled(mode, function, **options):
    if mode == "eager":
        return function
    return twofold.compile(function, fast_math=mode == "fast_math", **options)
