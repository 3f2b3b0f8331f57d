"""Bags of embeddings as a layer. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ShapeError
from twofold.nn import functional as F
from twofold.nn import init
from twofold.nn.module import Module
from twofold.ops.creation import empty
from twofold.ops.guarding import guard
from twofold.ops.tensor import Parameter, Tensor, type_of

__all__ = ["EmbeddingBag"]


class EmbeddingBag(Module):
    """Sums, means or maxima of bags of rows of a table: i64[bags, n] -> f[bags, embedding_dim]."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse, self.mode = scale_grad_by_freq, sparse, mode
        self.include_last_offset = include_last_offset
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            self.weight = Parameter(empty(shape, dtype=dtype, device=device))
            self.reset_parameters()
        elif _weight.array.shape != shape:
            problem = f"the table is not {list(shape)}"
            raise ShapeError("EmbeddingBag", problem, weight=type_of(_weight))
        else:
            self.weight = Parameter(_weight)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, **options: Any
    ) -> EmbeddingBag:
        """A table of given values f[num, dim], not trained unless freeze=False."""
        if embeddings.array.ndim != 2:
            raise ShapeError("EmbeddingBag", "no matrix", weight=type_of(embeddings))
        rows, width = embeddings.array.shape
        made = cls(rows, width, _weight=embeddings, **options)
        made.weight.requires_grad_(not freeze)  # type: ignore[attr-defined]
        return made

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Any = None
    ) -> Tensor:
        norm = (self.max_norm, self.norm_type, self.scale_grad_by_freq)
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            *norm,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        usual = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        shown = [f"{k}={getattr(self, k)!r}" for k, v in usual.items() if getattr(self, k) != v]
        shown.append(f"mode={self.mode!r}")
        shown += [f"padding_idx={self.padding_idx}"] * (self.padding_idx is not None)
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *shown])


guard(globals())
