"""PyTorch, eagerly and through torch.compile."""

TITLE = "PyTorch"
DISTRIBUTION = "torch"
MODES = ("eager", "compile")
QUICK = ("eager", "compile")


def start(mode, threads):
    global torch
    import torch

    torch.set_num_threads(threads)


def tensor(array):
    return torch.from_numpy(array)


def array(value):
    return value.detach().numpy() if hasattr(value, "detach") else value


def wait(result):
    """On a CPU, PyTorch returns when it is done."""


def compiled(mode, function, **options):
    return torch.compile(function, **options) if mode == "compile" else function
