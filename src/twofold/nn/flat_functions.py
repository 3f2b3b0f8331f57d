"""Functions of layers under PyTorch's flat names, `torch.batch_norm`, whose arguments stand in
another order than those of `nn.functional`. Floor 10.

Losses take their reduction as a number here: 0 for none, 1 for the mean, 2 for the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.nn import functional as F
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor
from twofold.signal import windows

REDUCTIONS = ("none", "mean", "sum")


def _word(op: str, reduction: Any) -> str:
    if reduction in REDUCTIONS:
        return str(reduction)
    if not isinstance(reduction, int) or not 0 <= reduction < len(REDUCTIONS):
        raise ArgumentError(op, f"reduction={reduction!r}", hint="0 (none), 1 (mean) or 2 (sum)")
    return REDUCTIONS[reduction]


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Tensor:
    """nn.functional.batch_norm of f[N, C, ...]. Raises what that raises."""
    moments = (running_mean, running_var)
    return F.batch_norm(input, *moments, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Tensor:
    """nn.functional.instance_norm of f[N, C, ...]. Raises what that raises."""
    moments = (running_mean, running_var)
    return F.instance_norm(input, *moments, weight, bias, use_input_stats, momentum, eps)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of weight f[num, dim] by number i64[...]; padding_idx of -1 is none."""
    row = None if padding_idx < 0 else padding_idx
    return F.embedding(indices, weight, row, scale_grad_by_freq=scale_grad_by_freq)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: int = 1,
    zero_infinity: bool = False,
) -> Tensor:
    """nn.functional.ctc_loss with a reduction by number."""
    lengths = (input_lengths, target_lengths)
    word = _word("ctc_loss", reduction)
    return F.ctc_loss(log_probs, targets, *lengths, blank, word, zero_infinity)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    """nn.functional.binary_cross_entropy_with_logits with a reduction by number."""
    word = _word("binary_cross_entropy_with_logits", reduction)
    return F.binary_cross_entropy_with_logits(
        input, target, weight=weight, pos_weight=pos_weight, reduction=word
    )


def kl_div(
    input: Tensor, target: Tensor, reduction: int = 1, *, log_target: bool = False
) -> Tensor:
    """nn.functional.kl_div with a reduction by number."""
    return F.kl_div(input, target, reduction=_word("kl_div", reduction), log_target=log_target)


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int
) -> Tensor:
    """nn.functional.poisson_nll_loss with a reduction by number."""
    word = _word("poisson_nll_loss", reduction)
    return F.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=word)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
) -> Tensor:
    """nn.functional.cosine_embedding_loss with a reduction by number."""
    word = _word("cosine_embedding_loss", reduction)
    return F.cosine_embedding_loss(input1, input2, target, margin, reduction=word)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 1
) -> Tensor:
    """nn.functional.hinge_embedding_loss with a reduction by number."""
    word = _word("hinge_embedding_loss", reduction)
    return F.hinge_embedding_loss(input, target, margin, reduction=word)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
) -> Tensor:
    """nn.functional.margin_ranking_loss with a reduction by number."""
    word = _word("margin_ranking_loss", reduction)
    return F.margin_ranking_loss(input1, input2, target, margin, reduction=word)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 1,
) -> Tensor:
    """nn.functional.triplet_margin_loss with a reduction by number."""
    word = _word("triplet_margin_loss", reduction)
    return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=word)


def _written(name: str) -> Callable[..., Tensor]:
    """The function that writes its result into its input."""
    function = getattr(F, name)

    def write(input: Tensor, *args: Any, **options: Any) -> Tensor:
        return function(input, *args, **options, inplace=True)  # type: ignore[no-any-return]

    write.__name__ = write.__qualname__ = f"{name}_"
    write.__doc__ = f"nn.functional.{name}, written into the input."
    return write


dropout_, alpha_dropout_ = map(_written, ("dropout", "alpha_dropout"))
feature_alpha_dropout_ = _written("feature_alpha_dropout")


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    **options: Any,
) -> Tensor:
    """signal.windows.kaiser of so many points; periodic as a part of an endless one."""
    if window_length == 1:
        periodic = False
    made = windows.kaiser(window_length, beta=beta, sym=not periodic, **options)
    return made if dtype is None else cast(made, dtype)


guard(globals())
