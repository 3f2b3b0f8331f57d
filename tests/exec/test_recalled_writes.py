"""Writes in machine code: the same values, versions, places and errors as Python's."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import twofold
from twofold.base.errors import GradientError, ShapeError, line_of
from twofold.codegen.native import core
from twofold.exec import recall, recalled_writes, tensors
from twofold.ops.tensor import root_of, wrap

if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)


@pytest.fixture(autouse=True)
def tier():
    tensors.remove()
    tensors.install()
    yield
    tensors.install()


# `a` is what is written: (3, 4); `b` has its shape, `r` one row, `s` is one number's tensor.
WRITES = """
a.add_(b) | a.add_(1) | a.add_(2.5) | a.sub_(b) | a.mul_(b) | a.mul_(-0.0) | a.div_(b) | a.add_(r)
a.add_(s) | a.mul_(a) | a.add_(b, alpha=2) | a.add_(b, alpha=-0.5) | a.sub_(b, alpha=0.1)
a.addcmul_(b, b, value=0.5) | a.addcmul_(b, r) | a.addcdiv_(b, r, value=-1) | a.lerp_(b, 0.3)
a.clamp_(-0.5, 0.5) | a.clamp_(min=0) | a.clamp_(max=0.25) | a.clamp_min_(0.1) | a.relu_()
a.exp_() | a.neg_() | a.sigmoid_() | a.sqrt_() | a.round_() | a.masked_fill_(m, 0.5)
a.masked_fill_(m, float("-inf")) | a.zero_() | a.fill_(3) | a.fill_(2.5) | a.fill_(s) | a.copy_(b)
a.copy_(r) | a.copy_(s) | a.copy_(b.double()) | a.t().add_(1) | a[1].add_(r) | a[:, 1].mul_(2)
a[:, 1:3].add_(b[:, 1:3]) | a[1:].copy_(b[:2]) | a.t().copy_(b.t()) | a[::2].zero_()
a[:, ::2].fill_(7) | a.view(-1).add_(1) | a[1:].add_(a[:-1]) | a.sub_(a[0]) | a.div_(a[0, 0])
a[:, 1:].copy_(a[:, :-1]) | a.add_(a.t()[:3, :3].sum()) | a.pow_(2) | a.remainder_(0.7)
a.__iadd__(b) | a.__imul__(0.5) | a.__isub__(r) | a.__itruediv__(b) | a.data.add_(1)
a.detach().mul_(b) | a.data.copy_(b) | a.add_(other=b) | a.tanh_() | a.square_() | a.abs_()
"""
ASSIGNED = """
a[0] = 1 | a[0] = 2.5 | a[-1] = r | a[1, 2] = 3.0 | a[1, 2] = s | a[:] = b | a[...] = 0
a[:, 1] = 4 | a[:, 1:3] = 0.5 | a[::2, ::2] = 9 | a[1:] = b[:2]
a[None, 1] = r | a[..., 0] = 1 | a[1] = b[2]
a[0] += 1 | a[:, 2] *= 3 | a[1, 1] -= 0.5 | a[1:3] += r | a[0] = r[None] | a[0] = a[1]
a[1:] = a[:-1] | a[0, 1:] = a[0, :-1] | a[True] = 1 | a[m] = 5
a[[0, 2]] = 1 | a[0] = b[0].double() | a[0] = [1.0, 2.0, 3.0, 4.0]
a.t()[1] = 6 | a[1][2] = 8 | a[0:0] = 3 | a += b | a *= 2 | a -= r
"""


def cases(text):
    found = [case.strip() for case in text.replace("\n", "|").split("|")]
    return [case for case in found if case]


def operands(dtype):
    random = np.random.default_rng(0)
    kind = getattr(twofold, dtype)
    a, b = (twofold.tensor(random.normal(size=(3, 4)) * 3).to(kind) for _ in range(2))
    r, s = twofold.tensor(random.normal(size=4) * 3).to(kind), twofold.tensor(2.0).to(kind)
    return {"a": a, "b": b, "r": r, "s": s, "m": twofold.tensor(random.random((3, 4)) < 0.5)}


def run(case, dtype, times):
    """What a case leaves behind after so many runs, each of them on values of its own."""
    told = []
    code = compile(case, "the_user.py", "exec")
    for _ in range(times):
        names = operands(dtype)
        a = names["a"]
        view, before = a[0], a._version
        array = a.array
        try:
            exec(code, names)
        except Exception as error:
            told.append((type(error), str(error)))
        told.append((a.array.tobytes(), a._version - before, a.array is array))
        told.append((names["a"] is a, a.written and line_of(a.written), a.tracked, a.node))
        told.append((view.numpy().tobytes(), view.add(0).numpy().tobytes()))
    return told


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "float16"])
@pytest.mark.parametrize("case", cases(WRITES) + cases(ASSIGNED))
def test_as_python_does(case, dtype):
    found = run(case, dtype, 4)  # learnt at first, remembered then
    tensors.remove()
    assert found == run(case, dtype, 4)


def calls_of_learn(monkeypatch):
    learnt = []
    learn = recall.Memory.learn

    def counted(self, python, names, *args):
        learnt.append(python)
        return learn(self, python, names, *args)

    monkeypatch.setattr(recall.Memory, "learn", counted)
    return learnt


REMEMBERED = """
a.add_(b, alpha=2) | a.addcmul_(b, b, value=0.5) | a.lerp_(b, 0.3) | a.clamp_(-0.5, 0.5)
a.masked_fill_(m, 0.5) | a.zero_() | a.fill_(3) | a.copy_(b) | a.copy_(r) | a[0] = 1 | a[1] = r
a[1, 2] = s | a[:, 1:3] = 0.5 | a[0] += r | a[:, 2] *= 3 | a.data.copy_(b) | a.t().copy_(b.t())
"""


@pytest.mark.parametrize("case", cases(REMEMBERED))
def test_the_usual_writes_are_remembered(case, monkeypatch):
    names = operands("float32")
    code = compile(case, "the_user.py", "exec")
    for _ in range(3):
        exec(code, names)
    learnt = calls_of_learn(monkeypatch)
    exec(code, names)
    assert not learnt


def test_a_leaf_is_refused_and_written_without_a_tape():
    for _ in range(3):
        p = twofold.nn.Parameter(twofold.ones(3))
        part, names = p[1:], {"p": p, "one": twofold.ones(3)}
        for write in cases("p.add_(1) | p.zero_() | p.copy_(one) | p[1:].add_(1) | p[0] = 1.0"):
            with pytest.raises(GradientError):
                exec(write, names)
        with twofold.no_grad():
            p.add_(1)
            p[0] = 5.0
            part.mul_(2)
            p.mul_(p)
        assert p.tolist() == [25.0, 16.0, 16.0]
        assert p.requires_grad
        assert p.is_leaf


def test_what_is_tracked_comes_into_the_graph():
    w = twofold.tensor([2.0, 3.0], requires_grad=True)
    for _ in range(3):
        x = twofold.ones(2)
        x.mul_(w)
        assert x.requires_grad
        y = twofold.zeros(2)
        y.copy_(w)
        z = twofold.zeros(3)
        z[1:] = w
        assert z.requires_grad
        w.grad = None
        (x + y * 2).sum().backward()
        z.sum().backward()
        assert w.grad.tolist() == [4.0, 4.0]


def test_saved_values_that_are_written_are_noticed():
    x, factor = twofold.ones(2, requires_grad=True), twofold.ones(2)
    writes = (
        lambda: factor.mul_(2),
        lambda: factor.zero_(),
        lambda: factor.__setitem__(0, 3.0),
        lambda: factor.copy_(twofold.ones(2)),
        lambda: factor[1:].add_(1),
        lambda: factor.data.add_(0),
    )
    for write in writes * 2:
        y = x * factor
        write()
        if write is not writes[-1]:  # x.data is another tensor: PyTorch does not notice, either
            with pytest.raises(RuntimeError, match="in place"):
                y.sum().backward()


def test_a_saved_output_is_kept():
    x = twofold.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        y = x.exp()
        with twofold.no_grad():
            y.mul_(0)
            y[0] = 3.0
            y.zero_()
        x.grad = None
        y.backward(twofold.ones(2))
        np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]), rtol=1e-6)


def test_a_view_sees_and_counts_a_write_through_another_name():
    for _ in range(3):
        x = twofold.zeros(4)
        first, second, apart = x[:2], x[1:], x.detach()
        first.add_(1)
        assert x._version == first._version == second._version == apart._version == 1
        second[0] = 5.0
        apart.add_(1)
        assert x.tolist() == [2.0, 6.0, 1.0, 1.0]
        assert (first * 1).tolist() == [2.0, 6.0]
        assert x._version == first._version == second._version == apart._version == 3


def test_memory_that_cannot_be_written():
    for _ in range(3):
        array = np.ones(3, np.float32)
        array.setflags(write=False)
        names = {"x": wrap(array), "wide": twofold.ones(3, 1).expand(3, 4)}
        for write in cases("x.add_(1) | x.zero_() | x[0] = 1.0 | x.copy_(x)"):
            with pytest.raises(ValueError, match="read-only"):
                exec(write, names)
        for write in cases("wide.add_(1) | wide.zero_() | wide.mul_(wide) | wide[0] = 1"):
            with pytest.raises(ShapeError, match="one in memory"):
                exec(write, names)


def test_windows_that_overlap_are_left_to_python():
    for _ in range(3):
        x = twofold.zeros(5)
        windows = x.as_strided((4, 2), (1, 1))
        windows.copy_(twofold.arange(8.0).view(4, 2))
        expected = np.zeros(5, np.float32)
        view = np.lib.stride_tricks.as_strided(expected, (4, 2), (4, 4))
        view[...] = np.arange(8, dtype=np.float32).reshape(4, 2)
        assert x.tolist() == expected.tolist()


@pytest.mark.parametrize("size", [5, 100, 3_000_000])
def test_an_operand_that_is_one_of_the_elements(size):
    x = twofold.arange(2.0, size + 2.0)
    expected = (x / 2).numpy().copy()
    for _ in range(2):
        y = x.clone()
        y.div_(y[0])
        np.testing.assert_array_equal(y.numpy(), expected)


def test_one_tensor_twice_is_told_from_two():
    for _ in range(3):
        x, y, z = (twofold.full((2,), n) for n in (1.0, 2.0, 3.0))
        assert x.clone().addcmul_(y, y).tolist() == [5.0, 5.0]
        assert x.clone().addcmul_(y, z).tolist() == [7.0, 7.0]
        assert x.clone().addcmul_(z, y).tolist() == [7.0, 7.0]
        assert x.addcmul_(x, y).tolist() == [3.0, 3.0]
        assert twofold.lerp(y, y, 0.5).tolist() == [2.0, 2.0]
        assert twofold.lerp(y, z, 0.5).tolist() == [2.5, 2.5]


def test_interpreters_and_capture_see_writes():
    def step(x):
        y = x.clone()
        y.add_(1)
        y[0] = 3.0
        y.mul_(x)
        return y

    x = twofold.tensor([2.0, 5.0])
    for _ in range(3):
        assert step(x).tolist() == [6.0, 30.0]
    assert twofold.compile(step)(x).tolist() == [6.0, 30.0]
    assert twofold.vmap(step)(x.expand(2, 2)).tolist() == [[6.0, 30.0]] * 2
    assert step(x).tolist() == [6.0, 30.0]


def test_the_place_of_a_write_is_the_users_line():
    x, y = twofold.zeros(3), twofold.ones(3)
    for _ in range(3):
        x.add_(y)
        line = sys._getframe().f_lineno - 1
        assert str(line) in str(line_of(x.written))
        x[0] = 1.0
        line = sys._getframe().f_lineno - 1
        assert str(line) in str(line_of(x.written))


def test_nothing_leaks():
    x, y = twofold.zeros(3, 4), twofold.ones(3, 4)
    part = x[1]
    watched = [x, y, part, x.array, y.array]

    def writes():
        x.add_(y)
        x.add_(y, alpha=0.5)
        x.zero_()
        x.copy_(y)
        x[1] = 2.0
        x[0] = y[0]
        part.mul_(2)
        x.t().add_(1)
        x[2] += y[2]

    for _ in range(5):
        writes()
    before = [sys.getrefcount(thing) for thing in watched]
    for _ in range(200):
        writes()
    assert [sys.getrefcount(thing) for thing in watched] == before
    assert root_of(part) is x


def test_several_threads_write_their_own():
    def work(found):
        x, y = twofold.zeros(50), twofold.ones(50)
        for _ in range(2000):
            x.add_(y)
            x[0] = 0.0
            x.mul_(1.0)
        found.append((x[1].item(), x[0].item(), x._version))

    found = []
    threads = [threading.Thread(target=work, args=(found,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(2000.0, 0.0, 6000)] * 4


def test_parts_are_known_by_what_the_memory_asks_for():
    """Also where machine code stood before these functions when the table was made."""
    code = "\n".join([
        "import twofold",
        "x = twofold.zeros(4)",
        "f = twofold.compile(lambda x: x + 1)",
        "for i in range(700):",
        "    f(x), x.add(1), x.mul(2)",  # all that machine code stands before is there
        "for i in range(700):",
        "    x.fill_(i), x.zero_(), x.copy_(x + 1)",
        "    x[1:] = 2.0",
        "assert x.tolist() == [1.0, 2.0, 2.0, 2.0]",
    ])  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)
    assert tuple(recalled_writes.PARTS) == recall.PARTS


def test_writes_alone_call_for_machine_code():
    code = """
import twofold
from twofold.exec import tensors
x, y = twofold.zeros(4), twofold.ones(4)
for _ in range(20_000):
    x.add_(y), x.zero_()
assert tensors.installed()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int16", "bool"])
def test_one_number_in_many_places(dtype):
    """Whole and in part, of sizes that vectors do not divide."""
    for size in (1023, 1025, 10_007, 40_000):
        for _ in range(3):
            x = twofold.zeros(size + 2, dtype=getattr(twofold, dtype))
            x[1:-1].fill_(1)
            assert x.sum().item() == size
            assert x[0].item() == x[-1].item() == 0
            x[::2] = 0
            assert x.sum().item() == (size + 1) // 2
            x.fill_(1)
            x.zero_()
            assert not x.any()
