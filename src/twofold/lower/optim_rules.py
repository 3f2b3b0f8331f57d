"""What optimizers do to one element: the rules. Floor 6.

A rule is a recipe over the elements of a parameter, its gradient and its state, in PyTorch's order
of operations (2.13, single-tensor). Its numbers (rates, decays, bias corrections) come in an array,
so that a new rate compiles nothing; what is absent (momentum, decay) makes a variant of the code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

from twofold.base.records import NamedTuple
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.lower.order import MAX

Numbers = dict[str, float]
Options = Mapping[str, Any]


class Rule(NamedTuple):
    """An update, element by element.

    slots     the tensors of one row that are read, by name; those in `writes` are written too
    names     of the numbers that the recipe needs besides, in the order of their array
    numbers   the numbers, computed from the optimizer's options
    variant   from the options to what the code depends on; a part of its key
    slots_of  the slots of a variant
    recipe    (f, v, variant) -> new value for each slot it writes
    after     from the options to the numbers of the state that are others after this step
    """

    name: str
    names: tuple[str, ...]
    numbers: Callable[[Options], Numbers]
    variant: Callable[[Options], frozenset[str]]
    slots_of: Callable[[frozenset[str]], tuple[str, ...]]
    recipe: Callable[[Function, SimpleNamespace, frozenset[str]], dict[str, Value]]
    after: Callable[[Options], Numbers] = lambda options: {}


# ---- rules ---------------------------------------------------------------------------------------


def _number(x: Any) -> Any:
    """An option as a number; one that is differentiated (optim/recorded.py) stays what it is."""
    return float(x) if type(x) in (float, int) or not hasattr(x, "select") else x


def _root(x: Any) -> Any:
    return math.sqrt(x) if type(x) is float else x.sqrt()


def _flags(**flags: Any) -> frozenset[str]:
    return frozenset(name for name, value in flags.items() if value)


def _signed_gradient(v: SimpleNamespace, variant: frozenset[str]) -> Value:
    return -v.g if "maximize" in variant else v.g  # type: ignore[no-any-return]


def _sgd_numbers(options: Options) -> Numbers:
    first = bool(options.get("first", options.get("step") == 1))
    momentum = _number(options.get("momentum", 0.0))
    return {
        "lr": _number(options["lr"]),
        "decay": _number(options.get("weight_decay", 0.0)),
        "momentum": momentum,
        # the first step copies the gradient into the buffer, which is zero by then
        "kept": 0.0 if first else momentum,
        "added": 1.0 if first else 1.0 - _number(options.get("dampening", 0.0)),
    }


def _sgd_variant(options: Options) -> frozenset[str]:
    return _flags(
        maximize=options.get("maximize"),
        decay=options.get("weight_decay"),
        momentum=options.get("momentum"),
        nesterov=options.get("nesterov"),
    )


def _sgd(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    g = _signed_gradient(v, variant)
    if "decay" in variant:
        g = g + v.decay * v.p
    if "momentum" not in variant:
        return {"p": v.p - v.lr * g}
    buffer = v.buffer * v.kept + v.added * g
    g = g + v.momentum * buffer if "nesterov" in variant else buffer
    return {"p": v.p - v.lr * g, "buffer": buffer}


def _adam_numbers(options: Options, decoupled: bool) -> Numbers:
    lr, decay = _number(options["lr"]), _number(options.get("weight_decay", 0.0))
    beta1, beta2 = map(_number, options["betas"])
    step = float(options["step"])
    return {
        "step_size": lr / (1 - beta1**step),
        "correction": _root(1 - beta2**step),
        "eps": _number(options["eps"]),
        "decay": 1 - lr * decay if decoupled else decay,
        "weight": 1 - beta1,
        "rest": 1 - (1 - beta1),
        "beta2": beta2,
        "added": 1 - beta2,
    }


def _adam_variant(options: Options) -> frozenset[str]:
    return _flags(
        maximize=options.get("maximize"),
        decay=options.get("weight_decay"),
        amsgrad=options.get("amsgrad"),
        # PyTorch's lerp goes from the nearer end
        far=1 - float(options["betas"][0]) >= 0.5,
    )


def _adam(
    f: Function, v: SimpleNamespace, variant: frozenset[str], decoupled: bool
) -> dict[str, Value]:
    p, g = v.p, _signed_gradient(v, variant)
    if "decay" in variant:
        p, g = (p * v.decay, g) if decoupled else (p, g + v.decay * p)
    apart = g - v.m
    m = g - apart * v.rest if "far" in variant else v.m + v.weight * apart
    square = v.v * v.beta2 + v.added * g * g
    made = {"m": m, "v": square}
    if "amsgrad" in variant:
        square = made["most"] = MAX.merge(f, v.most, square)
    denominator = f.sqrt(square) / v.correction + v.eps
    return {"p": p - v.step_size * m / denominator, **made}


def _adam_slots(variant: frozenset[str]) -> tuple[str, ...]:
    return ("p", "g", "m", "v", "most") if "amsgrad" in variant else ("p", "g", "m", "v")


ADAM_NAMES = ("step_size", "correction", "eps", "decay", "weight", "rest", "beta2", "added")


def _adam_rule(name: str, decoupled: bool) -> Rule:
    return Rule(
        name,
        ADAM_NAMES,
        partial(_adam_numbers, decoupled=decoupled),
        _adam_variant,
        _adam_slots,
        partial(_adam, decoupled=decoupled),
    )


SGD = Rule(
    "sgd",
    ("lr", "decay", "momentum", "kept", "added"),
    _sgd_numbers,
    _sgd_variant,
    lambda variant: ("p", "g", "buffer") if "momentum" in variant else ("p", "g"),
    _sgd,
)
# p * scale: what clip_grad_norm_ does to gradients.
SCALE = Rule(
    "scale",
    ("scale",),
    lambda options: {"scale": float(options["scale"])},
    lambda options: frozenset(),
    lambda variant: ("p",),
    lambda f, v, variant: {"p": v.p * v.scale},
)


# ---- the family of Adam --------------------------------------------------------------------------


def _decayed(v: SimpleNamespace, variant: frozenset[str]) -> tuple[Value, Value]:
    """Parameter and gradient with the decay of weights: in the gradient, or of the parameter."""
    p, g = v.p, _signed_gradient(v, variant)
    if "decoupled" in variant:
        return p * v.decay, g
    return p, g + v.decay * p if "decay" in variant else g


def _decay_number(options: Options) -> Any:
    lr, decay = _number(options["lr"]), _number(options.get("weight_decay", 0.0))
    return 1 - lr * decay if options.get("decoupled_weight_decay") else decay


def _decay_variant(options: Options) -> frozenset[str]:
    decay = bool(options.get("weight_decay"))
    decoupled = decay and options.get("decoupled_weight_decay")
    return _flags(maximize=options.get("maximize"), decay=decay, decoupled=decoupled)


def _averaged(old: Value, new: Value, v: SimpleNamespace, variant: frozenset[str]) -> Value:
    """old + weight * (new - old), from the nearer end."""
    apart = new - old
    return new - apart * v.rest if "far" in variant else old + v.weight * apart  # type: ignore[no-any-return]


def _average_numbers(weight: float) -> Numbers:
    return {"weight": weight, "rest": 1 - weight}


def _moment_variant(options: Options) -> frozenset[str]:
    return _decay_variant(options) | _flags(far=1 - float(options["betas"][0]) >= 0.5)


def _moment_numbers(options: Options) -> Numbers:
    beta1, beta2 = map(_number, options["betas"])
    return _average_numbers(1 - beta1) | {
        "decay": _decay_number(options),
        "eps": _number(options["eps"]),
        "beta2": beta2,
        "added": 1 - beta2,
    }


MOMENT_NAMES = ("weight", "rest", "decay", "eps", "beta2", "added")


def _adamax_numbers(options: Options) -> Numbers:
    correction = 1 - _number(options["betas"][0]) ** options["step"]
    return _moment_numbers(options) | {"step_size": _number(options["lr"]) / correction}


def _adamax(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    p, g = _decayed(v, variant)
    m = _averaged(v.m, g, v, variant)
    most = MAX.merge(f, v.most * v.beta2, f.abs(g) + v.eps)
    return {"p": p - v.step_size * m / most, "m": m, "most": most}


def _nadam_momenta(options: Options) -> tuple[float, float]:
    """The momenta of this step and of the next."""
    beta1, decay = _number(options["betas"][0]), _number(options["momentum_decay"])
    step = options["step"]
    now, later = (beta1 * (1 - 0.5 * 0.96 ** (at * decay)) for at in (step, step + 1))
    return now, later


def _nadam_after(options: Options) -> Numbers:
    return {"mu_product": options["mu_product"] * float(_nadam_momenta(options)[0])}


def _nadam_numbers(options: Options) -> Numbers:
    now, later = _nadam_momenta(options)
    product = options["mu_product"] * now
    lr = _number(options["lr"])
    return _moment_numbers(options) | {
        "by_gradient": lr * (1 - now) / (1 - product),
        "by_moment": lr * later / (1 - product * later),
        "correction": 1 - _number(options["betas"][1]) ** options["step"],
    }


def _nadam(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    p, g = _decayed(v, variant)
    m = _averaged(v.m, g, v, variant)
    square = v.v * v.beta2 + v.added * g * g
    below = f.sqrt(square / v.correction) + v.eps
    p = p - v.by_gradient * g / below - v.by_moment * m / below
    return {"p": p, "m": m, "v": square}


def _radam_numbers(options: Options) -> Numbers:
    beta1, beta2 = map(_number, options["betas"])
    step = options["step"]
    correction = 1 - beta2**step
    most = 2 / (1 - beta2) - 1
    length = most - 2 * step * beta2**step / correction
    rectified = length > 5.0
    factor = 1.0
    if rectified:
        above = (length - 4) * (length - 2) * most
        factor = _root(above / ((most - 4) * (most - 2) * length))
    return _moment_numbers(options) | {
        "lr": _number(options["lr"]),
        "first": 1 - beta1**step,
        "root": _root(correction),
        "factor": factor,
        "rectified": float(rectified),
    }


def _radam(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    p, g = _decayed(v, variant)
    m = _averaged(v.m, g, v, variant)
    square = v.v * v.beta2 + v.added * g * g
    step = m / v.first * v.lr
    adapted = step * (v.root / (f.sqrt(square) + v.eps)) * v.factor
    return {"p": p - v.rectified.cmp("ogt", 0.5).select(adapted, step), "m": m, "v": square}


def _moments(variant: frozenset[str]) -> tuple[str, ...]:
    return "p", "g", "m", "v"


ADAMAX = Rule(
    "adamax",
    (*MOMENT_NAMES, "step_size"),
    _adamax_numbers,
    _moment_variant,
    lambda variant: ("p", "g", "m", "most"),
    _adamax,
)
NADAM = Rule(
    "nadam",
    (*MOMENT_NAMES, "by_gradient", "by_moment", "correction"),
    _nadam_numbers,
    _moment_variant,
    _moments,
    _nadam,
    _nadam_after,
)
RADAM = Rule(
    "radam",
    (*MOMENT_NAMES, "lr", "first", "root", "factor", "rectified"),
    _radam_numbers,
    _moment_variant,
    _moments,
    _radam,
)


# ---- rates by element ----------------------------------------------------------------------------


def _adagrad_numbers(options: Options) -> Numbers:
    rate = _number(options["lr"]) / (1 + (options["step"] - 1) * _number(options["lr_decay"]))
    return {"rate": rate, "decay": _decay_number(options), "eps": _number(options["eps"])}


def _adagrad(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    p, g = _decayed(v, variant)
    total = v.total + g * g
    return {"p": p - v.rate * g / (f.sqrt(total) + v.eps), "total": total}


def _adadelta_numbers(options: Options) -> Numbers:
    rho = _number(options["rho"])
    numbers = {"lr": _number(options["lr"]), "eps": _number(options["eps"]), "rho": rho}
    return numbers | {"added": 1 - rho, "decay": _decay_number(options)}


def _adadelta(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    p, g = _decayed(v, variant)
    square = v.v * v.rho + v.added * g * g
    step = f.sqrt(v.steps + v.eps) / f.sqrt(square + v.eps) * g
    steps = v.steps * v.rho + v.added * step * step
    return {"p": p - v.lr * step, "v": square, "steps": steps}


def _rmsprop_numbers(options: Options) -> Numbers:
    alpha = _number(options["alpha"])
    return _average_numbers(1 - alpha) | {
        "lr": _number(options["lr"]),
        "alpha": alpha,
        "added": 1 - alpha,
        "eps": _number(options["eps"]),
        "decay": _decay_number(options),
        "momentum": _number(options.get("momentum", 0.0)),
    }


def _rmsprop_variant(options: Options) -> frozenset[str]:
    far = options["centered"] and 1 - float(options["alpha"]) >= 0.5
    more = _flags(momentum=options.get("momentum"), centered=options["centered"], far=far)
    return _decay_variant(options) | more


def _rmsprop_slots(variant: frozenset[str]) -> tuple[str, ...]:
    buffer = ("buffer",) if "momentum" in variant else ()
    return ("p", "g", "v", *buffer, *(("m",) if "centered" in variant else ()))


def _rmsprop(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    p, g = _decayed(v, variant)
    made = {"v": v.v * v.alpha + v.added * g * g}
    spread = made["v"]
    if "centered" in variant:
        m = made["m"] = _averaged(v.m, g, v, variant)
        spread = spread - m * m
    below = f.sqrt(spread) + v.eps
    if "momentum" not in variant:
        return {"p": p - v.lr * g / below, **made}
    made["buffer"] = v.buffer * v.momentum + g / below
    return {"p": p - v.lr * made["buffer"], **made}


def _rprop_numbers(options: Options) -> Numbers:
    (less, more), (least, most) = options["etas"], options["step_sizes"]
    return {"less": less, "more": more, "least": least, "most": most}


def _rprop(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    g = _signed_gradient(v, variant)
    turn = g * v.before
    back = turn.cmp("olt", 0.0)
    size = turn.cmp("ogt", 0.0).select(v.size * v.more, back.select(v.size * v.less, v.size))
    size = size.cmp("olt", v.least).select(v.least, size)
    size = size.cmp("ogt", v.most).select(v.most, size)
    g = back.select(g * 0.0, g)
    sign = g.cmp("ogt", 0.0).select(g * 0.0 + 1.0, g.cmp("olt", 0.0).select(g * 0.0 - 1.0, g))
    return {"p": v.p - sign * size, "before": g, "size": size}


def _asgd_numbers(options: Options) -> Numbers:
    eta = _number(options["eta"])
    keep = 1 - _number(options["lambd"]) * eta
    mu = _number(options["mu"])
    return {"eta": eta, "keep": keep, "mu": mu, "decay": _decay_number(options)}


def _asgd_after(options: Options) -> Numbers:
    lr, step = float(options["lr"]), options["step"]
    eta = lr / (1 + float(options["lambd"]) * lr * step) ** float(options["alpha"])
    return {"eta": eta, "mu": 1 / max(1, step - float(options["t0"]))}


def _asgd(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    p, g = _decayed(v, variant)
    p = p * v.keep - v.eta * g
    return {"p": p, "mean": v.mu.cmp("oeq", 1.0).select(p, v.mean + (p - v.mean) * v.mu)}


ADAGRAD = Rule(
    "adagrad",
    ("rate", "decay", "eps"),
    _adagrad_numbers,
    _decay_variant,
    lambda variant: ("p", "g", "total"),
    _adagrad,
)
ADADELTA = Rule(
    "adadelta",
    ("lr", "eps", "rho", "added", "decay"),
    _adadelta_numbers,
    _decay_variant,
    lambda variant: ("p", "g", "v", "steps"),
    _adadelta,
)
RMSPROP = Rule(
    "rmsprop",
    ("weight", "rest", "lr", "alpha", "added", "eps", "decay", "momentum"),
    _rmsprop_numbers,
    _rmsprop_variant,
    _rmsprop_slots,
    _rmsprop,
)
RPROP = Rule(
    "rprop",
    ("less", "more", "least", "most"),
    _rprop_numbers,
    lambda options: _flags(maximize=options.get("maximize")),
    lambda variant: ("p", "g", "before", "size"),
    _rprop,
)
ASGD = Rule(
    "asgd",
    ("eta", "keep", "mu", "decay"),
    _asgd_numbers,
    _decay_variant,
    lambda variant: ("p", "g", "mean"),
    _asgd,
    _asgd_after,
)


# ---- steps of one size ---------------------------------------------------------------------------


def _lion_numbers(options: Options) -> Numbers:
    lr, (beta1, beta2) = _number(options["lr"]), options["betas"]
    keep = 1 - lr * _number(options["weight_decay"])
    numbers = {"lr": lr, "keep": keep, "beta1": beta1, "added1": 1 - beta1}
    return numbers | {"beta2": beta2, "added2": 1 - beta2}


def _lion(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    g = _signed_gradient(v, variant)
    look = v.m * v.beta1 + v.added1 * g
    zero = look * 0.0  # a NaN stays one
    sign = look.cmp("ogt", 0.0).select(zero + 1.0, look.cmp("olt", 0.0).select(zero - 1.0, look))
    return {"p": v.p * v.keep - v.lr * sign, "m": v.m * v.beta2 + v.added2 * g}


def _ahead_numbers(options: Options) -> Numbers:
    momentum = _number(options["momentum"])
    return {"momentum": momentum, **_average_numbers(1 - momentum)}


def _ahead_variant(options: Options) -> frozenset[str]:
    far = float(options["momentum"]) < 0.5
    return _flags(nesterov=options["nesterov"], far=far, maximize=options.get("maximize"))


def _ahead(f: Function, v: SimpleNamespace, variant: frozenset[str]) -> dict[str, Value]:
    """An average, and where it is going: what Muon makes orthogonal."""
    g = _signed_gradient(v, variant)
    mean = _averaged(v.p, g, v, variant)
    if "nesterov" not in variant:
        return {"p": mean, "look": mean}
    apart = mean - g
    look = g + v.momentum * apart if "far" in variant else mean - apart * v.weight
    return {"p": mean, "look": look}


def _orthogonal_numbers(options: Options) -> Numbers:
    lr = _number(options["lr"])
    keep = 1 - lr * _number(options["weight_decay"])
    return {"rate": lr * _number(options["ratio"]), "keep": keep}


LION = Rule(
    "lion",
    ("lr", "keep", "beta1", "added1", "beta2", "added2"),
    _lion_numbers,
    lambda options: _flags(maximize=options.get("maximize")),
    lambda variant: ("p", "g", "m"),
    _lion,
)
AHEAD = Rule(
    "ahead",
    ("momentum", "weight", "rest"),
    _ahead_numbers,
    _ahead_variant,
    lambda variant: ("p", "g", "look"),
    _ahead,
)
# Muon's step along a gradient that was made orthogonal.
ORTHOGONAL = Rule(
    "orthogonal",
    ("rate", "keep"),
    _orthogonal_numbers,
    lambda options: frozenset(),
    lambda variant: ("p", "g"),
    lambda f, v, variant: {"p": v.p * v.keep - v.rate * v.g},
)
ALL: tuple[Rule, ...] = (
    SGD,
    _adam_rule("adam", False),
    _adam_rule("adamw", True),
    SCALE,
    ADAMAX,
    NADAM,
    RADAM,
)
ALL += (ADAGRAD, ADADELTA, RMSPROP, RPROP, ASGD, LION, AHEAD, ORTHOGONAL)
RULES = {rule.name: rule for rule in ALL}
