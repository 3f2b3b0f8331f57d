"""torch.jit's names: what was made by them, files, futures."""

import io

import pytest

import twofold
from twofold import jit, nn


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
