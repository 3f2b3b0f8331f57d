"""Event files: frames, messages and pictures, read back; TensorBoard's own reader where it is."""

import io
import struct
import wave
import zlib

import numpy as np
import pytest

import twofold
from twofold.saving import events
from twofold.utils.tensorboard import SummaryWriter


def records(path):
    """The messages of a file, whose checksums must hold."""
    data, made = path.read_bytes(), []
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + size]
        assert events.record(body) == data[: 16 + size]
        made.append(body)
        data = data[16 + size :]
    return made


def fields(message):
    """{number: [values]} of a protocol-buffer message; numbers as they are written, parts as
    bytes.
    """
    made, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or varint()
            value = message[at : at + size]
            at += size
        made.setdefault(key >> 3, []).append(value)
    return made


def values_of(folder):
    """(step, {field: value}) of each value in a folder's file, after the one of the version."""
    (path,) = folder.glob("events.out.tfevents.*")
    first, *rest = map(fields, records(path))
    assert first[3] == [b"brain.Event:2"]
    return [(e[2][0], fields(v)) for e in rest for v in fields(e[5][0])[1]]


def test_checksums_are_castagnolis():
    assert events.crc32c(b"123456789") == 0xE3069283
    assert events.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_scalars_with_their_steps(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for step in (0, 5, 300):
            writer.add_scalar("train/loss", twofold.tensor(step / 2), step)
    found = values_of(tmp_path)
    assert [step for step, _ in found] == [0, 5, 300]
    assert [v[1] for _, v in found] == [[b"train/loss"]] * 3
    assert [struct.unpack("<f", v[2][0])[0] for _, v in found] == [0.0, 2.5, 150.0]


def test_several_scalars_are_runs_of_their_own(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalars("both", {"a": 1, "b": np.float64(2)}, 3)
    for tag, value in (("a", 1.0), ("b", 2.0)):
        ((step, found),) = values_of(tmp_path / f"both_{tag}")
        assert (step, struct.unpack("<f", found[2][0])[0]) == (3, value)


def test_histograms_count_every_value(tmp_path):
    x = np.random.default_rng(0).standard_normal(1000)
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("w", twofold.from_numpy(x), 1)
        writer.add_histogram("w", twofold.tensor([-1, 0, 2]), 2, bins=[-2, -0.5, 0.5, 3])
    first, second = (fields(v[5][0]) for _, v in values_of(tmp_path))
    numbers = [struct.unpack("<d", first[k][0])[0] for k in range(1, 6)]
    np.testing.assert_allclose(numbers, [x.min(), x.max(), 1000, x.sum(), x @ x])
    limits, counts = np.frombuffer(first[6][0]), np.frombuffer(first[7][0])
    assert counts.sum() == 1000 and len(limits) == len(counts)
    assert counts[limits <= 0].sum() == (x < 0).sum()
    assert np.frombuffer(second[7][0]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("axes", ["CHW", "HWC", "HW"])
def test_pictures_are_png(tmp_path, axes):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    if axes == "HW":
        pixels = pixels[..., :1]
    order = {"CHW": pixels.transpose(2, 0, 1), "HWC": pixels, "HW": pixels[..., 0]}
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("im", twofold.from_numpy(order[axes].copy()), 1, dataformats=axes)
    ((_, value),) = values_of(tmp_path)
    found = fields(value[4][0])
    assert (found[1], found[2], found[3]) == ([5], [7], [pixels.shape[-1]])
    data = found[4][0]
    assert data.startswith(b"\x89PNG")
    body = data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8]
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(5, -1)
    np.testing.assert_array_equal(rows[:, 1:].reshape(pixels.shape), pixels)


def test_floats_from_0_to_1_are_bytes_and_batches_are_grids(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_images("grid", twofold.ones(9, 1, 2, 3), 1)
    ((_, value),) = values_of(tmp_path)
    found = fields(value[4][0])
    assert (found[1], found[2]) == ([4], [24])  # two rows of eight


def test_text_and_settings(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_text("note", "*so*", 2)
        writer.add_hparams({"lr": 0.1, "w": twofold.ones(2)}, {"acc": 0.5}, run_name="first")
        writer.add_graph(twofold.nn.Linear(2, 3))
    (step, note), (_, graph) = values_of(tmp_path)
    assert (step, note[1]) == (2, [b"note/text_summary"])
    assert fields(note[8][0])[8] == [b"*so*"]
    assert b"in_features=2" in fields(graph[8][0])[8][0]
    *told, settings, result = values_of(tmp_path / "first")
    names = ["experiment", "session_start_info", "session_end_info"]
    assert [value[1][0].decode() for _, value in told] == [f"_hparams_/{name}" for name in names]
    (start,) = fields(fields(fields(told[1][1][9][0])[1][0])[2][0])[3]
    pairs = {fields(p)[1][0]: fields(fields(p)[2][0]) for p in fields(start)[1]}
    assert pairs[b"lr"][2] == [struct.pack("<d", 0.1)] and pairs[b"w"][3] == [b"[1.0, 1.0]"]
    assert b'"lr": 0.1' in fields(settings[1][8][0])[8][0]
    assert result[1][1] == [b"acc"]


def test_what_cannot_be_shown_is_refused(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        with pytest.raises(ValueError, match="one element"):
            writer.add_scalar("x", twofold.ones(2))
        with pytest.raises(ValueError, match="not finite"):
            writer.add_histogram("x", twofold.tensor([1.0, float("nan")]))
        with pytest.raises(ValueError, match="no values"):
            writer.add_histogram("x", twofold.empty(0))
        with pytest.raises(ValueError, match="axes"):
            writer.add_image("x", twofold.ones(2, 3))
        with pytest.raises(ValueError, match="channels"):
            writer.add_image("x", twofold.ones(2, 3, 3))


def test_the_folder_has_a_name_unless_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = SummaryWriter(comment="_try")
    writer.close()
    assert writer.get_logdir().startswith("runs") and writer.get_logdir().endswith("_try")
    assert list((tmp_path / writer.log_dir).glob("events.out.tfevents.*"))


def test_tensorboard_reads_them(tmp_path):
    name = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(name, reason="tensorboard is not installed")
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.5, 7)
        writer.add_histogram("w", twofold.randn(100), 7)
        writer.add_image("im", twofold.rand(3, 4, 5), 7)
        writer.add_text("note", "so", 7)
    made = reader.EventAccumulator(str(tmp_path))
    made.Reload()
    assert [(e.step, e.value) for e in made.Scalars("loss")] == [(7, 0.5)]
    assert made.Histograms("w")[0].histogram_value.num == 100
    assert made.Images("im")[0].width == 5
    assert made.Tags()["tensors"] == ["note/text_summary"]


def test_precision_against_recall_is_counted_at_thresholds(tmp_path):
    labels = twofold.tensor([1, 0, 1, 1, 0])
    scores = twofold.tensor([0.9, 0.8, 0.35, 0.1, 0.05])
    with SummaryWriter(tmp_path) as writer:
        writer.add_pr_curve("pr", labels, scores, 2, num_thresholds=5)
    ((step, value),) = values_of(tmp_path)
    tensor = fields(value[8][0])
    counts = np.frombuffer(tensor[4][0], np.float32).reshape(6, 5)
    assert step == 2 and [fields(size)[1] for size in fields(tensor[2][0])[2]] == [[6], [5]]
    for place, threshold in enumerate(np.linspace(0, 1, 5)):
        # (a score counts from the threshold that lies below it)
        seen = np.floor(scores.numpy().astype(np.float64) * 4) / 4 >= threshold
        truth = labels.numpy().astype(bool)
        wanted = [(seen & truth).sum(), (seen & ~truth).sum(), (~seen & ~truth).sum()]
        assert counts[:3, place].tolist() == wanted
        assert counts[3, place] == (~seen & truth).sum()
    assert counts[4:, 0].tolist() == pytest.approx([0.6, 1.0])
    with pytest.raises(ValueError, match="5 labels and 4"):
        writer.add_pr_curve("pr", labels, scores[:4])


def test_sound_is_a_wave_file(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_audio("a", twofold.tensor([[0.0, 1.0, -2.0]]), 1, sample_rate=8000)
    ((_, value),) = values_of(tmp_path)
    found = fields(value[6][0])
    assert (found[2], found[3], found[5]) == ([1], [3], [b"audio/wav"])
    with wave.open(io.BytesIO(found[4][0])) as file:
        assert file.getframerate() == 8000
        assert np.frombuffer(file.readframes(3), "<i2").tolist() == [0, 32767, -32767]


def test_points_colours_and_triangles(tmp_path):
    points = twofold.rand(1, 4, 3)
    with SummaryWriter(tmp_path) as writer:
        writer.add_mesh("m", points, faces=twofold.tensor([[[0, 1, 2]]]))
        with pytest.raises(ValueError, match="VERTEX has shape"):
            writer.add_mesh("m", points[0])
    first, second = (value for _, value in values_of(tmp_path))
    assert (first[1], second[1]) == ([b"m_VERTEX"], [b"m_FACE"])
    assert fields(first[8][0])[4] == [points.numpy().tobytes()]


def test_vectors_for_the_projector_are_files_beside_the_events(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        pictures = twofold.rand(3, 1, 2, 5)
        writer.add_embedding(twofold.ones(3, 2), ["a", "b", "c"], pictures, 7, tag="t")
        with pytest.raises(ValueError, match="2 labels for 3 rows"):
            writer.add_embedding(twofold.ones(3, 2), ["a", "b"])
    folder = tmp_path / "00007" / "t"
    assert (folder / "tensors.tsv").read_text() == "1.0\t1.0\n" * 3
    assert (folder / "metadata.tsv").read_text() == "a\nb\nc\n"
    told = (tmp_path / "projector_config.pbtxt").read_text()
    assert 'tensor_name: "t:00007"' in told and "single_image_dim: 5 single_image_dim: 2" in told
    assert (folder / "sprite.png").read_bytes().startswith(b"\x89PNG")


def test_figures_are_pictures(tmp_path):
    class Figure:
        def savefig(self, file, format):
            assert format == "png"
            file.write(events.png(np.zeros((2, 3, 4), np.uint8)))

    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("f", [Figure(), Figure()])
    names = [value[1][0] for _, value in values_of(tmp_path)]
    ((_, value), _) = values_of(tmp_path)
    assert names == [b"f", b"f/1"]
    assert (fields(value[4][0])[1], fields(value[4][0])[2]) == ([2], [3])
