"""Real data without a download: handwritten digits, the source of Python's library. Floor 11."""

from __future__ import annotations

import gzip
import importlib.util
import os
import textwrap
from collections.abc import Iterable
from typing import final

import numpy as np

from twofold.base.errors import ArgumentError, TwofoldError
from twofold.data.dataset import TensorDataset
from twofold.data.files import CIFAR10, CIFAR100, MNIST, ImageFolder
from twofold.data.order import permutation
from twofold.ops.tensor import Tensor, wrap

__all__ = ["CIFAR10", "CIFAR100", "MNIST", "ImageFolder", "Text", "digits", "stdlib_text"]

DIGITS_FILE = ("datasets", "data", "digits.csv.gz")
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))


class MissingDataError(TwofoldError, ImportError):  # type: ignore[misc]  # both have a `path`
    """Data that comes with a package which is not installed."""


def digits(test: float = 0.2) -> tuple[TensorDataset, TensorDataset]:
    """The 1797 handwritten digits that scikit-learn ships, as (training, test) datasets.

    An item is an image, float32 [1, 8, 8] from 0 to 1, and its label, int64. The digits are in a
    fixed shuffled order; the fraction `test` at its end is for testing. (E. Alpaydin and C. Kaynak,
    "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.)

    Raises MissingDataError (an ImportError) when scikit-learn is not installed.

    >>> train, test = twofold.datasets.digits()
    """
    if not 0 <= test <= 1:
        raise ArgumentError("digits", "test is no fraction", test=test)
    with gzip.open(digits_path(), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    table = table[permutation(0, len(table))]
    images = (table[:, :64] / 16).reshape(-1, 1, 8, 8)
    labels = table[:, 64].astype(np.int64)
    middle = len(table) - round(len(table) * test)
    return (
        TensorDataset(wrap(images[:middle]), wrap(labels[:middle])),
        TensorDataset(wrap(images[middle:]), wrap(labels[middle:])),
    )


def digits_path() -> str:
    """Where scikit-learn keeps the file: it is read without importing the package."""
    package = importlib.util.find_spec("sklearn")
    folder = os.path.dirname(package.origin) if package and package.origin else ""
    path = os.path.join(folder, *DIGITS_FILE)
    if not folder or not os.path.exists(path):
        raise MissingDataError(
            "digits",
            "the digits come with scikit-learn, which is not installed",
            hint="pip install 'twofold[examples]'",
        )
    return path


@final
class Text:
    """A text over a fixed vocabulary of 96 characters: the newline and printable ASCII.

    text        the whole text
    vocabulary  the characters; a character's id is its place there
    """

    vocabulary = CHARACTERS

    def __init__(self, text: str) -> None:
        self.text = to_vocabulary(text)

    def __len__(self) -> int:
        return len(self.text)

    @property
    def ids(self) -> Tensor:
        """The whole text as ids: int64, one for each character."""
        return self.encode(self.text)

    def encode(self, text: str) -> Tensor:
        """The ids of a text: int64 [length]. What is not in the vocabulary becomes "?"."""
        codes = np.frombuffer(to_vocabulary(text).encode("ascii"), np.uint8).astype(np.int64)
        return wrap(np.where(codes == ord("\n"), 0, codes - 31))

    def decode(self, ids: Tensor | Iterable[int]) -> str:
        """The text of ids. Raises IndexError for an id outside of the vocabulary."""
        numbers = ids.array.reshape(-1).tolist() if isinstance(ids, Tensor) else ids
        return "".join(self.vocabulary[number] for number in numbers)

    def blocks(self, shortest: int = 2, longest: int = 1000) -> list[str]:
        """The parts between blank lines, without their common indent: texts of many lengths."""
        parts = (textwrap.dedent(part).strip("\n") + "\n" for part in self.text.split("\n\n"))
        return [part for part in parts if shortest <= len(part) <= longest]


def to_vocabulary(text: str) -> str:
    ascii_text = text.expandtabs(4).encode("ascii", "replace").decode("ascii")
    control = {code: None for code in (*range(10), *range(11, 32), 127)}
    return ascii_text.translate(control)


def stdlib_text(size: int = 1_000_000) -> Text:
    """The first `size` characters of the modules of Python's standard library, by name.

    Other versions of Python have other texts.

    >>> text = twofold.datasets.stdlib_text(100_000)
    >>> text.decode(text.ids[:20])
    """
    if type(size) is not int or size < 1:
        raise ArgumentError("stdlib_text", "size is no positive number", size=repr(size))
    folder = os.path.dirname(os.__file__)
    parts: list[str] = []
    missing = size
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".py")):
        if missing <= 0:
            break
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            parts.append(to_vocabulary(file.read()))
        missing -= len(parts[-1])
    if not parts:
        raise MissingDataError("stdlib_text", "this Python has no source of its library", at=folder)
    return Text("".join(parts)[:size])
