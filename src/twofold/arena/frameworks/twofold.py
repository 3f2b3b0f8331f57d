"""Twofold, eagerly and compiled."""

TITLE = "Twofold"
DISTRIBUTION = "twofold"
MODES = ("eager", "compiled")
QUICK = ("eager", "compiled")


def start(mode, threads):
    global twofold
    import twofold

    if mode == "compiled" and not hasattr(twofold, "compile"):
        return "this version of Twofold has no twofold.compile"
    twofold.set_num_threads(threads)


def tensor(array):
    return twofold.from_numpy(array)


def array(value):
    return value.detach().numpy() if hasattr(value, "detach") else value


def wait(result):
    """Twofold returns when it is done."""


def give_back():
    """Return to the system what earlier work left in the cache."""
    twofold.memory.empty_cache()


def compiled(mode, function, **options):
    return twofold.compile(function) if mode == "compiled" else function
