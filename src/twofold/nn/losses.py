"""Losses as modules. Floor 10."""

from typing import Any, ClassVar

from twofold.base.errors import DTypeError
from twofold.nn import functional as F
from twofold.nn.layers import PairwiseDistance
from twofold.nn.module import Module
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "NLLLoss2d",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]

OLD = ("size_average", "reduce")  # PyTorch's old arguments, in their places
TENSORS = ("weight", "pos_weight")  # options that are buffers


class Loss(Module):
    """A module around one loss; subclasses name the function and, in order, its options.

    A loss of the user's own has a `forward` and PyTorch's options: size_average, reduce, reduction.
    """

    function: Any
    # Annotations are objects here, no texts: programs ask losses for them (`get_type_hints`).
    options: ClassVar[dict[str, Any]] = {"size_average": None, "reduce": None, "reduction": "mean"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        names = list(self.options)
        self._check_arguments(names, args, kwargs)
        values = self.options | dict(zip(names, args, strict=False)) | kwargs
        for name, value in values.items():
            if name in TENSORS:
                self.register_buffer(name, value)
            elif name not in OLD or value is not None:
                setattr(self, name, value)

    def _check_arguments(self, names: list[str], args: Any, kwargs: Any) -> None:
        """Raise for options that there are not, and for what belongs into the call."""
        name = type(self).__name__
        given = [*zip(names, args, strict=False), *kwargs.items()]
        if any(isinstance(value, Tensor) for option, value in given if option not in TENSORS):
            hint = f"{name}()(input, target), or functional.{self.function.__name__}"
            raise DTypeError(name, "a tensor is not an option of the loss", hint=hint)
        unknown = set(kwargs) - set(names)
        if unknown:
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown.pop()!r}")
        if len(args) > len(names):
            raise TypeError(f"{name}() takes {len(names)} arguments but {len(args)} were given")

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        own, buffers, cls = self.__dict__, self._buffers, type(self)
        options = {}
        for name in cls.options:
            if name in own:
                options[name] = own[name]
            elif name in buffers:
                options[name] = buffers[name]
            elif hasattr(cls, name):
                options[name] = getattr(self, name)
        return cls.function(*inputs, **named, **options)  # type: ignore[no-any-return]


class WeightedLoss(Loss):
    """A loss with a buffer `weight`: of classes, or of elements."""

    options: ClassVar[dict[str, Any]] = {"weight": None} | Loss.options


def _described(name: str, function: Any, options: dict[str, Any]) -> str:
    """The docstring of a loss's module: what it computes, and the options that it is made with."""
    shown = ", ".join(f"{n}={v!r}" for n, v in options.items() if n not in OLD)
    what = "\n".join(line.strip() for line in (function.__doc__ or "").strip().splitlines())
    way = f"`functional.{function.__name__}` as a module, made with options and called with tensors"
    return f"{what}\n\n{way}:\n{name}({shown})."


def _loss(name: str, function: Any, order: str, **defaults: Any) -> type[Loss]:
    """A module of the function whose options stand in this order."""
    values = {"reduction": "mean"} | defaults
    options = {option: values.get(option) for option in order.split()}
    body: dict[str, Any] = {
        "function": staticmethod(function),
        "options": options,
        "__doc__": _described(name, function, options),
        "__module__": __name__,
    }
    return type(name, (WeightedLoss if "weight" in options else Loss,), body)


PLAIN = "size_average reduce reduction"
MARGIN = f"margin {PLAIN}"

MSELoss = _loss("MSELoss", F.mse_loss, PLAIN)
L1Loss = _loss("L1Loss", F.l1_loss, PLAIN)
SmoothL1Loss = _loss("SmoothL1Loss", F.smooth_l1_loss, f"{PLAIN} beta", beta=1.0)
HuberLoss = _loss("HuberLoss", F.huber_loss, "reduction delta", delta=1.0)
CrossEntropyLoss = _loss(
    "CrossEntropyLoss",
    F.cross_entropy,
    "weight size_average ignore_index reduce reduction label_smoothing",
    ignore_index=-100,
    label_smoothing=0.0,
)
NLLLoss = _loss(
    "NLLLoss", F.nll_loss, "weight size_average ignore_index reduce reduction", ignore_index=-100
)


class NLLLoss2d(NLLLoss):  # type: ignore[misc,valid-type]
    """NLLLoss under its older name for images."""


BCELoss = _loss("BCELoss", F.binary_cross_entropy, f"weight {PLAIN}")
BCEWithLogitsLoss = _loss(
    "BCEWithLogitsLoss", F.binary_cross_entropy_with_logits, f"weight {PLAIN} pos_weight"
)
KLDivLoss = _loss("KLDivLoss", F.kl_div, f"{PLAIN} log_target", log_target=False)
PoissonNLLLoss = _loss(
    "PoissonNLLLoss",
    F.poisson_nll_loss,
    "log_input full size_average eps reduce reduction",
    log_input=True,
    full=False,
    eps=1e-8,
)
GaussianNLLLoss = _loss(
    "GaussianNLLLoss", F.gaussian_nll_loss, "full eps reduction", full=False, eps=1e-6
)
SoftMarginLoss = _loss("SoftMarginLoss", F.soft_margin_loss, PLAIN)
HingeEmbeddingLoss = _loss("HingeEmbeddingLoss", F.hinge_embedding_loss, MARGIN, margin=1.0)
MarginRankingLoss = _loss("MarginRankingLoss", F.margin_ranking_loss, MARGIN, margin=0.0)
CosineEmbeddingLoss = _loss("CosineEmbeddingLoss", F.cosine_embedding_loss, MARGIN, margin=0.0)
TripletMarginLoss = _loss(
    "TripletMarginLoss",
    F.triplet_margin_loss,
    f"margin p eps swap {PLAIN}",
    margin=1.0,
    p=2.0,
    eps=1e-6,
    swap=False,
)
CTCLoss = _loss(
    "CTCLoss", F.ctc_loss, "blank reduction zero_infinity", blank=0, zero_infinity=False
)
MultiLabelMarginLoss = _loss("MultiLabelMarginLoss", F.multilabel_margin_loss, PLAIN)
MultiLabelSoftMarginLoss = _loss(
    "MultiLabelSoftMarginLoss", F.multilabel_soft_margin_loss, f"weight {PLAIN}"
)
MultiMarginLoss = _loss(
    "MultiMarginLoss", F.multi_margin_loss, f"p margin weight {PLAIN}", p=1, margin=1.0
)


class TripletMarginWithDistanceLoss(Loss):
    """`functional.triplet_margin_with_distance_loss` as a module."""

    function = staticmethod(F.triplet_margin_with_distance_loss)
    options: ClassVar[dict[str, Any]] = dict.fromkeys(
        ("distance_function", "margin", "swap", "reduction")
    )

    def __init__(
        self,
        *,
        distance_function: Any = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        distance = PairwiseDistance() if distance_function is None else distance_function
        super().__init__(distance, margin, swap, reduction)


guard(globals())
