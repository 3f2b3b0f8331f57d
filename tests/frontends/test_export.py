"""Programs in files: the same bits without the model's Python, and nothing trusted."""

import random
import subprocess
import sys

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.base.errors import DTypeError, ShapeError
from twofold.base.symbols import Table
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


def test_python_of_the_programs_own_is_refused(tmp_path):
    net = model()
    opt = optim.SGD(net.parameters(), lr=0.1)

    def step(x):
        net(x).sum().backward()
        opt.step()

    with pytest.raises(CaptureError, match="adds to gradients from before"):
        net(twofold.ones(2, 6)).sum().backward()
        twofold.export(step, twofold.ones(2, 6), path=tmp_path / "step.twofold")


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


def test_hostile_graphs_mean_nothing(tmp_path):
    path = tmp_path / "net.twofold"
    twofold.export(model(), twofold.zeros(2, 6), path=path)
    openers = dict(files.OPENERS)
    files.OPENERS.clear()
    try:
        saved = twofold.load(path)
    finally:
        files.OPENERS.update(openers)
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
    ]
    for change in changes:
        twofold.save({**saved, **change}, path)
        with pytest.raises(DamagedFileError):
            twofold.load(path)


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
