"""What every distribution is: shapes, samples, log-probabilities. Floor 11."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

from twofold.base.dtypes import default_dtype
from twofold.base.errors import ArgumentError, ShapeError, TwofoldError
from twofold.distributions.constraints import Constraint, is_dependent
from twofold.ops.bind import mode, recording
from twofold.ops.creation import tensor
from twofold.ops.movement import expand
from twofold.ops.rules import broadcast
from twofold.ops.tensor import Size, Tensor, type_of
from twofold.ops.transcendental import exp


class Missing(TwofoldError, NotImplementedError):
    """A number that a distribution does not have, or not here."""


def broadcast_all(*values: Any) -> tuple[Any, ...]:
    """Numbers and tensors as tensors of one shape, and numbers in the type of the tensors."""
    dtype = next((v.dtype for v in values if isinstance(v, Tensor)), default_dtype())
    for value in values:
        if not isinstance(value, Tensor | numbers.Number):
            raise ArgumentError(
                "distribution", f"{value!r} is no tensor and no number", hint="a number or a tensor"
            )
    made = [v if isinstance(v, Tensor) else tensor(v, dtype=dtype) for v in values]
    types: Any = {f"parameter {place}": type_of(x) for place, x in enumerate(made)}
    shape = broadcast("distribution", **types)
    return tuple(x if x.array.shape == shape else expand(x, shape) for x in made)


class lazy_property:
    """A value computed when first asked for, and kept; with its gradient, whoever asks first."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with recording(True):  # sample() records nothing, and may be the first to ask
            made = instance.__dict__[self.name] = self.function(instance)
        return made


class Distribution:
    """A distribution over events of shape `event_shape`, one for each place of `batch_shape`.

    Parameters and values are checked (validate_args), but not while a graph is captured.

    >>> Normal(0.0, tensor([1.0, 2.0])).sample((3,)).shape
    twofold.Size([3, 2])
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support: Any = None

    def __init__(
        self,
        batch_shape: Any = (),
        event_shape: Any = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args and mode.capture is None:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            if name not in self.__dict__:
                continue  # one that is derived from another
            value: Any = self.__dict__[name]
            if isinstance(value, Tensor) and not is_dependent(constraint):
                self._check_parameter(name, value, constraint)

    def _check_parameter(self, name: str, value: Tensor, constraint: Constraint) -> None:
        inside: Any = constraint.check(value)
        if bool(inside.all()):
            return
        first = value.array[~inside.array].reshape(-1, *value.array.shape[inside.array.ndim :])[0]
        facts: Any = {name: f"{type_of(value)}, which holds {first.tolist()}"}
        problem = f"{name} does not satisfy {constraint}"
        hint = constraint.in_words(name)
        raise ArgumentError(type(self).__name__, problem, hint=hint, **facts)

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether parameters and values are checked where nothing else is said."""
        Distribution._validate_args = bool(value)

    @property
    def batch_shape(self) -> Size:
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        return self._event_shape

    @property
    def mean(self) -> Any:
        raise Missing(type(self).__name__, "it has no mean")

    @property
    def mode(self) -> Any:
        raise Missing(type(self).__name__, "it has no mode")

    @property
    def variance(self) -> Any:
        raise Missing(type(self).__name__, "it has no variance")

    @property
    def stddev(self) -> Any:
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Any:
        """Events of shape sample_shape + batch_shape + event_shape, without a gradient."""
        with recording(False):
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """The same, as a differentiable function of the parameters."""
        raise Missing(type(self).__name__, "it has no rsample")

    def sample_n(self, n: int) -> Any:
        return self.sample((n,))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density (or probability) at a value."""
        raise Missing(type(self).__name__, "it has no log_prob")

    def cdf(self, value: Any) -> Any:
        raise Missing(type(self).__name__, "it has no cdf")

    def icdf(self, value: Any) -> Any:
        raise Missing(type(self).__name__, "it has no icdf")

    def entropy(self) -> Any:
        raise Missing(type(self).__name__, "it has no entropy")

    def perplexity(self) -> Any:
        return exp(self.entropy())

    def enumerate_support(self, expand: bool = True) -> Any:
        raise Missing(type(self).__name__, "it has no finite support")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution for a larger batch; a subclass's may give an instance to fill."""
        made = self._expand(batch_shape)
        if _instance is None:
            return made
        _instance.__dict__.update(made.__dict__)
        return _instance

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """An instance for a subclass's `expand` to fill: `_instance`, or a new one of this class.
        Raises where a subclass of `cls` has another `__init__` and no `expand` of its own.
        """
        if _instance is not None:
            return _instance
        if type(self).__init__ is not cls.__init__:  # type: ignore[misc]
            name = type(self).__name__
            raise Missing(name, "it does not define expand", hint=f"def expand in class {name}")
        return object.__new__(type(self))

    def _expand(self, batch_shape: Any) -> Any:
        shape = Size(batch_shape)
        named = {}
        for name in self._expanded:
            value = self.__dict__[name]
            inner = value.ndim - len(self._batch_shape)
            named[name] = value.expand(*shape, *value.shape[value.ndim - inner :])
        return type(self)(**named, **self._kept(), validate_args=False)

    # the parameters that `expand` expands, and what else the constructor wants
    _expanded: tuple[str, ...] = ()

    def _kept(self) -> dict[str, Any]:
        return {}

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        """Refuse a value of a wrong shape, or outside of the support."""
        if not self._validate_args or mode.capture is not None:
            return
        name = type(self).__name__
        if not isinstance(value, Tensor):
            raise ArgumentError(name, "the value is not a tensor", hint="twofold.tensor(...)")
        shape = self._extended_shape()
        for given, own in zip(reversed(value.shape), reversed(shape), strict=False):
            if given != 1 and own != 1 and given != own:
                problem = f"the value does not broadcast with {list(shape)}"
                raise ShapeError(name, problem, value=type_of(value))
        events = len(self._event_shape)
        if events and tuple(value.shape[value.ndim - events :]) != tuple(self._event_shape):
            problem = f"events have shape {list(self._event_shape)}"
            raise ShapeError(name, problem, value=type_of(value))
        if self.support is not None and not bool(self.support.check(value).all()):
            problem = f"a value is not within the support, {self.support}"
            raise ArgumentError(name, problem, value=type_of(value))

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                one = value.array.size == 1
                text = value if one else value.shape
                shown.append(f"{name}: {text}")
        return f"{type(self).__name__}({', '.join(shown)})"


class ExponentialFamily(Distribution):
    """A marker that PyTorch programs know."""


class Centred(Distribution):
    """What is symmetric about `loc`, which is its mean and its mode."""

    loc: Any

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc
