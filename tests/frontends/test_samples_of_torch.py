"""Operations that PyTorch has samples of, compiled: the bits of eager, for two sets of sizes."""

import warnings

import numpy as np
import pytest
from samples_of_torch import NotHere, bits, drawn, flat, joined, parted, tensor_of, twin

import twofold

CHUNKS = 24
SAMPLES = 3

UNWRITTEN = "elements that nobody has written"
SIZES_BY_RANK = "the rank decides the size of what these drivers give"
EXCEPTIONS = {
    "empty": UNWRITTEN,
    "empty_like": UNWRITTEN,
    "empty_permuted": UNWRITTEN,
    "empty_strided": UNWRITTEN,
    "new_empty": UNWRITTEN,
    "new_empty_strided": UNWRITTEN,
    "resize_": UNWRITTEN,
    "resize_as_": UNWRITTEN,
    "linalg_lstsq": SIZES_BY_RANK,
    "linalg_lstsq_grad_oriented": SIZES_BY_RANK,
    "logspace_tensor_overload": "its ends are numbers of Python",
    "to_sparse": "graphs have no sparse tensors",
}


def compared(operation, dtype, gradients, programs) -> list[str]:
    """What differs between eager and compiled over the samples of one type."""
    function = twin(operation)
    wrong = []
    for more in (0, 1):
        for sample in drawn(operation, dtype, SAMPLES, gradients, more):
            tensors = []
            try:
                parts = parted(sample, tensors)
                eager, compiled = ([tensor_of(x) for x in tensors] for _ in range(2))
            except NotHere:
                continue
            key = (
                operation.formatted_name,
                repr(parts),
                str(dtype),
                tuple(x.ndim for x in tensors),
            )

            def run(*tensors, parts=parts):
                first, rest, named = joined(parts, tensors)
                return flat(function(first, *rest, **named))

            try:
                twofold.manual_seed(3)
                want = run(*eager)
            except (twofold.TwofoldError, TypeError, ValueError, RuntimeError, AttributeError):
                continue  # test of the operation's own: arguments that are not taken
            program = programs.setdefault(key, twofold.compile(run))
            try:
                twofold.manual_seed(3)
                got = program(*compiled)
                found = unlike(want, got, eager, compiled, gradients)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            if found:
                shapes = [tuple(x.shape) for x in tensors]
                wrong.append(f"{operation.formatted_name} {dtype} {shapes} {parts}: {found}"[:600])
            else:
                programs["compared"] = programs.get("compared", 0) + 1
    return wrong


def unlike(want, got, eager, compiled, gradients) -> str | None:
    if len(want) != len(got) or [*map(bits, want)] != [*map(bits, got)]:
        return "values"
    if [*map(bits, eager)] != [*map(bits, compiled)]:
        return "what was written into the arguments"
    if not gradients:
        return None
    first, second = (pulled(*pair) for pair in ((want, eager), (got, compiled)))
    return None if first == second else "gradients"


def pulled(outputs, inputs):
    """The bits of the gradients of the inputs, for gradients of the outputs that are drawn."""
    tracked = [x for x in outputs if isinstance(x, twofold.Tensor) and x.requires_grad]
    leaves = [x for x in inputs if x.requires_grad]
    if not tracked or not leaves:
        return len(tracked)
    generator = np.random.default_rng(2)
    pulls = [twofold.tensor(generator.standard_normal(tuple(x.shape))).to(x.dtype) for x in tracked]
    try:
        found = twofold.autograd.grad(tracked, leaves, pulls, allow_unused=True)
    except NotImplementedError:
        return "no gradient"
    zeros = twofold.zeros_like
    return [bits(zeros(x) if g is None else g) for g, x in zip(found, leaves, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_compiled_operations_have_eagers_bits(chunk):
    torch = pytest.importorskip("torch")
    for needed in ("expecttest", "hypothesis", "scipy"):
        pytest.importorskip(needed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

        wrong, programs = [], {}
        for operation in op_db[chunk::CHUNKS]:
            if twin(operation) is None or operation.formatted_name in EXCEPTIONS:
                continue
            for dtype in (torch.float32, torch.int64):
                if operation.supports_dtype(dtype, "cpu"):
                    gradients = dtype == torch.float32 and operation.supports_autograd
                    wrong += compared(operation, dtype, gradients, programs)
    assert not wrong, "\n".join(wrong)
    assert programs["compared"] > 30
