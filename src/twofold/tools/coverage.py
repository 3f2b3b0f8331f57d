"""Which of PyTorch's operations there are, as docs/reference/coverage.md: python -m
twofold.tools.coverage [--write]. Floor 14.

The names are those that the best known model libraries call.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from twofold import nn
from twofold.ops.tensor import Tensor

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "coverage.md"
NAMES = {
    "twofold": """
_softmax_backward_data abs acos add addcdiv addcmul addmm all allclose amax amin aminmax any
arange argmax argmin argsort argwhere as_strided asinh atan atan2 atanh atleast_1d baddbmm
bernoulli bfloat16 bincount bitwise_and bitwise_left_shift bitwise_not bitwise_right_shift
bitwise_xor bmm bool broadcast_tensors broadcast_to bucketize byte cat cdist ceil chunk
clamp clamp_max clamp_min clone complex conj contiguous copysign cos count_nonzero cross
cummax cummin cumprod cumsum deg2rad diag diag_embed diff div dot double einsum empty
empty_like empty_strided eq equal erf erfc erfinv exp exp2 expand expand_as expand_copy
expm1 exponential eye fill flatten flip float floor floor_divide fmod frexp full full_like
gather ge gt half histc hstack index_add index_copy index_put index_select int isclose
isfinite isin isinf isnan isneginf item kthvalue lcm ldexp le lerp linspace log log10 log1p
log2 log_softmax logical_and logical_not logical_or logit logsumexp long lt masked_fill
masked_scatter masked_select matmul max mean median meshgrid min mm movedim mul multinomial
nan_to_num nanmean nansum narrow ne neg new_empty new_full new_ones new_zeros nonzero norm
normal ones ones_like outer permute polar pow prod rand_like randint randint_like randn
randn_like real reciprocal remainder repeat repeat_interleave reshape reshape_as roll rot90
round rsqrt scalar_tensor scatter scatter_add scatter_reduce searchsorted select sigmoid
sign sin sinc softmax sort split split_with_sizes sqrt square squeeze stack std stft sub sum
t take_along_dim tan tanh tensor_split tile to topk trace transpose tril triu true_divide
trunc unbind unflatten unfold uniform unique unique_consecutive unravel_index unsqueeze var
var_mean view view_as view_as_complex view_as_real where xlogy zero_ zeros zeros_like
    """,
    "twofold.nn.functional": """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d avg_pool1d
avg_pool2d avg_pool3d batch_norm binary_cross_entropy_with_logits conv1d conv2d conv3d
conv_transpose1d conv_transpose2d cosine_similarity cross_entropy ctc_loss dropout dropout2d
elu embedding embedding_bag gelu glu grid_sample group_norm hardsigmoid hardswish
interpolate kl_div l1_loss layer_norm leaky_relu linear local_response_norm logsigmoid
max_pool1d max_pool2d max_pool3d mish mse_loss multi_head_attention_forward nll_loss
normalize one_hot pad pixel_shuffle prelu relu relu6 rms_norm scaled_dot_product_attention
silu smooth_l1_loss softplus unfold
    """,
    "twofold.linalg": """
cholesky det eigh inv lstsq norm pinv solve_triangular svd vector_norm
    """,
    "twofold.fft": """
fft fftn ifft irfft rfft
    """,
    "twofold.special": """
digamma entr erf erfc erfcx erfinv exp2 expit expm1 gammainc gammaincc gammaln i0 i0e i1 i1e
log1p log_ndtr log_softmax logit logsumexp multigammaln ndtr ndtri polygamma psi round sinc
softmax xlog1py xlogy zeta
    """,
}
HEADER = """# Operations

The operations that the best known model libraries call by PyTorch's names, and the forms in which
they exist here: as a function of the module, as a method of Tensor, and as the method that writes
in place. Written by `python -m twofold.tools.coverage --write`.
"""


class Row(NamedTuple):
    """One operation, and the forms in which it exists."""

    name: str
    function: bool
    method: bool
    in_place: bool


def module_of(path: str) -> object:
    """The module that a heading names."""
    return nn.functional if path == "twofold.nn.functional" else importlib.import_module(path)


def rows(path: str) -> list[Row]:
    """The operations under one heading."""
    module = module_of(path)
    methods = Tensor if path == "twofold" else None
    made = []
    for name in NAMES[path].split():
        in_place = name if name.endswith("_") else f"{name}_"
        made.append(
            Row(
                name,
                hasattr(module, name),
                methods is not None and hasattr(methods, name),
                methods is not None and hasattr(methods, in_place),
            )
        )
    return made


def render() -> Iterator[str]:
    """The page, line by line."""
    yield HEADER
    for path in NAMES:
        yield f"\n## {path}\n\n"
        wide = path == "twofold"
        yield "| operation | function |" + (" method | in place |" if wide else "") + "\n"
        yield "|---|---|" + ("---|---|" if wide else "") + "\n"
        for row in rows(path):
            forms = row[1:] if wide else row[1:2]
            yield f"| `{row.name}` | " + " | ".join("yes" if f else "" for f in forms) + " |\n"


def main(arguments: list[str]) -> int:
    text = "".join(render())
    if arguments == ["--write"]:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
