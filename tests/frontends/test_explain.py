"""What explain tells of a compiled function."""

import pytest

import twofold
from twofold.base.errors import ArgumentError


def test_a_report_of_everything_decided():
    @twofold.compile
    def f(x, w):
        y = (x @ w) * 2.0 + 1.0
        if x.shape[0] > 3:
            y = y.tanh()
        return y.sum(0)

    f(twofold.ones(5, 2), twofold.ones(2, 4))
    f(twofold.ones(6, 2), twofold.ones(2, 4))
    f(twofold.ones(1, 2), twofold.ones(2, 4))
    e = twofold.explain(f)
    assert e.compiles == 2
    assert e.layouts == 3
    assert e.retraces[0] == "the first call"
    assert e.retraces[1].startswith("x_0 <= 3 is not False any more")
    assert "if x.shape[0] > 3" in e.retraces[1]
    assert any(g.question == "x_0 <= 3" and not g.holds for g in e.guards)
    assert {k.name for k in e.kernels} == {"matmul", "fused_reduce"}
    assert len(e.fused) == 1 and "tanh" not in e.fused[0]
    assert e.unsupported == ()
    assert e.peak_bytes > 0
    text = str(e)
    for word in ("2 programs", "guards:", "fused:", "memory at the peak:"):
        assert word in text


def test_other_functions_are_refused():
    with pytest.raises(ArgumentError, match="not compiled"):
        twofold.explain(len)


def test_a_profile_names_operations_and_lines():
    f = twofold.compile(lambda x: (x @ x).relu())
    f(twofold.ones(3, 3))
    assert all(k.seconds is None for k in twofold.explain(f).kernels)
    text = twofold.profile(f, twofold.ones(3, 3))
    assert "matmul" in text and "f = twofold.compile" in text
    e = twofold.explain(f)
    assert e.kernels and all(k.seconds > 0 for k in e.kernels)
    assert str(e).count(" us ") == len(e.kernels)


def test_a_compiled_module_has_a_profile_too():
    net = twofold.compile(twofold.nn.Linear(3, 2))
    assert "linear" in twofold.profile(net, twofold.ones(4, 3))
    assert "linear" in str(twofold.explain(net))
    with pytest.raises(ArgumentError, match="not compiled"):
        twofold.profile(twofold.nn.Linear(3, 2), twofold.ones(4, 3))


def test_what_runs_in_python_is_told():
    f = twofold.compile(lambda x: twofold.linalg.inv(x))
    f(twofold.eye(3) * 2.0)
    assert len(twofold.explain(f).unsupported) == 1


def test_the_peak_is_known_before_a_run():
    net = twofold.nn.Sequential(
        twofold.nn.Linear(8, 64), twofold.nn.Tanh(), twofold.nn.Linear(64, 1)
    )
    ran = []

    @twofold.compile
    def f(x):
        twofold.callback(lambda: ran.append(1))
        return net(x).sum()

    with twofold.no_grad():  # else what the gradient needs is a result, which has memory of its own
        small, large = f.memory(twofold.ones(10, 8)), f.memory(twofold.ones(1000, 8))
    assert not ran
    assert int(large) > 20 * int(small)
    assert large.owners[0].name.startswith("Sequential.")
    assert large.owners[0].bytes >= 4 * 64 * 1000
    assert "return net(x).sum()" in str(large)


def test_a_retrace_for_an_entry_of_a_parameter_is_told_in_one_line():
    weight = twofold.nn.Parameter(twofold.ones(2, 3))
    state = {}

    @twofold.compile
    def step(x):
        own = state.setdefault(weight, {})
        if "momentum" not in own:
            own["momentum"] = twofold.zeros_like(weight)
        own["momentum"].mul_(0.9).add_(x)
        return own["momentum"].sum()

    for _ in range(3):
        step(twofold.ones(2, 3))
    first, second = twofold.explain(step).retraces
    assert first == "the first call"
    assert second == "state[Parameter f32[2, 3]] is another one than it was"
