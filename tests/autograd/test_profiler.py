"""Profiles: every operation of a block, once, inside of the spans around it."""

import json

import pytest

import twofold
from twofold import nn, profiler
from twofold.autograd.profiler import Event, averages
from twofold.base.errors import ArgumentError
from twofold.profiler import ProfilerAction, profile, record_function, schedule


def counts(prof):
    return {row.key: row.count for row in prof.key_averages()}


def test_operations_and_their_gradients_are_spans():
    x = twofold.randn(3, 4, requires_grad=True)
    with profile() as prof:
        y = x.tanh()
        (y @ y.t()).sum().backward()
    found = counts(prof)
    assert found["tanh"] == 1 and found["matmul"] == 3
    twofold.randn(2).tanh()
    assert counts(prof) == found, "what comes after the block is not recorded"


def test_a_profile_changes_no_result():
    twofold.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 1)), twofold.randn(5, 4)
    plain = twofold.autograd.grad(net(x).sum(), list(net.parameters()))
    with profile(record_shapes=True, profile_memory=True, with_stack=True):
        seen = twofold.autograd.grad(net(x).sum(), list(net.parameters()))
    assert all(a.equal(b) for a, b in zip(plain, seen, strict=True))


def test_spans_stand_inside_each_other():
    with profile() as prof, record_function("outer"):
        with record_function("inner"):
            twofold.ones(3).exp()
        twofold.ones(3).sin()
    spans = {event.name: event for event in prof.events()}
    assert spans["exp"].parent is spans["inner"] and spans["inner"].parent is spans["outer"]
    assert spans["outer"].parent is None and spans["sin"].parent is spans["outer"]
    outer = spans["outer"]
    inside = sum(e.cpu_time_total for e in prof.events() if e.parent is outer)
    assert outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - inside)
    assert outer.start <= spans["inner"].start <= spans["exp"].start
    assert spans["exp"].end <= spans["inner"].end <= outer.end


def test_an_error_in_the_block_ends_its_spans():
    with pytest.raises(ZeroDivisionError), profile() as prof, record_function("outer"):
        _ = 1 / 0
    assert prof.events()[0].end > 0
    with profile() as prof:
        twofold.ones(2).exp()
    assert counts(prof)["exp"] == 1


def test_record_function_alone_does_nothing_and_decorates():
    @record_function("mine")
    def f(x):
        return x + 1

    assert f(1) == 2
    with profile() as prof:
        f(twofold.ones(2))
    assert counts(prof)["mine"] == 1


def test_shapes_lines_and_bytes():
    x = twofold.ones(2, 3)
    with profile(record_shapes=True, with_stack=True, profile_memory=True) as prof:
        x.exp()
        x.reshape(3, 2).exp()
    by_shape = {row.input_shapes: row for row in prof.key_averages(group_by_input_shape=True)}
    assert ((2, 3),) in by_shape and ((3, 2),) in by_shape
    lines = [row.line for row in prof.key_averages(group_by_stack_n=1) if row.key == "exp"]
    assert len(lines) == 2 and all("test_profiler.py" in line for line in lines)
    row = next(row for row in prof.key_averages() if row.key == "exp")
    assert row.count == 2 and row.cpu_memory_usage == 48
    views = [row for row in prof.key_averages() if row.key == "reshape"]
    assert not any(row.cpu_memory_usage for row in views), "a view takes no memory"


def test_compiled_calls_and_optimizer_steps_are_one_span_each():
    net = nn.Linear(3, 1)
    optimizer = twofold.optim.Adam(net.parameters())
    f = twofold.compile(lambda x: net(x).tanh().sum())
    x = twofold.randn(4, 3)
    f(x)
    with profile() as prof:
        f(x)
        net(x).sum().backward()
        optimizer.step()
    found = counts(prof)
    assert found["compiled <lambda>"] == 1 and found["Optimizer.step#Adam.step"] == 1
    assert "tanh" not in found
    assert twofold.explain(f).compiles == 1


def test_autocast_inside_of_a_profile_still_casts():
    f = twofold.compile(lambda x: x @ x)
    with profile() as prof, twofold.autocast("cpu"):
        made = f(twofold.ones(2, 2))
    assert made.dtype is twofold.bfloat16
    assert counts(prof)["matmul"] == 1


def test_a_schedule_says_what_each_step_does():
    A = ProfilerAction
    act = schedule(wait=1, warmup=1, active=2, repeat=1, skip_first=1)
    assert [act(n) for n in range(7)] == [
        A.NONE,
        A.NONE,
        A.WARMUP,
        A.RECORD,
        A.RECORD_AND_SAVE,
        A.NONE,
        A.NONE,
    ]
    for wrong in ({"active": 0}, {"wait": -1}):
        with pytest.raises(ArgumentError, match="schedule"):
            schedule(**{"wait": 0, "warmup": 0, "active": 1} | wrong)


def test_cycles_are_handed_over_one_by_one(tmp_path):
    seen = []

    def done(prof):
        seen.append([e.name for e in prof.events() if e.name.startswith("ProfilerStep")])

    with profile(schedule=schedule(wait=1, warmup=0, active=2), on_trace_ready=done) as prof:
        for _ in range(7):
            twofold.ones(2).exp()
            prof.step()
    assert seen == [
        ["ProfilerStep#1", "ProfilerStep#2"],
        ["ProfilerStep#4", "ProfilerStep#5"],
        ["ProfilerStep#7"],
    ]


def test_a_cycle_that_follows_at_once_is_one_of_its_own():
    seen = []
    act = schedule(wait=0, warmup=0, active=2, repeat=2)
    with profile(schedule=act, on_trace_ready=lambda prof: seen.append(len(prof.events()))) as prof:
        for _ in range(5):
            prof.step()
    assert seen == [2, 2]


def test_traces_are_written_whole(tmp_path):
    with profile(on_trace_ready=profiler.tensorboard_trace_handler(tmp_path / "logs")) as prof:
        twofold.ones(2).exp()
    (written,) = (tmp_path / "logs").glob("*.pt.trace.json")
    spans = json.loads(written.read_text())["traceEvents"]
    assert {"exp"} <= {span["name"] for span in spans} and all(s["dur"] >= 0 for s in spans)
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["logs", "trace.json"]


def test_tables_sort_cut_and_refuse():
    events = [Event("slow", 0.0, 30.0), Event("fast", 30.0, 40.0), Event("fast", 40.0, 45.0)]
    rows = averages(events)
    assert [row.key for row in rows] == ["slow", "fast"]
    assert rows[1].count == 2 and rows[1].cpu_time == 7.5
    text = rows.table(sort_by="count", row_limit=1)
    assert "fast" in text and "slow" not in text and "33.33%" in text
    assert "45.000us" in text.splitlines()[-1]
    with pytest.raises(ArgumentError, match="no column"):
        rows.table(sort_by="beauty")


def test_one_profile_at_a_time():
    with profile(), pytest.raises(ArgumentError, match="another profile"):
        profile().start()


def test_the_older_profile():
    from twofold.autograd import profiler as older

    with older.profile(use_cuda=False, record_shapes=True) as prof:
        twofold.ones(2).exp()
    assert "exp" in str(prof.key_averages()) and prof.total_average().count >= 1
    with older.profile(enabled=False) as off:
        twofold.ones(2).exp()
    assert off.function_events == []
