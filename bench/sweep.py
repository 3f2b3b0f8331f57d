"""The commonest operations against PyTorch, at three sizes, forwards and with their gradient.

python -m bench.sweep [PATTERN ...] [--sizes tiny middle large] [--threads 1] [--rounds 3]

An operation is an expression over the inputs of `inputs`; `t` is the library and `F` its
`nn.functional`. A PATTERN names operations as in a shell (`sum*`). Results, and gradients by all
inputs that are floats, are compared before times count; then one process per library takes turns
with the other. The table has one line per operation: ours over PyTorch's time, forwards (f) and
forwards with the gradient (g) at 16, 10,000 and 1,000,000 elements. After it come all cases in
which ours is slower. One thread is counted in its own time, which other work on the machine
disturbs little; more of them by the clock.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.turns import Contestant

SIZES = {"tiny": 16, "middle": 10_000, "large": 1_000_000}
WAYS = ("f", "g")
SECONDS = 0.03  # of work a turn

OPERATIONS = {
    # elementwise
    "add": "x + y",
    "add_scalar": "x + 1.5",
    "sub": "x - y",
    "mul": "x * y",
    "div": "x / p",
    "pow2": "x ** 2",
    "pow": "p ** y",
    "neg": "-x",
    "abs": "x.abs()",
    "exp": "x.exp()",
    "log": "p.log()",
    "log1p": "p.log1p()",
    "sqrt": "p.sqrt()",
    "rsqrt": "p.rsqrt()",
    "reciprocal": "p.reciprocal()",
    "sin": "x.sin()",
    "tanh": "x.tanh()",
    "sigmoid": "x.sigmoid()",
    "erf": "x.erf()",
    "relu": "F.relu(x)",
    "leaky_relu": "F.leaky_relu(x)",
    "elu": "F.elu(x)",
    "gelu": "F.gelu(x)",
    "silu": "F.silu(x)",
    "softplus": "F.softplus(x)",
    "hardswish": "F.hardswish(x)",
    "clamp": "x.clamp(-0.5, 0.5)",
    "maximum": "t.maximum(x, y)",
    "floor": "x.floor()",
    "round": "x.round()",
    "sign": "x.sign()",
    "fmod": "t.fmod(x, 0.7)",
    "remainder": "x % 0.7",
    "atan2": "t.atan2(x, y)",
    "lerp": "t.lerp(x, y, 0.3)",
    "addcmul": "t.addcmul(x, y, p, value=0.5)",
    "less": "x < y",
    "equal": "i == j",
    "logical_and": "bx & (x < y)",
    "isnan": "x.isnan()",
    "where": "t.where(bx, x, y)",
    "where_scalar": "t.where(bx, x, 0.5)",
    "nan_to_num": "x.nan_to_num()",
    "complex_mul": "t.view_as_complex(v) * t.view_as_complex(v)",
    "complex_matmul": "t.view_as_complex(u) @ t.view_as_complex(u)",
    "masked_fill": "m.masked_fill(b, -1.0)",
    "masked_select": "m.masked_select(b)",
    "add_row": "m + r",
    "add_column": "m + r[:, None]",
    "add_transposed": "m + w.t()",
    "to_float64": "x.double()",
    "to_int64": "x.long()",
    "int_to_float": "i.float()",
    "half": "x.half()",
    "bfloat16": "x.bfloat16()",
    "add_": "z.add_(z0)",
    "mul_": "z.mul_(1.0)",
    "zero_": "z.zero_()",
    "fill_": "z.fill_(0.5)",
    "masked_fill_": "z.masked_fill_(bx, 0.5)",
    "index_add_": "n.index_add_(0, a, h)",
    "scatter_add_": "n.scatter_add_(1, k, h)",
    "index_put_add_": "n.index_put_((a,), h, accumulate=True)",
    "copy_": "z.copy_(z0)",
    "clamp_": "z.clamp_(-9.0, 9.0)",
    "lerp_": "z.lerp_(z0, 0.1)",
    "add_part": "n[1].add_(h[1])",
    "set_row": "(n.__setitem__(1, h[1]), n)[1]",
    "set_column": "(n.__setitem__((slice(None), 1), 0.5), n)[1]",
    "clone": "x.clone()",
    "add_f64": "d + d",
    "exp_f64": "d.exp()",
    "add_i64": "i + j",
    "mul_i64": "i * j",
    "floordiv_i64": "i // 7",
    "remainder_i64": "i % 7",
    "div_i64": "i / 7",
    "detach": "x.detach()",
    "relu_inplace": "F.relu(z, inplace=True)",
    "complex_scaled": "t.view_as_complex(v) * 2.0",
    "clip_ratio": "t.min(p * y, p.clamp(0.8, 1.2) * y).mean()",
    # reductions
    "sum": "x.sum()",
    "sum_axis0": "m.sum(0)",
    "sum_axis1": "m.sum(1)",
    "sum_middle": "c.sum(1)",
    "sum_axes02": "c.sum((0, 2))",
    "sum_transposed": "m.t().sum(1)",
    "sum_part": "m[:, ::2].sum(1)",
    "sum_f64": "d.sum()",
    "sum_i64": "i.sum()",
    "sum_bool": "b.sum()",
    "mean": "x.mean()",
    "mean_axis1": "m.mean(1)",
    "mean_spatial": "q.mean((2, 3))",
    "prod": "(p + 0.5).prod()",
    "prod_axis1": "m.prod(1)",
    "max": "x.max()",
    "max_axis0": "m.max(0)",
    "max_axis1": "m.max(1)",
    "amax_axis1": "m.amax(1)",
    "argmax": "x.argmax()",
    "argmax_axis0": "m.argmax(0)",
    "argmax_axis1": "m.argmax(1)",
    "max_i64": "i.max()",
    "all": "b.all()",
    "any_axis1": "b.any(1)",
    "var": "x.var()",
    "std_axis0": "m.std(0)",
    "std_axis1": "m.std(1)",
    "norm": "x.norm()",
    "norm_axis1": "m.norm(dim=1)",
    "logsumexp_axis0": "m.logsumexp(0)",
    "logsumexp_axis1": "m.logsumexp(1)",
    "softmax_axis0": "m.softmax(0)",
    "softmax_axis1": "m.softmax(1)",
    "softmax_middle": "c.softmax(1)",
    "log_softmax": "m.log_softmax(1)",
    "cumsum": "x.cumsum(0)",
    "cumsum_axis0": "m.cumsum(0)",
    "cumsum_axis1": "m.cumsum(1)",
    "cumsum_i64": "k.cumsum(1)",
    "cumprod_axis1": "m.cumprod(1)",
    "cumprod_axis0": "m.cumprod(0)",
    "cummin_axis1": "m.cummin(1)",
    "cummax_axis0": "m.cummax(0)",
    "cummax_axis1": "m.cummax(1)",
    "count_nonzero": "b.count_nonzero()",
    # order
    "sort": "x.sort()",
    "sort_axis0": "m.sort(0)",
    "sort_axis1": "m.sort(1)",
    "sort_i64": "i.sort()",
    "argsort": "x.argsort()",
    "argsort_axis1": "m.argsort(1)",
    "topk": "m.topk(3)",
    "topk_flat": "x.topk(8)",
    "kthvalue": "m.kthvalue(2)",
    "median": "x.median()",
    "median_axis1": "m.median(1)",
    "mode": "k.mode(1)",
    "quantile": "m.quantile(0.3, 1)",
    "unique": "l.unique()",
    "unique_counts": "l.unique(return_counts=True)",
    "searchsorted": "t.searchsorted(s, x)",
    "bucketize": "t.bucketize(x, s[:9])",
    "histc": "x.histc(20, -2.0, 2.0)",
    "bincount": "l.bincount()",
    "isin": "t.isin(i, l[:10])",
    # places
    "nonzero": "b.nonzero()",
    "gather": "m.gather(1, k)",
    "gather_axis0": "m.gather(0, k)",
    "take_along_dim": "t.take_along_dim(m, k, 1)",
    "scatter": "m.scatter(1, k[:, :1], 2.0)",
    "scatter_add": "m.scatter_add(1, k, w)",
    "scatter_reduce": "m.scatter_reduce(1, k, w, 'amax')",
    "index_select": "m.index_select(0, a)",
    "index_select_axis1": "m.index_select(1, a)",
    "index_rows": "m[a]",
    "index_pairs": "m[a, a]",
    "index_mask": "x[bx]",
    "index_flat": "x[i]",
    "index_list": "m[:, [0, 1]]",
    "set_rows": "(n.__setitem__(a, h), n)[1]",
    "set_mask": "(z.__setitem__(bx, 0.5), z)[1]",
    "set_pairs": "(n.__setitem__((a, a), h[0]), n)[1]",
    "scatter_": "n.scatter_(1, k, h)",
    "index_fill_": "n.index_fill_(0, a, 0.5)",
    "masked_scatter": "m.masked_scatter(b, w)",
    "index_add": "m.index_add(0, a, w)",
    "index_put": "m.index_put((o,), w)",
    "index_put_add": "m.index_put((a,), w, accumulate=True)",
    "embedding": "F.embedding(a, m)",
    "one_hot": "F.one_hot(a, k.shape[1])",
    "slice": "m[1:, :-1]",
    "select": "m[:, 1]",
    "diagonal": "m.diagonal().clone()",
    "triu": "m.triu()",
    "tril": "m.tril()",
    "diag": "t.diag(r)",
    "kron": "t.kron(m[:4, :4], w[:100, :100])",
    # copies
    "cat": "t.cat([m, w])",
    "cat_axis1": "t.cat([m, w], 1)",
    "stack": "t.stack([x, y])",
    "stack_last": "t.stack([x, y], -1)",
    "cat_many": "t.cat([x, y] * 5)",
    "stack_rows": "t.stack([row for row in m[:10]])",
    "split": "m.split(2, 1)",
    "chunk": "m.chunk(2)",
    "unbind": "m.unbind(0)",
    "transpose_copy": "m.t().contiguous()",
    "permute_021": "c.permute(0, 2, 1).contiguous()",
    "permute_102": "c.permute(1, 0, 2).contiguous()",
    "permute_nhwc": "q.permute(0, 2, 3, 1).contiguous()",
    "reshape_copy": "m.t().reshape(-1)",
    "repeat": "m.repeat(1, 2)",
    "repeat_interleave": "m.repeat_interleave(2, 0)",
    "expand_copy": "r.expand(m.shape).contiguous()",
    "pad": "F.pad(q, (1, 1, 1, 1))",
    "pad_reflect": "F.pad(q, (1, 1, 1, 1), mode='reflect')",
    "pad_replicate": "F.pad(q, (1, 1, 1, 1), mode='replicate')",
    "pad_circular": "F.pad(q, (1, 1, 1, 1), mode='circular')",
    "pad_1d": "F.pad(c, (1, 1), mode='reflect')",
    "roll": "m.roll(1, 1)",
    "flip": "m.flip(1)",
    "rot90": "t.rot90(m)",
    "meshgrid": "t.meshgrid(r, r, indexing='ij')[0].contiguous()",
    # images
    "nearest": "F.interpolate(q, scale_factor=2)",
    "bilinear": "F.interpolate(q, scale_factor=2, mode='bilinear')",
    "bicubic": "F.interpolate(q, scale_factor=2, mode='bicubic')",
    "grid_sample": "F.grid_sample(q, grid, align_corners=False)",
    "grid_sample_nearest": "F.grid_sample(q, grid, 'nearest', align_corners=False)",
    "grid_sample_border": "F.grid_sample(q, grid, padding_mode='border', align_corners=True)",
    "grid_sample_bicubic": "F.grid_sample(q, grid, 'bicubic', align_corners=False)",
    "affine_grid": "F.affine_grid(theta, q.shape, align_corners=False)",
    "max_pool": "F.max_pool2d(q, 2)",
    "max_pool_3": "F.max_pool2d(q, 3, 2, 1)",
    "avg_pool": "F.avg_pool2d(q, 2)",
    "avg_pool_3": "F.avg_pool2d(q, 3, 1, 1)",
    "adaptive_avg_pool": "F.adaptive_avg_pool2d(q, 1)",
    "adaptive_avg_pool_3": "F.adaptive_avg_pool2d(q, 3)",
    "adaptive_max_pool": "F.adaptive_max_pool2d(q, 2)",
    "unfold": "F.unfold(q, 2)",
    "fold": "F.fold(F.unfold(q, 2, stride=2), [n // 2 * 2 for n in q.shape[2:]], 2, stride=2)",
    "pixel_shuffle": "F.pixel_shuffle(q.repeat(1, 4, 1, 1), 2)",
    # layers
    "layer_norm": "F.layer_norm(m, m.shape[1:], r, r)",
    "batch_norm": "F.batch_norm(q, None, None, training=True)",
    "group_norm": "F.group_norm(q, 1)",
    "instance_norm": "F.instance_norm(q)",
    "normalize": "F.normalize(m, dim=1)",
    "glu": "F.glu(m)",
    "dropout": "F.dropout(x, 0.3)",
    "conv1d": "F.conv1d(c, f1, padding=1)",
    "conv2d": "F.conv2d(q, f2, padding=1)",
    "conv_transpose1d": "F.conv_transpose1d(c, f3, stride=2)",
    "conv_transpose2d": "F.conv_transpose2d(q, f4, stride=2)",
    "bmm_8": "t.bmm(e8, e8)",
    "bmm_16": "t.bmm(e16, e16)",
    "lstm_cell": "cells[0](m, (m, w))",
    "gru_cell": "cells[1](m, w)",
    "rnn_cell": "cells[2](m, w)",
    # losses
    "mse": "F.mse_loss(x, y.detach())",
    "l1": "F.l1_loss(x, y.detach())",
    "smooth_l1": "F.smooth_l1_loss(x, y.detach())",
    "cross_entropy": "F.cross_entropy(m, a)",
    "nll": "F.nll_loss(m, a)",
    "bce": "F.binary_cross_entropy(x.sigmoid(), bx.float())",
    "bce_logits": "F.binary_cross_entropy_with_logits(x, bx.float())",
    "kl_div": "F.kl_div(m, w.detach().softmax(1), reduction='batchmean')",
    "cosine_similarity": "F.cosine_similarity(m, w)",
    "huber": "F.huber_loss(x, y.detach())",
    "cross_entropy_smooth": "F.cross_entropy(m, a, label_smoothing=0.1)",
    "cross_entropy_probs": "F.cross_entropy(m, w.detach().softmax(1))",
    "gaussian_nll": "F.gaussian_nll_loss(x, y.detach(), p)",
    "poisson_nll": "F.poisson_nll_loss(x, p.detach())",
    "hinge_embedding": "F.hinge_embedding_loss(x, y.detach().sign())",
    "soft_margin": "F.soft_margin_loss(x, y.detach().sign())",
    "margin_ranking": "F.margin_ranking_loss(x, y, p.detach().sign())",
    "triplet": "F.triplet_margin_loss(m, w, m.flip(1))",
    "cosine_embedding": "F.cosine_embedding_loss(m, w, a.sign() * 2 - 1)",
    "multi_margin": "F.multi_margin_loss(m, a)",
    "multilabel_soft_margin": "F.multilabel_soft_margin_loss(m, b.float())",
    "pairwise_distance": "F.pairwise_distance(m, w)",
    # drawn
    "rand": "t.rand(x.shape)",
    "randn": "t.randn(x.shape)",
    "randint": "t.randint(0, 10, x.shape)",
    "randperm": "t.randperm(x.shape[0])",
    "bernoulli": "t.bernoulli(p.detach().clamp(0, 1))",
    "multinomial": "t.multinomial(m.detach().abs() + 0.1, 2)",
    "normal_": "z.normal_()",
    "uniform_": "z.uniform_(-1, 1)",
    "randn_like": "t.randn_like(x)",
    "categorical": "t.distributions.Categorical(logits=m).sample()",
    # made
    "zeros": "t.zeros(x.shape)",
    "ones_like": "t.ones_like(x)",
    "full": "t.full(x.shape, 2.5)",
    "arange": "t.arange(x.shape[0])",
    "linspace": "t.linspace(0, 1, x.shape[0])",
    "eye": "t.eye(r.shape[0])",
    # distances and sums by letters
    "cdist": "t.cdist(m[:100, :20], w[:100, :20])",
    "einsum_trace": "t.einsum('ii->', m)",
    "einsum_sum": "t.einsum('ijk->j', c)",
    "einsum_outer": "t.einsum('i,j->ij', r, r)",
    "einsum_matmul": "t.einsum('ij,jk->ik', m, w)",
    "einsum_batched": "t.einsum('bij,bkj->bik', c, c)",
    "tensordot": "t.tensordot(c, c, dims=([0, 2], [0, 2]))",
    "outer": "t.outer(r, r)",
}
DRAWN = ("rand", "randn", "randint", "randperm", "bernoulli", "multinomial", "normal_", "dropout")
DRAWN += ("uniform_", "randn_like", "categorical")
# of an equal choice either may be named; sums of many random signs, and products of many numbers
LOOSE = ("mode", "prod", "prod_axis1", "cumprod_axis1")


@functools.cache
def inputs(library: str, n: int, grad: bool) -> dict[str, Any]:
    """Inputs of n elements: x, y, p, z vectors, m, w squares, c a cube, q images, and others."""
    t, random = importlib.import_module(library), np.random.default_rng(0)
    side, edge = round(n**0.5), {16: (2, 2, 4), 10_000: (20, 25, 20)}.get(n, (100, 100, 100))
    images = {16: (1, 1, 4, 4), 10_000: (4, 4, 25, 25)}.get(n, (8, 8, 125, 125))
    floats = {
        "x": random.permutation(np.linspace(-3, 3, n)),  # no two alike
        "y": random.normal(size=n),
        "p": random.random(n) + 0.1,
        "m": random.permutation(np.linspace(-3, 3, side * side)).reshape(side, side),
        "w": random.normal(size=(side, side)),
        "r": random.random(side),
        "c": random.normal(size=edge),
        "q": random.normal(size=images),
    }
    others = {
        "z": random.normal(size=n).astype(np.float32),
        "z0": random.normal(size=n).astype(np.float32),
        "n": random.normal(size=(side, side)).astype(np.float32),
        "h": np.zeros((side, side), np.float32),
        "s": np.sort(random.normal(size=max(16, n // 10))).astype(np.float32),
        "grid": (random.random((images[0], *images[2:], 2)) * 2 - 1).astype(np.float32),
        "i": random.integers(0, n, n),
        "j": random.integers(0, n, n),
        "l": random.integers(0, 100, n),
        "k": random.integers(0, side, (side, side)),
        "a": random.integers(0, side, side),
        "o": random.permutation(side),
        "b": random.random((side, side)) < 0.5,
        "bx": random.random(n) < 0.5,
    }
    kernels = {"f1": (4, edge[1], 3), "f2": (4, images[1], 3, 3)}
    kernels |= {"f3": (edge[1], 4, 2), "f4": (images[1], 4, 2, 2)}
    batch = max(1, n // 1000)
    squares = {"e8": (batch, 8, 8), "e16": (batch, 16, 16), "theta": (images[0], 2, 3)}
    pairs = {"v": (n // 2, 2), "u": (min(side, 200),) * 2 + (2,)}
    shapes = kernels | squares | pairs
    floats |= {name: random.normal(size=shape) for name, shape in shapes.items()}
    made = {name: t.tensor(value.astype(np.float32)) for name, value in floats.items()}
    made["d"] = t.tensor(floats["x"])
    for tensor in made.values():
        tensor.requires_grad_(grad)
    made["cells"] = t.nn.ModuleList(
        [cell(side, side) for cell in (t.nn.LSTMCell, t.nn.GRUCell, t.nn.RNNCell)]
    )
    for parameter in made["cells"].parameters():
        parameter.data = t.tensor((random.normal(size=parameter.shape) / 10).astype(np.float32))
        parameter.requires_grad_(grad)
    return made | {name: t.tensor(value) for name, value in others.items()}


def first(result: Any) -> Any:
    return result[0] if isinstance(result, (tuple, list)) else result


def case(library: str, name: str) -> tuple[Callable[[], Any], dict[str, Any]] | None:
    """A function that runs a case and gives its first result, and its leaves; None without one."""
    operation, size, way = name.split("/")
    t = importlib.import_module(library)
    names: dict[str, Any] = {"t": t, "F": importlib.import_module(f"{library}.nn.functional")}
    leaves = inputs(library, SIZES[size], way == "g")
    for leaf in leaves.values():
        leaf.grad = None
    forward = eval(f"lambda: {OPERATIONS[operation]}", names | leaves)
    if way == "f":
        return lambda: first(forward()), {}
    out = first(forward())
    if not out.requires_grad:
        return None
    g = t.tensor(np.random.default_rng(1).normal(size=tuple(out.shape)).astype(np.float32))
    g = g.to(out.dtype)
    out.backward(g)
    used = {key: leaf for key, leaf in leaves.items() if leaf.grad is not None}

    def both() -> Any:
        for leaf in used.values():
            leaf.grad = None
        result = first(forward())
        result.backward(g)
        return result

    return both, used


def prepare(library: str, name: str) -> Callable[[], Any]:
    made = case(library, name)
    assert made is not None
    return made[0]


def differs(name: str) -> str | None:
    """Why a case cannot be timed: what differs between the libraries, or that there is none."""
    ours, theirs = case("twofold", name), case("torch", name)
    if ours is None or theirs is None:
        return "no gradient" if ours is theirs else "only one has a gradient"
    results = [(made[0](), made[1]) for made in (ours, theirs)]
    if name.split("/")[0] in DRAWN:
        return None if results[0][0].shape == results[1][0].shape else "another shape"
    if results[0][1].keys() != results[1][1].keys():
        return "gradients of other inputs"
    pairs = [(results[0][0], results[1][0])]
    pairs += [(leaf.grad, results[1][1][key].grad) for key, leaf in results[0][1].items()]
    for mine, other in pairs:
        a, b = (value.detach().double().numpy() for value in (mine, other))
        bound = 1e-2 if name.split("/")[0] in LOOSE else 1e-4
        near = bound * max(1.0, np.sqrt(b.size) / 10)
        if a.shape != b.shape or not np.allclose(a, b, bound, near):
            return "another result"
    return None


def measure(runners: list[Contestant], name: str, rounds: int) -> tuple[float, ...]:
    """Microseconds of each library: the fastest of the rounds."""
    turns = [[runner.time(name) * 1e6 for runner in runners] for _ in range(rounds)]
    return tuple(min(column) for column in zip(*turns, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("patterns", nargs="*", default=["*"])
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    chosen = [o for o in OPERATIONS if any(fnmatch.fnmatch(o, p) for p in args.patterns)]
    columns = [f"{size}/{way}" for size in args.sizes for way in WAYS]
    print(f"{'ours / PyTorch':<22}" + "".join(f"{column:>10}" for column in columns))
    libraries = ("twofold", "torch")
    runners = [Contestant("bench.sweep", name, args.threads, SECONDS) for name in libraries]
    slower = []
    for operation in chosen:
        reasons = {column: differs(f"{operation}/{column}") for column in columns}
        cases = [f"{operation}/{column}" for column in columns if reasons[column] is None]
        times = {name: measure(runners, name, args.rounds) for name in cases}
        ratios = {name: ours / theirs for name, (ours, theirs) in times.items()}
        slower += [(ratios[name], name, *times[name]) for name in cases if ratios[name] > 1]
        cells = (ratios.get(f"{operation}/{column}") for column in columns)
        line = "".join(f"{'-' if ratio is None else f'{ratio:.2f}':>10}" for ratio in cells)
        print(f"{operation:<22}{line}", flush=True)
        for column, reason in reasons.items():
            if reason not in (None, "no gradient"):
                print(f"    {column}: {reason}", flush=True)
    for runner in runners:
        runner.process.kill()
    print(f"\n{len(slower)} cases are slower than PyTorch's:")
    for ratio, name, ours, theirs in sorted(slower, reverse=True):
        print(f"{ratio:>8.2f}  {name:<34}{ours:>12.2f} us {theirs:>12.2f} us")


if __name__ == "__main__":
    main()
