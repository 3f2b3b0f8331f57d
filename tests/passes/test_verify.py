"""The verifier accepts what compiling makes, and finds what is planted."""

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.base.flags import flags
from twofold.ir.graph import Call, Graph, Value, replace
from twofold.passes.manager import PIPELINE, Pass
from twofold.passes.verify import GraphError, verify


def trainer():
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 3))
    optimizer = optim.AdamW(model.parameters(), lr=0.01)

    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def loops(x):
    def turn(carry, row):
        return carry * 0.5 + row, carry.sum()

    last, sums = twofold.scan(turn, x[0] * 0, x)
    return twofold.cond(last.sum() > 0, lambda: last.exp(), lambda: -last).sum() + sums.sum()


@pytest.mark.parametrize("level", [1, 2])
def test_what_is_compiled_passes(level):
    with flags.override(check=level):
        twofold.compile(trainer())(twofold.randn(5, 4), twofold.randint(0, 3, (5,)))
        x = twofold.randn(3, 4, requires_grad=True)
        twofold.compile(loops)(x).backward()


def graph():
    return twofold.compile(lambda x, y: ((x @ y).exp() + 1, x.t())).graph(
        twofold.randn(2, 3), twofold.randn(3, 2)
    )


def wrong_type(g: Graph) -> Graph:
    call = g.calls[0]
    (out,) = call.outs
    other = Value((*out.shape, 7), out.dtype)
    changed = tuple(c._replace(inputs=tuple(other if v is out else v for v in c.inputs))
                    for c in g.calls[1:])  # fmt: skip
    return replace(g, (call._replace(outs=(other,)), *changed), {out: other})


FAULTS = {
    "order": (lambda g: replace(g, reversed(g.calls)), "is read before it is made"),
    "gone": (lambda g: replace(g, g.calls[1:]), "is read before it is made"),
    "twice": (lambda g: replace(g, (*g.calls, g.calls[0])), "is made twice"),
    "type": (wrong_type, "matmul makes f32"),
    "result": (
        lambda g: g._replace(results=(Value((), g.results[0].dtype),)),
        "a result, is not made",
    ),
    "update": (
        lambda g: g._replace(updates=((g.results[0], g.results[0]),)),
        "is updated, and is no input",
    ),
    "input": (lambda g: g._replace(inputs=(*g.inputs, g.inputs[0])), "x is an input twice"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(fault):
    plant, text = FAULTS[fault]
    found = graph()
    verify(found)
    with pytest.raises(GraphError, match=text):
        verify(plant(found))


def test_memory_that_was_written_over_is_not_read():
    x = twofold.randn(5, 4), twofold.randint(0, 3, (5,))
    found = twofold.compile(trainer()).graph(*x)
    update = next(c for c in found.calls if c.op.writes is not None)
    place = update.op.writes(len(update.outs), update.attrs)[0]
    old = update.inputs[place]
    late = twofold.compile(lambda a: a.exp()).graph(twofold.randn(2)).calls[0].op
    out = Value(old.shape, old.dtype)
    bad = replace(found, (*found.calls, Call(late, (old,), (), (out,))))
    with pytest.raises(GraphError, match="read after its memory was written over"):
        verify(bad)


def drop_effects(g: Graph) -> Graph:
    return replace(g, [c for c in g.calls if not c.op.effect])


def test_a_pass_that_breaks_a_graph_is_named():
    def speaking(x):
        twofold.callback(print, x)
        return x * 2

    bad = Pass("bad", lambda g: replace(g, g.calls[1:]))
    f = twofold.compile(lambda x: (x * 2).sum(), passes=[*PIPELINE[:2], bad, *PIPELINE[3:]])
    with flags.override(check=2), pytest.raises(GraphError, match="after bad"):
        f(twofold.randn(3))
    f = twofold.compile(speaking, passes=[Pass("mute", drop_effects)])
    with flags.override(check=1), pytest.raises(GraphError, match="the effects were callback"):
        f(twofold.randn(3))


def test_every_kernel_beside_its_reference(monkeypatch):
    x, y = twofold.randn(5, 4), twofold.randint(0, 3, (5,))
    with flags.override(check=3):
        twofold.compile(trainer())(x, y)
        # plant a fault: the reference of tanh is off by a tenth
        op = twofold.compile(lambda x: x.tanh()).graph(x).calls[0].op
        monkeypatch.setattr(op, "ref", lambda a: a + 0.1)
        with pytest.raises(AssertionError, match="tanh: unlike its reference"):
            twofold.compile(lambda x: x.tanh())(x)


def test_a_number_that_alone_has_the_shape_is_no_part_of_a_group():
    def f(x, row):
        return (twofold.ones_like(x) * row).exp()

    x, row = twofold.randn(3, 4), twofold.randn(4)
    with flags.override(check=2):
        made = twofold.compile(f)(x, row)
    assert twofold.equal(made, f(x, row))
    assert twofold.equal(twofold.debug(f, commands=[])(x, row), f(x, row))
