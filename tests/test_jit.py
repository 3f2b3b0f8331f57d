"""torch.jit's names: what was made by them, files, futures."""

import io

import pytest

import twofold
from twofold import jit, nn
from twofold.base.errors import ArgumentError, StateError


def test_what_was_made_here_is_known():
    net, x = nn.Linear(2, 3), twofold.ones(1, 2)
    for made in (jit.script(net), jit.trace(net, x), jit.trace_module(net, {"forward": x})):
        assert isinstance(made, jit.ScriptModule) and made(x).tolist() == net(x).tolist()
    assert not isinstance(net, jit.ScriptModule)
    assert not isinstance(twofold.compile(net), jit.ScriptModule)
    double = jit.script(lambda x: x * 2)
    assert isinstance(double, jit.ScriptFunction) and not isinstance(double, jit.ScriptModule)
    assert not isinstance(len, jit.ScriptFunction) and not isinstance([], jit.ScriptModule)


def test_files_beside_a_program():
    made, file = jit.trace(nn.Linear(2, 3), twofold.ones(1, 2)), io.BytesIO()
    jit.save(made, file, _extra_files={"note": "hi", "more": b"\0"})
    file.seek(0)
    files = {"note": "", "more": "", "none": ""}
    loaded = jit.load(file, _extra_files=files)
    assert files == {"note": b"hi", "more": b"\0", "none": b""}
    assert isinstance(loaded, jit.ScriptModule)
    assert loaded(twofold.ones(1, 2)).tolist() == made(twofold.ones(1, 2)).tolist()


def test_futures():
    assert jit.wait(jit.fork(lambda a, b=1: a + b, 2, b=3)) == 5
    with pytest.raises(ZeroDivisionError):
        jit.fork(lambda: 1 / 0).wait()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x, n: int = 2):
        for _ in range(n):
            x = self.inner(x)
        if x.sum() > 0:
            x = x * 2
        return x


def test_what_was_scripted_is_saved_for_what_it_was_called_with(tmp_path):
    net, x, file = Twice(), twofold.randn(3, 4), tmp_path / "net.pt"
    made = jit.script(net)
    with pytest.raises(ArgumentError, match="none are known here"):
        made.save(file)
    assert "for _ in range(n)" in made.code
    with pytest.raises(StateError, match="before the first call"):
        str(made.graph)
    made(x)
    made.save(file)
    loaded = jit.load(file)
    for rows in (x, x[:1], -x):
        assert loaded(rows).equal(net(rows))
    assert "linear" in str(made.graph)
    jit.script(net, example_inputs=[(x,)]).save(file)
    assert jit.load(file)(x).equal(net(x))


def test_a_scripted_function_is_saved_with_its_code_and_graph(tmp_path):
    @jit.script
    def add_up(x, n: int):
        for i in range(n):
            x = x + i
        return x

    x = twofold.randn(3)
    assert add_up(x, 3).equal(x + 0 + 1 + 2)
    jit.save(add_up, tmp_path / "f.pt")
    assert jit.load(tmp_path / "f.pt")(x, 3).equal(x + 0 + 1 + 2)
    assert add_up.code.startswith("@jit.script\ndef add_up")
    assert "add_up" in str(add_up.graph) and str(add_up.graph(x, 3)) == str(add_up.graph)
    assert "sin" in str(jit.trace(twofold.sin, x).graph)
