"""Data sets from local files: MNIST's, CIFAR's, tables of text, folders of images. Floor 11.

Nothing is downloaded, and nothing in a file is run: CIFAR's pickles are read by the machine of
saving/pickles.py, which knows numbers, texts and arrays.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base.errors import ArgumentError, TwofoldError
from twofold.data.dataset import Dataset
from twofold.ops.tensor import Tensor, wrap
from twofold.saving.container import DamagedFileError
from twofold.saving.pickles import PLAIN_NAMES, Constructor, Machine

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class MissingFileError(TwofoldError, FileNotFoundError):
    """Files of a data set that are not in the folder."""

    __str__ = TwofoldError.__str__


def damaged(op: str, problem: str, path: Path) -> DamagedFileError:
    return DamagedFileError(op, problem, path=os.fspath(path), hint="another copy of the file")


def read_idx(path: Path) -> Tensor:
    """The array of an idx file, packed by gzip or not: u8, i8, i16, i32, f32 or f64.

    Raises DamagedFileError for a file that is cut off or of another kind.
    """
    data = read_bytes(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_TYPES:
        raise damaged("read_idx", "this is no idx file", path)
    storage, rank = np.dtype(IDX_TYPES[data[2]]), data[3]
    start = 4 + 4 * rank
    if len(data) < start:
        raise damaged("read_idx", "the file is cut off", path)
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    if len(data) - start != math.prod(shape) * storage.itemsize:
        raise damaged("read_idx", "the file does not hold as many numbers as it says", path)
    values = np.frombuffer(data, storage, offset=start).reshape(shape)
    return wrap(values.astype(storage.newbyteorder("=")))


def read_bytes(path: Path) -> bytes:
    name = os.fspath(path)
    if not name.endswith(".gz"):
        with open(name, "rb") as file:
            return file.read()
    try:
        with gzip.open(name, "rb") as packed:
            return packed.read()
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise damaged("read_bytes", "the gzip file cannot be read", path) from None


def find(op: str, root: Path, folders: Sequence[str], names: Sequence[str]) -> str:
    """The first of the names that is in one of the folders under root."""
    for folder in folders:
        for name in names:
            path = os.path.join(os.fspath(root), folder, name)
            if os.path.isfile(path):
                return path
    raise MissingFileError(
        op, f"there is no {names[0]} in the folder", root=os.fspath(root),
        looked_in=", ".join(folder or "." for folder in folders),
        hint="put the files there; nothing is downloaded",
    )  # fmt: skip


class Images(Dataset):
    """Images as u8 arrays with a class each, for `transform` and `target_transform` to change.

    data     all images; targets  all classes, as int64
    """

    transform: Callable[[Any], Any] | None
    target_transform: Callable[[Any], Any] | None
    data: Array
    targets: Tensor

    def __init__(
        self,
        root: Path,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.transform = transform
        self.target_transform = target_transform
        self.data, targets = self.read(root, train)
        if len(self.data) != len(targets):
            raise damaged(type(self).__name__, "there are not as many images as classes", root)
        self.targets = wrap(np.asarray(targets, np.int64))

    def read(self, root: Path, train: bool) -> tuple[Array, Any]:
        """All images and their classes."""
        raise TypeError(f"{type(self).__name__} does not define read")

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image: Any = self.data[index]
        target: Any = int(self.targets.array[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __len__(self) -> int:
        return len(self.data)


@final
class MNIST(Images):
    """Handwritten digits, u8 [28, 28], from the four idx files in `root`, packed or not.

    Also for data in the same form under the same names, such as Fashion-MNIST.

    >>> train = MNIST("data", train=True, transform=transforms.ToTensor())
    """

    def read(self, root: Path, train: bool) -> tuple[Array, Any]:
        start = "train" if train else "t10k"
        folders = ("", "raw", "MNIST/raw", "FashionMNIST/raw")
        made = []
        for kind in ("images-idx3", "labels-idx1"):
            name = f"{start}-{kind}-ubyte"
            path = find("MNIST", root, folders, (name, f"{name}.gz", name.replace("-idx", ".idx")))
            made.append(read_idx(path).array)
        return made[0], made[1]


class Cifar(Images):
    """What CIFAR-10 and CIFAR-100 share: images u8 [32, 32, 3], in Python's or the binary form."""

    def arrange(self, rows: Array) -> Array:
        """Rows of 3072 bytes, channel by channel, as images whose channels come last."""
        return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))

    def read_parts(
        self,
        root: Path,
        folders: tuple[str, ...],
        parts: list[tuple[str, str]],
        label: bytes,
        before: int,
    ) -> tuple[Array, Any]:
        """Each part by its name in Python's form, or in the binary one, `before` bytes of label."""
        images, targets = [], []
        for python, binary in parts:
            path = find(type(self).__name__, root, folders, (python, binary))
            data = read_bytes(path)
            if os.path.basename(path) == binary:
                if len(data) % (3072 + before):
                    raise damaged(type(self).__name__, "the file is cut off", path)
                table = np.frombuffer(data, np.uint8).reshape(-1, 3072 + before)
                images.append(table[:, before:])
                targets.append(table[:, before - 1].astype(np.int64))
            else:
                rows, classes = from_pickle(data, label, path)
                images.append(rows)
                targets.append(classes)
        return self.arrange(np.concatenate(images)), np.concatenate(targets)


@final
class CIFAR10(Cifar):
    """60,000 small images of 10 classes, from `data_batch_1` or `data_batch_1.bin` and so on.

    >>> test = CIFAR10("data", train=False)
    """

    def read(self, root: Path, train: bool) -> tuple[Array, Any]:
        names = [f"data_batch_{n}" for n in range(1, 6)] if train else ["test_batch"]
        folders = ("", "cifar-10-batches-py", "cifar-10-batches-bin")
        return self.read_parts(root, folders, [(n, f"{n}.bin") for n in names], b"labels", 1)


@final
class CIFAR100(Cifar):
    """60,000 small images of 100 classes, from `train` and `test` or `train.bin` and `test.bin`."""

    def read(self, root: Path, train: bool) -> tuple[Array, Any]:
        name = "train" if train else "test"
        folders = ("", "cifar-100-python", "cifar-100-binary")
        return self.read_parts(root, folders, [(name, f"{name}.bin")], b"fine_labels", 2)


@final
class Unpickled:
    """An array of a pickle, or its type, while its parts come in."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.array: Any = None

    def build(self, state: Any) -> None:
        if self.arguments and self.arguments[0] == "u1":
            return  # a type's own state says nothing more about bytes
        _, shape, kind, fortran, raw = state
        if not isinstance(kind, Unpickled) or kind.arguments[:1] != ("u1",) or fortran:
            raise ValueError("the array does not hold bytes in C order")
        self.array = np.frombuffer(raw, np.uint8).reshape(shape)


def from_pickle(data: bytes, label: bytes, path: Path) -> tuple[Array, Array]:
    """The rows and the classes of one part in Python's form."""
    made = Constructor("array", Unpickled)
    names = PLAIN_NAMES | {("numpy", "ndarray"): None, ("numpy", "dtype"): made}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names[(module, "_reconstruct")] = made
    value = Machine(data, names, build=lambda item, state: item.build(state)).run()
    table = value if isinstance(value, dict) else {}
    rows = table.get(b"data", table.get("data"))
    classes = table.get(label, table.get(label.decode()))
    array = rows.array if isinstance(rows, Unpickled) else None
    if array is None or array.ndim != 2 or array.shape[1] != 3072 or not isinstance(classes, list):
        raise damaged("CIFAR", "the file does not hold images and classes", path)
    if not all(type(each) is int for each in classes):
        raise damaged("CIFAR", "a class is no whole number", path)
    return array, np.array(classes, np.int64)


def read_csv(
    path: Path, *, delimiter: str = ",", header: bool | None = None, encoding: str = "utf-8"
) -> dict[str, Any]:
    """The columns of a table by their names: tensors (int64 or float32), or lists of texts.

    header   whether the first line holds the names; found out unless given. Without one the names
             are "0", "1", ...

    An empty field is NaN in a column of numbers. Raises DamagedFileError for lines of different
    lengths.
    """
    with open(path, encoding=encoding, newline="") as file:
        lines = [line for line in csv.reader(file, delimiter=delimiter) if line]
    if not lines:
        return {}
    for number, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            problem = f"line {number} has {len(line)} fields, the first has {len(lines[0])}"
            raise damaged("read_csv", problem, path)
    if header is None:
        header = not any(is_number(field) for field in lines[0])
    names = lines[0] if header else [str(place) for place in range(len(lines[0]))]
    if len(set(names)) < len(names):
        raise damaged("read_csv", "two columns have the same name", path)
    columns = zip(*lines[header:], strict=True) if lines[header:] else [()] * len(names)
    return {name: column(list(fields)) for name, fields in zip(names, columns, strict=True)}


def is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def column(fields: list[str]) -> Any:
    """Whole numbers, numbers, or texts: the first that all fields are."""
    try:
        return wrap(np.array([int(field) for field in fields], np.int64))
    except (ValueError, OverflowError):
        pass
    try:
        numbers = [float(field) if field.strip() else math.nan for field in fields]
    except ValueError:
        return fields
    return wrap(np.array(numbers, np.float32)) if any(map(str.strip, fields)) else fields


def read_image(path: Path, mode: str = "RGB") -> Array:
    """An image as u8 [height, width, 3], by Pillow; other modes as Pillow names them ("L").

    Raises MissingDataError (an ImportError) where Pillow is not installed.
    """
    with pillow().open(path) as image:
        return np.asarray(image.convert(mode))


def pillow() -> Any:
    """Pillow's Image module. Raises NoPillowError where it is not installed."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError:
        raise NoPillowError(
            "read_image", "images are read by Pillow, which is not installed",
            hint="pip install 'twofold[images]'",
        ) from None  # fmt: skip


class NoPillowError(TwofoldError, ImportError):  # type: ignore[misc]  # both have a `path`
    """Pillow is not installed."""


@final
class ImageFolder(Dataset):
    """The images of a folder, whose sub-folders are the classes, in the order of their names.

    classes, class_to_idx   the classes by number, and the numbers by class
    samples                 (path, class) of each image

    >>> data = ImageFolder("flowers", transform=transforms.ToTensor())
    """

    def __init__(
        self,
        root: Path,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = read_image,
    ) -> None:
        self.root, self.loader = os.fspath(root), loader
        self.transform, self.target_transform = transform, target_transform
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.samples = [
            (os.path.join(folder, name), number)
            for kind, number in self.class_to_idx.items()
            for folder, _, names in sorted(os.walk(os.path.join(self.root, kind)))
            for name in sorted(names)
            if name.lower().endswith(IMAGES)
        ]
        if not self.samples:
            raise ArgumentError(
                "ImageFolder", "the folder has no sub-folders with images", root=self.root,
                hint="root/class/image.png",
            )  # fmt: skip
        self.targets = [number for _, number in self.samples]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        image: Any = self.loader(path)
        image = image if self.transform is None else self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.samples)
