"""Programs in files: the same bits without the model's Python, and nothing trusted."""

import io
import random
import subprocess
import sys

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.base.errors import ArgumentError, DTypeError, ShapeError, StateError
from twofold.base.symbols import Table
from twofold.base.trees import flatten
from twofold.frontends.arrays import CaptureError
from twofold.frontends.export import RECORDS, _body
from twofold.ir.graph_parse import TextError, parse
from twofold.ir.graph_text import as_text
from twofold.ops.formula import record
from twofold.saving import files
from twofold.saving.container import DamagedFileError


def bits(x):
    return x.detach().numpy().tobytes()


def model():
    twofold.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))


def test_a_model_for_every_batch(tmp_path):
    net = model()
    twofold.export(net, twofold.zeros(2, 6), path=tmp_path / "net.twofold")
    loaded = twofold.load(tmp_path / "net.twofold")
    for n in (1, 2, 9, 0):
        x = twofold.randn(n, 6)
        assert bits(loaded(x)) == bits(net(x))


def test_tables_of_sizes_are_made_again_where_it_is_loaded(tmp_path):
    def f(x):
        small = F.adaptive_avg_pool2d(x, (3, 2))
        return F.interpolate(small, size=x.shape[-2:], mode="bicubic", align_corners=True)

    twofold.export(f, twofold.zeros(1, 2, 7, 5), path=tmp_path / "f.twofold")
    loaded = twofold.load(tmp_path / "f.twofold")
    for shape in ((1, 2, 7, 5), (2, 1, 6, 9)):
        x = twofold.randn(*shape)
        assert bits(loaded(x)) == bits(f(x))


def test_a_training_step_goes_on_where_it_was(tmp_path):
    net = model()
    opt = optim.AdamW(net.parameters(), lr=0.01)

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        return loss

    def batch(n):
        return twofold.randn(n, 6), twofold.randint(0, 3, (n,))

    step(*batch(4))
    twofold.export(step, *batch(4), path=tmp_path / "step.twofold")
    loaded = twofold.load(tmp_path / "step.twofold")
    for n in (4, 2, 5):
        x, y = batch(n)
        assert bits(loaded(x, y)) == bits(step(x, y))
    with pytest.raises(IndexError, match="index 7 is out of range"):
        loaded(x, y * 0 + 7)


def test_another_process_needs_no_model(tmp_path):
    net = model()
    twofold.export(net, twofold.zeros(2, 6), path=tmp_path / "net.twofold")
    program = (
        "import sys, twofold\n"
        f"f = twofold.load({str(tmp_path / 'net.twofold')!r})\n"
        "sys.stdout.write(f(twofold.ones(3, 6)).numpy().tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == bits(net(twofold.ones(3, 6))).hex(), done.stderr


def test_loops_and_branches_are_in_the_file(tmp_path):
    w = twofold.randn(3, 3)

    def f(x):
        carry, ys = twofold.scan(lambda c, x: ((c @ w + x).tanh(), c), twofold.zeros(3), x)
        y = twofold.cond(ys.sum() > 0, lambda y: y + carry, lambda y: y - carry, ys)
        return twofold.while_loop(lambda y: y.sum() < 9, lambda y: (y + 1,), (y,))[0]

    twofold.export(f, twofold.randn(2, 3), path=tmp_path / "f.twofold")
    loaded = twofold.load(tmp_path / "f.twofold")
    for n in (1, 4):
        x = twofold.randn(n, 3)
        assert bits(loaded(x)) == bits(f(x))


def test_wrong_arguments_are_told(tmp_path):
    twofold.export(model(), twofold.zeros(2, 6), path=tmp_path / "net.twofold")
    loaded = twofold.load(tmp_path / "net.twofold")
    with pytest.raises(DTypeError, match="argument 0 is of another type"):
        loaded(twofold.zeros(2, 6).double())
    with pytest.raises(ShapeError, match="another rank"):
        loaded(twofold.zeros(6))
    with pytest.raises(ShapeError, match="exported where"):
        loaded(twofold.zeros(2, 7))


def test_plain_arguments_are_those_of_the_export(tmp_path):
    def f(x, twice, n, how):
        return x * n * 2 if twice and how == "a" else x

    x, path = twofold.ones(2), tmp_path / "f.twofold"
    twofold.export(f, x, True, 3, how="a", path=path)
    loaded = twofold.load(path)
    assert loaded(x, True, 5, how="a").tolist() == [10.0, 10.0]
    for arguments, how in (((False, 5), "a"), ((True, 5), "b"), ((1, 5), "a")):
        with pytest.raises(ArgumentError, match="as it was exported with"):
            loaded(x, *arguments, how=how)
    with pytest.raises(DTypeError, match="argument 2 is no int"):
        loaded(x, True, 5.0, how="a")


def test_python_of_the_programs_own_is_refused(tmp_path):
    net = model()
    opt = optim.SGD(net.parameters(), lr=0.1)

    def step(x):
        net(x).sum().backward()
        opt.step()

    with pytest.raises(CaptureError, match="adds to gradients from before"):
        net(twofold.ones(2, 6)).sum().backward()
        twofold.export(step, twofold.ones(2, 6), path=tmp_path / "step.twofold")


def test_what_values_decide_is_refused_with_its_rewrite(tmp_path):
    def chosen(x):
        return {"yes": x} if x.sum() > 0 else {"no": x}

    def both(x):
        inside = twofold.arange(x.shape[0]) < x.sum()
        return {"made": x if x.sum() > 0 else -x, "first": x * inside}

    x, path = twofold.ones(4), tmp_path / "f.twofold"
    for f, rewrite in (
        (lambda x: x[x > 0], "keep the shape"),
        (lambda x: x[: int(x.sum())], "twofold.arange"),
        (chosen, "tensors of one structure"),
    ):
        with pytest.raises(CaptureError, match=rewrite):
            twofold.export(f, x, path=path)
    twofold.export(both, x, path=path)
    loaded = twofold.load(path)
    for x in (twofold.ones(3) / 2, -twofold.ones(5)):
        assert [y.tolist() for y in loaded(x).values()] == [y.tolist() for y in both(x).values()]


def test_damage_is_found(tmp_path):
    path = tmp_path / "net.twofold"
    twofold.export(model(), twofold.zeros(2, 6), path=path)
    whole = path.read_bytes()
    generator = random.Random(0)
    for _ in range(40):
        data = bytearray(whole)
        if generator.random() < 0.5:
            data = data[: generator.randrange(len(data))]
        else:
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(bytes(data))
        with pytest.raises(DamagedFileError):
            twofold.load(path)


def saved_by(path, function, *examples):
    """What an archive holds, which `load` would open."""
    twofold.export(function, *examples, path=path)
    openers = dict(files.OPENERS)
    files.OPENERS.clear()
    try:
        return twofold.load(path)
    finally:
        files.OPENERS.update(openers)


def test_hostile_graphs_mean_nothing(tmp_path):
    path = tmp_path / "net.twofold"
    saved = saved_by(path, model(), twofold.zeros(2, 6))
    changes = [
        {"text": saved["text"].replace("linear", "__import__", 1)},
        {"text": saved["text"].replace("args_0", "args_9")},
        {"text": saved["text"].replace("return", "return %99,")},
        {
            "text": "graph f()\n"
            "  %0: f32[] = full(shape=__import__('os').getcwd(), value=0, dtype=f32)"
        },
        {"inputs": saved["inputs"][:-1]},
        {"text": saved["text"].replace("f32[args_0, 3]", "f32[args_0, 300]")},
        {"guards": ["what"]},
        {"results": [["result", 99]]},
        {"twofold.graph": 99},
        {"state": {}},
        {"text": 7},
        {"guards": ["args_0 // 0 == 1 is True"]},
        {"arguments": [7]},
        {"arguments": saved["arguments"] * 2},
        {"symbols": [["args_0", 0, 9], *saved["symbols"][1:]]},
        {"inputs": [["argument", "0"], *saved["inputs"][1:]]},
        {"state": dict.fromkeys(saved["state"], 0)},
        {"constants": [[9, None]]},
    ]
    for change in changes:
        twofold.save({**saved, **change}, path)
        with pytest.raises(DamagedFileError):
            twofold.load(path)


MOVED = [
    (lambda x: x.reshape(2, 6), "shape=(2, 6)", "shape=(2, 600)"),
    (lambda x: x.as_strided((2, 2), (1, 4), 1), "offset=1", "offset=10"),
    (lambda x: x.as_strided((2, 2), (1, 4), 1), "stride=(1, 4)", "stride=(1, -4)"),
    (lambda x: x.sum(1), "dim=(1,)", "dim=(7,)"),
    (lambda x: x.permute(1, 0), "dims=(1, 0)", "dims=(1, 1)"),
    (lambda x: x.topk(2, 1)[0], "k=2", "k=200"),
    (lambda x: twofold.nn.functional.layer_norm(x, (4,)), "rank=1", "rank=9"),
    (lambda x: x.split([1, 3], 1)[1], "sizes=(1, 3)", "sizes=(1, 300)"),
    (lambda x: x.unfold(1, 2, 1), "step=1", "step=0"),
    (lambda x: x.cumsum(0), "dim=0", "dim=-3"),
]


@pytest.mark.parametrize(("function", "right", "wrong"), MOVED)
def test_attributes_that_leave_the_memory_are_refused(tmp_path, function, right, wrong):
    path = tmp_path / "f.twofold"
    saved = saved_by(path, function, twofold.ones(3, 4))
    twofold.save(saved, path)
    assert twofold.load(path)(twofold.ones(3, 4)) is not None
    text = saved["text"].replace(right, wrong)
    assert text != saved["text"]
    twofold.save({**saved, "text": text}, path)
    with pytest.raises(DamagedFileError):
        twofold.load(path)


def doubled_to_100(x):
    while x.sum() < 100:
        x = x * 2 + 1
    return x


def halves_and_sums(x):
    return twofold.scan(lambda c, row: (c * 0.5 + row, c.sum()), twofold.zeros(4), x)


def one_more_or_less(x):
    return twofold.cond(x.sum() > 0, lambda: x + 1, lambda: x - 1)


BODIES = [
    (doubled_to_100, "= add(%1, %2)\n  return %3", "= add(%1, %2)"),
    (doubled_to_100, "split=(1, 0, 0)", "split=(2, 0, 0)"),
    (doubled_to_100, "sizes=(x_0, x_1)", "sizes=(x_1, x_0)"),
    (halves_and_sums, "split=(1, 1, 1)", "split=(1, 1, 9)"),
    (halves_and_sums, "split=(1, 1, 1)", "split=(0, 2, 1)"),
    (one_more_or_less, "outs=1", "outs=2"),
    (one_more_or_less, "split=(0, 1, 1)", "split=(0, 1, 0)"),
]


@pytest.mark.parametrize(("function", "right", "wrong"), BODIES)
def test_bodies_that_do_not_fit_are_refused(tmp_path, function, right, wrong):
    path, x = tmp_path / "f.twofold", twofold.ones(3, 4)
    saved = saved_by(path, function, x)
    twofold.save(saved, path)
    loaded = twofold.load(path)(x)
    for one, other in zip(flatten(loaded)[0], flatten(function(x))[0], strict=True):
        assert bits(one) == bits(other)
    text = saved["text"].replace(right, wrong)
    assert text != saved["text"], saved["text"]
    twofold.save({**saved, "text": text}, path)
    with pytest.raises(DamagedFileError):
        twofold.load(path)


def test_sizes_of_other_axes_are_refused_when_they_differ(tmp_path):
    path = tmp_path / "f.twofold"
    saved = saved_by(path, lambda x: x.exp() + 1, twofold.ones(3, 3))
    (name, place, _), *rest = saved["symbols"]
    twofold.save({**saved, "symbols": [[name, place, 1], *rest]}, path)
    loaded = twofold.load(path)
    assert loaded(twofold.zeros(3, 3)).tolist() == [[2.0] * 3] * 3
    with pytest.raises(DamagedFileError, match="argument 0 is no"):
        loaded(twofold.zeros(2, 5))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x @ x.t()).softmax(-1)[..., 1:].sum(0),
        lambda x: twofold.scan(lambda c, y: (c + y, c * 2.5), x[0], x)[1].reshape(-1),
        lambda x: x.pow(2.0).clamp(-1.5, float("inf")).to(twofold.float64)[::2, None],
    ],
)
def test_text_reads_back(function):
    f = twofold.compile(function)
    f(twofold.randn(4, 5))
    graph = f.all_programs()[0].source
    table = Table()
    symbols = {
        name: table.new(name, example)
        for name, example in zip(graph.table.names, graph.table.examples, strict=True)
    }
    again = parse(as_text(graph), table, symbols, record, RECORDS, _body)
    assert as_text(again) == as_text(graph)


@pytest.mark.parametrize("text", ["", "graph", "graph f(x: f32[)", "graph f()\n  what"])
def test_what_is_no_graph_is_told(text):
    with pytest.raises(TextError):
        parse(text, Table(), {}, record, RECORDS, _body)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))

    def forward(self, x):
        return self.body(x)


def test_what_was_traced_is_saved_without_examples(tmp_path) -> None:
    """As programs for PyTorch write models to be served."""
    model, x = Small().eval(), twofold.randn(4, 3)
    traced = twofold.jit.trace(model, x)
    traced.save(tmp_path / "model.pt")
    held = io.BytesIO()
    twofold.jit.save(traced, held)
    held.seek(0)
    for file in (tmp_path / "model.pt", held):
        loaded = twofold.jit.load(file)
        assert loaded.eval() is loaded and loaded.to("cpu") is loaded
        for rows in (4, 9):
            many = twofold.randn(rows, 3)
            assert (loaded(many) == model(many)).all()
        assert set(loaded.state_dict()) and len(list(loaded.parameters())) == 6
        with pytest.raises(StateError, match="exported in eval mode"):
            loaded.train()
        with pytest.raises(ArgumentError, match="the types of a program"):
            loaded.to(twofold.float64)
    twofold.jit.trace(model.train(), x).save(tmp_path / "model.pt")
    with pytest.raises(StateError, match="exported in train mode"):
        twofold.jit.load(tmp_path / "model.pt").eval()
    with pytest.raises(ArgumentError, match=r"jit.trace\(model, x\)"):
        twofold.jit.save(twofold.jit.script(model), tmp_path / "other.pt")


def test_traces_take_arguments_as_pytorch_gives_them() -> None:
    x, y = twofold.randn(3), twofold.randn(3)

    def f(a, b=None):
        return a * 2 if b is None else a * b

    for made in (twofold.jit.trace(f, (x, y)), twofold.jit.trace(f, x, y)):
        assert (made(y, x) == x * y).all() and len(made.all_programs()) == 1
    alone = twofold.jit.trace(f, x)
    assert (alone(y) == y * 2).all()
    held = io.BytesIO()
    alone.save(held)
    held.seek(0)
    assert (twofold.jit.load(held)(y) == y * 2).all()
    named = twofold.jit.trace(f, example_kwarg_inputs={"a": x, "b": y})
    assert (named(a=y, b=x) == x * y).all()


def test_scripted_modules_are_modules_and_frozen_ones_keep_weights() -> None:
    model = Small().eval()
    scripted = twofold.jit.script(model)
    assert isinstance(scripted, Small) and len(list(scripted.parameters())) == 4
    x = twofold.randn(2, 3)
    with twofold.no_grad():
        right = model(x)
        for frozen in (
            twofold.jit.freeze(scripted),
            twofold.jit.optimize_for_inference(twofold.jit.freeze(twofold.jit.trace(model, x))),
            twofold.compile(twofold.compile(model), options={"freezing": True}),
        ):
            assert (frozen(x) == right).all()
            assert frozen.forward.freeze
    with pytest.raises(StateError, match="training mode"):
        twofold.jit.freeze(scripted.train())
