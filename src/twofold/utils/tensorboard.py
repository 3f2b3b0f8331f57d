"""SummaryWriter under PyTorch's name: TensorBoard's event files, without TensorBoard. Floor 13.

The files are written by `twofold.saving.events`; `pip install tensorboard` is needed only where
they are looked at: `tensorboard --logdir runs`.
"""

from __future__ import annotations

import io
import json
import math
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.tensor import Tensor
from twofold.saving import events, plugins
from twofold.saving.events import EventFile

__all__ = ["SummaryWriter"]


def _array(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _number(value: Any) -> float:
    array = _array(value)
    if array.size != 1:
        what = f"a scalar has one element, this value has {array.size}"
        raise ShapeError("add_scalar", what, hint="value.mean(), or add_histogram")
    return float(array.reshape(()))


def default_bins() -> Any:
    """TensorBoard's: from 1e-12 to 1e20 by tenths, both signs, and 0."""
    edges = 1e-12 * 1.1 ** np.arange(774)
    return np.concatenate([-edges[::-1], [0], edges])


@final
class SummaryWriter:
    """Writes scalars, histograms, images and text to `log_dir` for TensorBoard.

    >>> with SummaryWriter("runs/first") as writer:
    ...     writer.add_scalar("loss", loss, step)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if log_dir is None:
            now = time.strftime("%b%d_%H-%M-%S")
            log_dir = Path("runs") / f"{now}_{socket.gethostname()}{comment}"
        self.log_dir = str(log_dir)
        self.suffix, self.flush_secs = filename_suffix, flush_secs
        self.files: dict[str, EventFile] = {}
        self.flushed = time.monotonic()
        self._file()

    def _file(self, folder: str = "") -> EventFile:
        if folder not in self.files:
            self.files[folder] = EventFile(Path(self.log_dir) / folder, self.suffix)
        return self.files[folder]

    def _add(self, summary: bytes, step: Any, wall_time: float | None, folder: str = "") -> None:
        self._file(folder).add(summary, None if step is None else int(step), wall_time)
        if time.monotonic() - self.flushed > self.flush_secs:
            self.flush()

    def get_logdir(self) -> str:
        return self.log_dir

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """One number. Raises ShapeError for more."""
        self._add(events.scalar(tag, _number(scalar_value)), global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Numbers in one chart: each is a run of its own, in a folder of its own."""
        for tag, value in tag_scalar_dict.items():
            folder = f"{main_tag}_{tag}".replace("/", "_")
            self._add(events.scalar(main_tag, _number(value)), global_step, walltime, folder)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How values are spread. Raises ArgumentError where there are none, or not finite ones."""
        array = _array(values)
        if not array.size or not np.isfinite(array.astype(np.float64)).all():
            what = "there are no values" if not array.size else "some values are not finite"
            raise ArgumentError("add_histogram", what, hint="values[isfinite(values)]")
        edges = default_bins() if isinstance(bins, str) and bins == "tensorflow" else bins
        self._add(events.histogram(tag, array, edges), global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """A picture, u8 or floats from 0 to 1, with axes as `dataformats` says (CHW, HWC or HW).

        Raises ShapeError for other numbers of axes or channels.
        """
        pixels = _pixels(_array(img_tensor), dataformats)
        self._add(events.image(tag, pixels), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Pictures side by side, eight in a row."""
        array = _array(img_tensor)
        axes = dataformats.upper().replace("N", "")
        each = [_pixels(one, axes) for one in np.moveaxis(array, dataformats.upper().index("N"), 0)]
        rows = [each[i : i + 8] for i in range(0, len(each), 8)]
        rows[-1] += [np.zeros_like(each[0])] * (len(rows[0]) - len(rows[-1]))
        grid = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
        self._add(events.image(tag, grid), global_step, walltime)

    def add_text(
        self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Markdown."""
        self._add(events.text(tag, text_string), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        run_name: str | None = None,
        global_step: Any = None,
    ) -> None:
        """The settings of a run, as a table for TensorBoard's HPARAMS page and as text, and its
        results as scalars, in a folder of their own.
        """
        folder = str(time.time()) if run_name is None else run_name
        settings = {name: _plain(value) for name, value in hparam_dict.items()}
        for summary in plugins.hparams(settings, list(metric_dict)):
            self._add(summary, None, None, folder)
        shown = json.dumps(settings, indent=4, default=str)
        lines = "\n".join(f"    {line}" for line in shown.splitlines())
        self._add(events.text("hparams", lines), global_step, None, folder)
        for tag, value in metric_dict.items():
            self._add(events.scalar(tag, _number(value)), global_step, None, folder)

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Precision against recall, of labels (0 or 1) and probabilities. Raises ShapeError where
        they differ in size.
        """
        truth, scores = _array(labels), _array(predictions)
        if truth.size != scores.size:
            what = f"{truth.size} labels and {scores.size} predictions"
            raise ShapeError("add_pr_curve", what, hint="one of each")
        given = None if weights is None else _array(weights)
        counts = plugins.pr_curve_counts(truth, scores, min(num_thresholds, 127), given)
        self._add(plugins.pr_curve(tag, counts), global_step, walltime)

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: Any = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Sound from -1 to 1: a row of samples, or f32[1, length]. Raises ShapeError for more."""
        samples = _array(snd_tensor).astype(np.float32).squeeze()
        if samples.ndim != 1:
            raise ShapeError("add_audio", f"{samples.ndim} axes are no sound", hint="x[0]")
        self._add(plugins.audio(tag, samples[:, None], sample_rate), global_step, walltime)

    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: Mapping[str, Any] | None = None,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Points f32[n, points, 3], with colours of the same shape from 0 to 255, and triangles
        i64[n, faces, 3] of the points' numbers.
        """
        parts = {"VERTEX": _array(vertices).astype(np.float32)}
        if faces is not None:
            parts["FACE"] = _array(faces).astype(np.int32)
        if colors is not None:
            parts["COLOR"] = _array(colors).astype(np.uint8)
        for name, array in parts.items():
            if array.ndim != 3 or array.shape[-1] != 3:
                hint = "[n, points, 3]: x[None] for one"
                raise ShapeError("add_mesh", f"{name} has shape {array.shape}", hint=hint)
        settings = json.dumps(config_dict or {}, sort_keys=True)
        self._add(plugins.mesh(tag, parts, settings), global_step, walltime)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: Any = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """What Matplotlib has drawn, a figure or a list of them, as pictures `tag`, `tag/1`, ..."""
        for number, one in enumerate(figure if isinstance(figure, (list, tuple)) else [figure]):
            file = io.BytesIO()
            one.savefig(file, format="png")
            name = f"{tag}/{number}" if number else tag
            self._add(plugins.png_image(name, file.getvalue()), global_step, walltime)
            if close and "matplotlib.pyplot" in sys.modules:
                sys.modules["matplotlib.pyplot"].close(one)

    def add_embedding(
        self,
        mat: Any,
        metadata: Any = None,
        label_img: Any = None,
        global_step: Any = None,
        tag: str = "default",
        metadata_header: Any = None,
    ) -> None:
        """Vectors f32[n, d] for TensorBoard's projector, with a label and a picture for each
        (u8 or floats [n, channels, height, width]).

        They are files beside the events. Raises ShapeError where the numbers differ.
        """
        rows = _array(mat)
        if rows.ndim != 2:
            raise ShapeError("add_embedding", f"{rows.ndim} axes are no rows", hint="[n, d]")
        for what, given in (("labels", metadata), ("pictures", label_img)):
            if given is not None and len(given) != len(rows):
                raise ShapeError("add_embedding", f"{len(given)} {what} for {len(rows)} rows")
        step = 0 if global_step is None else int(global_step)
        safe = "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in tag)
        place = f"{step:05d}/{safe}"
        folder = Path(self.log_dir) / place
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["\t".join(map(repr, row)) for row in rows.astype(np.float64).tolist()]
        (folder / "tensors.tsv").write_text("\n".join(lines) + "\n")
        told = [f'tensor_name: "{tag}:{step:05d}"', f'tensor_path: "{place}/tensors.tsv"']
        if metadata is not None:
            (folder / "metadata.tsv").write_text(_labels(metadata, metadata_header))
            told.append(f'metadata_path: "{place}/metadata.tsv"')
        if label_img is not None:
            height, width = _array(label_img).shape[2:]
            (folder / "sprite.png").write_bytes(events.png(_sprite(_array(label_img))))
            told.append(f'sprite {{ image_path: "{place}/sprite.png"')
            told.append(f"single_image_dim: {width} single_image_dim: {height} }}")
        with open(Path(self.log_dir) / "projector_config.pbtxt", "a") as config:
            config.write("embeddings {\n" + "".join(f"  {line}\n" for line in told) + "}\n")

    def add_graph(
        self,
        model: Any,
        input_to_model: Any = None,
        verbose: bool = False,
        use_strict_trace: bool = True,
    ) -> None:
        """The modules of a model, as text."""
        lines = "\n".join(f"    {line}" for line in repr(model).splitlines())
        self._add(events.text("graph", lines), None, None)

    def flush(self) -> None:
        """See that all that was added is in the files."""
        self.flushed = time.monotonic()
        for file in self.files.values():
            file.flush()

    def close(self) -> None:
        for file in self.files.values():
            file.close()
        self.files = {}

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _labels(metadata: Any, header: Any) -> str:
    """A line for each; several columns have a header."""
    rows = [row if header else [row] for row in metadata]
    rows = [header, *rows] if header else rows
    lines = ["\t".join(str(part).replace("\n", " ") for part in row) for row in rows]
    return "\n".join(lines) + "\n"


def _sprite(pictures: Any) -> Any:
    """Pictures [n, channels, height, width] as one: rows of as many as there are rows."""
    each = [_pixels(one, "CHW") for one in pictures]
    side = math.ceil(math.sqrt(len(each)))
    each += [np.zeros_like(each[0])] * (side * side - len(each))
    rows = [np.concatenate(each[i : i + side], axis=1) for i in range(0, len(each), side)]
    return np.concatenate(rows, axis=0)


def _plain(value: Any) -> Any:
    return _array(value).tolist() if isinstance(value, Tensor | np.ndarray | np.generic) else value


def _pixels(array: Any, axes: str) -> Any:
    """u8[height, width, channels]."""
    names = axes.upper()
    if array.ndim != len(names) or sorted(names) not in (["C", "H", "W"], ["H", "W"]):
        what = f"{array.ndim} axes are not {axes}"
        raise ShapeError("add_image", what, hint='dataformats="HWC", "CHW" or "HW"')
    if "C" not in names:
        array, names = array[None], f"C{names}"
    turned = array.transpose([names.index(axis) for axis in "HWC"])
    if turned.shape[-1] not in (1, 3, 4):
        what = f"{turned.shape[-1]} channels are no picture"
        raise ShapeError("add_image", what, hint="1, 3 or 4, where dataformats says C")
    if turned.dtype == np.uint8:
        return turned
    return (turned.astype(np.float32) * 255).clip(0, 255).astype(np.uint8)
