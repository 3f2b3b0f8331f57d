"""Every layer and loss as a program: outputs, gradients and buffers have the bits of eager.

The layers, inputs and options are those that tests/nn holds against PyTorch.
"""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
from layers import arrays_of, build, flat, given
from twice import bits, same

import twofold

HERE = Path(__file__).parent
FILES = ("activation", "layers", "losses", "multihead", "norm", "recurrent", "spatial")
RANDOM = ("nn.Dropout(0.3)", "nn.Dropout1d(0.3)", "nn.Dropout2d()", "nn.AlphaDropout(0.1)")


def cases_of(name):
    """The cases of tests/nn/test_<name>.py."""
    spec = importlib.util.spec_from_file_location(
        f"cases_{name}", HERE.parent / "nn" / f"test_{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES if hasattr(module, "CASES") else list(module.cases())


CASES = [case for name in FILES for case in cases_of(name)]
CASES += [c._replace(train=True) for c in CASES if c.layer in RANDOM]


def outcomes(case, compiled):
    """What a layer does in two steps: outputs, gradients, parameters and buffers."""
    twofold.manual_seed(5)
    module = build(case.layer, twofold)
    if case.dtype == "float64":
        module.double()
    module.train(case.train)
    random = np.random.default_rng(5)
    numbers = twofold.tensor(random.normal(size=4096).astype(case.dtype))

    def step(*args, **kwargs):
        outs = flat(module(*args, **kwargs))
        total = 0
        for x in outs:
            if x is not None and x.requires_grad:
                weight = numbers[: x.numel()].reshape(x.shape) if x.numel() <= 4096 else 0.5
                total = total + (x * weight).sum()
        if not isinstance(total, int):
            total.backward()
        return outs

    run = twofold.compile(step) if compiled else step
    found = []
    for _ in range(2):
        args = [given(a, twofold) for a in arrays_of(case)]
        kwargs = {k: given(v, twofold) for k, v in case.kwargs.items()}
        found += flat(run(*args, **kwargs))
        found += [x.grad for x in flat([*args, *kwargs.values()]) if isinstance(x, twofold.Tensor)]
    found += [p.grad for p in module.parameters()]
    found += [*module.parameters(), *module.buffers()]
    return [bits(x) for x in found]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_layer_as_a_program(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(outcomes(case, True), outcomes(case, False))
