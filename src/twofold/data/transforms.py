"""What is done to images on their way into a batch. Floor 11.

An image is a u8 or float array [height, width] or [height, width, channels], as the readers of
data/files.py and Pillow give, or a tensor [..., channels, height, width] from ToTensor on. Random
ones draw from the batch's own stream, so a batch is the same whichever worker makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError
from twofold.data.seeds import draw_seed
from twofold.nn.functional import interpolate
from twofold.ops.bind import recording
from twofold.ops.tensor import Tensor, type_of, wrap

Array = npt.NDArray[Any]

__all__ = [
    "CenterCrop",
    "Compose",
    "Lambda",
    "Normalize",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "Resize",
    "ToTensor",
]


@final
class Compose:
    """Transforms one after the other.

    >>> Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), ToTensor()])
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image


@final
class Lambda:
    """A function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)


@final
class ToTensor:
    """An image as a float tensor [channels, height, width]; u8 from 0 to 255 becomes 0 to 1."""

    def __call__(self, image: Any) -> Tensor:
        if isinstance(image, Tensor):
            hint = "leave ToTensor out: this is a tensor"
            raise DTypeError("ToTensor", "this is no image", input=type_of(image), hint=hint)
        values = np.asarray(image)
        if values.ndim not in (2, 3):
            raise ArgumentError("ToTensor", "an image has 2 or 3 axes", shape=values.shape)
        planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
        if planes.dtype == np.uint8:
            kind = dtypes.default_dtype().numpy
            return wrap(np.ascontiguousarray(planes).astype(kind) / kind.type(255))
        dtypes.of(planes.dtype)
        return wrap(np.ascontiguousarray(planes))


@final
class Normalize:
    """(image - mean) / std, channel by channel, of a tensor [..., channels, height, width]."""

    def __init__(
        self, mean: Sequence[float] | float, std: Sequence[float] | float, inplace: bool = False
    ) -> None:
        self.mean = np.atleast_1d(np.asarray(mean, np.float64))
        self.std = np.atleast_1d(np.asarray(std, np.float64))
        if (self.std == 0).any():
            raise ArgumentError("Normalize", "a standard deviation is 0", std=std)

    def __call__(self, image: Tensor) -> Tensor:
        if not isinstance(image, Tensor) or not image.dtype.is_floating_point or image.ndim < 3:
            raise DTypeError(
                "Normalize", "this is no float tensor [channels, height, width]",
                got=type_of(image) if isinstance(image, Tensor) else type(image).__name__,
                hint="ToTensor() before it",
            )  # fmt: skip
        kind = image.array.dtype
        mean, std = (part.astype(kind)[:, None, None] for part in (self.mean, self.std))
        return wrap((image.array - mean) / std)


class Placed:
    """A transform that moves pixels: the same for arrays and tensors, which keep their kind."""

    def __call__(self, image: Any) -> Any:
        if isinstance(image, Tensor):
            return wrap(np.ascontiguousarray(self.move(image.array, -2)))
        values = np.asarray(image)
        return np.ascontiguousarray(self.move(values, 0))

    def move(self, image: Array, axis: int) -> Array:
        """The pixels; height is on `axis`, width on the next."""
        raise TypeError(f"{type(self).__name__} does not define move")


def pair(size: Any) -> tuple[int, int]:
    first, *rest = size if isinstance(size, Sequence) else (size,)
    return int(first), int(rest[0] if rest else first)


def cut(image: Array, axis: int, corner: tuple[int, int], size: tuple[int, int]) -> Array:
    """`size` pixels from `corner` on."""
    index: list[Any] = [slice(None)] * image.ndim
    for offset in (0, 1):
        start = corner[offset]
        index[(axis + offset) % image.ndim] = slice(start, start + size[offset])
    part: Array = image[tuple(index)]
    return part


def padded(
    image: Array, axis: int, sides: tuple[int, int, int, int], fill: Any, mode: str
) -> Array:
    """With that many pixels more on the left, top, right and bottom."""
    widths = [(0, 0)] * image.ndim
    widths[axis % image.ndim] = (sides[1], sides[3])
    widths[(axis + 1) % image.ndim] = (sides[0], sides[2])
    if mode == "constant":
        return np.pad(image, widths, constant_values=fill)
    return np.pad(image, widths, mode=MODES[mode])


MODES: dict[str, Any] = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


def sides_of(padding: Any) -> tuple[int, int, int, int]:
    """One number for all sides, two for the horizontal and the vertical ones, or four."""
    numbers = [padding] if isinstance(padding, int) else list(padding)
    if len(numbers) not in (1, 2, 4):
        raise ArgumentError("Pad", "padding is 1, 2 or 4 numbers", padding=padding)
    left, top, right, bottom = numbers * (4 // len(numbers))
    return left, top, right, bottom


@final
class Pad(Placed):
    """Pixels around the image: `fill`, or by padding_mode "edge", "reflect", "symmetric"."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        if padding_mode != "constant" and padding_mode not in MODES:
            hint = ", ".join(["constant", *MODES])
            raise ArgumentError("Pad", f"no padding mode {padding_mode!r}", hint=hint)
        self.sides, self.fill, self.mode = sides_of(padding), fill, padding_mode

    def move(self, image: Array, axis: int) -> Array:
        return padded(image, axis, self.sides, self.fill, self.mode)


@final
class CenterCrop(Placed):
    """The middle of the image; a smaller image gets zeros around it."""

    def __init__(self, size: Any) -> None:
        self.size = pair(size)

    def move(self, image: Array, axis: int) -> Array:
        height, width = image.shape[axis], image.shape[(axis + 1) % image.ndim]
        more = max(0, self.size[0] - height), max(0, self.size[1] - width)
        if any(more):
            sides = (more[1] // 2, more[0] // 2, (more[1] + 1) // 2, (more[0] + 1) // 2)
            image = padded(image, axis, sides, 0, "constant")
            height, width = image.shape[axis], image.shape[(axis + 1) % image.ndim]
        corner = round((height - self.size[0]) / 2), round((width - self.size[1]) / 2)
        return cut(image, axis, corner, self.size)


def drawn(below: int) -> int:
    """A whole number below a bound, from the stream that the batch draws from."""
    return draw_seed(None) % below


@final
class RandomCrop(Placed):
    """A part of that size at a random place, after padding if asked for.

    Raises ArgumentError where the image is smaller, unless `pad_if_needed`.
    """

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = pair(size)
        self.pad = None if padding is None else Pad(padding, fill, padding_mode)
        self.pad_if_needed, self.fill, self.mode = pad_if_needed, fill, padding_mode

    def move(self, image: Array, axis: int) -> Array:
        if self.pad is not None:
            image = self.pad.move(image, axis)
        height, width = image.shape[axis], image.shape[(axis + 1) % image.ndim]
        if self.pad_if_needed:
            down, right = max(0, self.size[0] - height), max(0, self.size[1] - width)
            image = padded(image, axis, (right, down, right, down), self.fill, self.mode)
            height, width = image.shape[axis], image.shape[(axis + 1) % image.ndim]
        if height < self.size[0] or width < self.size[1]:
            raise ArgumentError(
                "RandomCrop", "the image is smaller than the crop", image=(height, width),
                size=self.size, hint="padding=, or pad_if_needed=True",
            )  # fmt: skip
        corner = drawn(height - self.size[0] + 1), drawn(width - self.size[1] + 1)
        return cut(image, axis, corner, self.size)


class Flip(Placed):
    """What the two flips share: with probability p, the pixels of one axis in reverse."""

    offset = 0

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError(type(self).__name__, "p is no probability", p=p)
        self.p = p

    def move(self, image: Array, axis: int) -> Array:
        turn = draw_seed(None) < self.p * 2**62
        return np.flip(image, (axis + self.offset) % image.ndim) if turn else image


@final
class RandomHorizontalFlip(Flip):
    """Left becomes right with probability p."""

    offset = 1


@final
class RandomVerticalFlip(Flip):
    """Top becomes bottom with probability p."""


@final
class Resize:
    """The image in another size: (height, width), or one number for its shorter side.

    By linear interpolation between pixels, which are averaged where the image becomes smaller
    (`antialias`), or "nearest".
    """

    def __init__(
        self, size: Any, interpolation: str = "bilinear", max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:  # fmt: skip
        if interpolation not in ("bilinear", "nearest", "bicubic"):
            raise ArgumentError("Resize", f"no interpolation {interpolation!r}", hint='"bilinear"')
        self.size, self.max_size = size, max_size
        self.interpolation, self.antialias = interpolation, antialias

    def __call__(self, image: Any) -> Any:
        if isinstance(image, Tensor):
            return wrap(self.resized(image.array))
        values = np.asarray(image)
        planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
        made = self.resized(planes)
        return made[0] if values.ndim == 2 else np.ascontiguousarray(made.transpose(1, 2, 0))

    def target(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.size, Sequence) and len(self.size) == 2:
            return pair(self.size)
        short, long = sorted((height, width))
        wanted = pair(self.size)[0]
        other = int(wanted * long / short)
        if self.max_size is not None and other > self.max_size:
            wanted, other = int(self.max_size * wanted / other), self.max_size
        return (wanted, other) if height <= width else (other, wanted)

    def resized(self, planes: Array) -> Array:
        """Planes [..., height, width] in the other size, in their own type."""
        height, width = planes.shape[-2:]
        whole = planes.dtype.kind in "iub"
        values = planes.astype(np.float32) if whole else planes
        batch = values.reshape(-1, 1, height, width)
        smooth = self.interpolation != "nearest"
        options = {"align_corners": False, "antialias": bool(self.antialias)} if smooth else {}
        with recording(False):
            made = interpolate(
                wrap(batch), size=self.target(height, width), mode=self.interpolation, **options
            )
        array = made.array.reshape(*planes.shape[:-2], *made.array.shape[-2:])
        if not whole:
            return array
        limits = np.iinfo(planes.dtype if planes.dtype.kind != "b" else np.uint8)
        return np.clip(np.round(array), limits.min, limits.max).astype(planes.dtype)
