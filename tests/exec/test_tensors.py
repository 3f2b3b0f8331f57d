"""The Tensor tier: the same tensors, nodes and errors as Python's, and no object lost."""

import inspect
import itertools
import pickle
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import twofold
import twofold.nn.functional
from twofold.base.errors import GradientError
from twofold.codegen.native import core
from twofold.exec import chosen, tensors
from twofold.ops import bind
from twofold.ops.op import OPS
from twofold.ops.tensor import Parameter, Tensor, wrap
from twofold.runtime import native

if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)


@pytest.fixture(autouse=True)
def tier() -> Iterator[Any]:
    assert tensors.install(), "this Python keeps a Tensor's slots or attributes elsewhere"
    yield tensors._tier[0]
    tensors.install()


VALUES = np.array([0.5, -0.5, 2.0, 0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, 3.7], "f4")
ARRAYS = [
    VALUES,
    VALUES.astype("f8"),
    np.arange(-3, 7),
    np.arange(10) % 2 == 0,
    VALUES.reshape(2, 5).T,
    np.ones((3, 3), "f4"),
    VALUES[:0],
]
OTHERS: list[tuple[Any, ...]] = [(), (VALUES,), (2.0,), (2,), (True,), (-0.0,), ("no",)]


def tensor(array: Any, tracked: bool = False) -> Tensor:
    made = wrap(array)
    made.tracked = tracked and array.dtype.kind == "f"
    return made


def facts(call: Any) -> Any:
    """Everything that can be told of a result, or the error's type."""
    try:
        made = call()
    except Exception as error:
        return type(error).__name__, str(error).splitlines()[0]
    if isinstance(made, tuple):
        return [type(made), *(told_of(x) if isinstance(x, Tensor) else x for x in made)]
    return told_of(made) if isinstance(made, Tensor) else made


def told_of(made: Tensor) -> list[Any]:
    array, node = made.array, made.node
    told = [type(made), array.dtype, array.shape, array.tobytes(), made.tracked, made.version]
    told += [type(made.base), made.chain, made.leaf_grad, made.hooks, made.written is None]
    if node is not None:
        told += [node.op, node.versions, node.attrs, node.shape, node.storage, node.hooks]
        told += [node.out is None, [type(x) for x in node.inputs], type(node.shape)]
    return told


def installed() -> list[tuple[str, Any, Any]]:
    tensors.install()
    tier = tensors._tier[0]
    methods = [(name, getattr(Tensor, name), python) for name, python in tier.methods.items()]
    public = [f for f in tier.functions if f[0].__name__ in chosen.PUBLIC]
    functions = [(f"{m.__name__}.{n}", getattr(m, n), python) for m, n, _, python in public]
    return methods + functions


NAMES = [name for name, _, _ in installed() if "empty" not in name]  # whatever memory held


def test_the_usual_names_are_there() -> None:
    assert {"__add__", "__rmul__", "__matmul__", "__neg__", "__lt__", "exp", "relu"} <= set(NAMES)
    assert {"twofold.add", "twofold.relu", "twofold.nn.functional.relu"} <= set(NAMES)
    assert len(NAMES) > 100


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_as_python_does(name: str, tracked: bool) -> None:
    fast, python = next((a, b) for n, a, b in installed() if n == name)
    assert fast is not python
    with np.errstate(all="ignore"):
        for array, others in itertools.product(ARRAYS, [*OTHERS, "same"]):
            rest = (array,) if others == "same" else others

            def given(rest: Any = rest, array: Any = array) -> list[Any]:
                # Memory of its own for each call, since 2.0 may mean `inplace`; the same layout.
                twofold.manual_seed(0)
                own = array.copy(order="K")
                turned = [own if o is array else o for o in rest]
                turned = [tensor(o) if isinstance(o, np.ndarray) else o for o in turned]
                return [tensor(own, tracked), *turned]

            wanted = facts(lambda: python(*given()))
            for _ in range(2):
                assert facts(lambda: fast(*given())) == wanted, (array.dtype, rest)


def add_of(*values: float) -> Tensor:
    x = twofold.tensor(list(values))
    x + x
    return x


def test_the_place_is_the_users_line() -> None:
    p = tensor(VALUES[:4].copy(), True)
    p * p

    def here() -> Any:
        return p * p

    for _ in range(3):
        code, instruction = here().node.where
        assert code is here.__code__
        assert isinstance(instruction, int)
        lines = {line for start, end, line in code.co_lines() if start <= instruction < end}
        assert lines == {code.co_firstlineno + 1}
    through = twofold.nn.functional.silu(p).node.where
    assert through[0].co_name == "test_the_place_is_the_users_line"


def test_edges_are_leaves_saved_values_or_nodes() -> None:
    p, x = tensor(VALUES[:4].copy(), True), tensor(VALUES[:4].copy())
    for _ in range(2):
        product, total = p * x, p + x
        assert product.node.inputs == (p, x)
        assert total.node.inputs == (p, None)
        assert (product + total).node.inputs == (product.node, total.node)
        assert (product * total).node.inputs == (product, total)
        assert (product * x).node.inputs == (product.node, x)
        y = x * 2.0
        assert y.node is None and y.tracked is False
        root = twofold.exp(p)
        assert root.node.out is None or root.node.out is root.array


def test_gradients() -> None:
    found = []
    for install in (True, False, True):
        tensors.install() if install else tensors.remove()
        for _ in range(2):
            p = twofold.tensor([0.3, -1.2, 2.0], requires_grad=True)
            w = Parameter(twofold.tensor([[1.0, 2.0, 0.5], [0.1, 0.2, 0.3]]))
            y = (
                (w @ (p * 2 + 1).exp().reshape(3, 1)).tanh() * 3 - 1 / (1 + p.sigmoid()).sum()
            ).sum()
            y.backward()
            found.append((y.item(), p.grad.array.tobytes(), w.grad.array.tobytes()))
    assert len(set(found)) == 1


def test_versions_of_views() -> None:
    base = tensor(np.arange(6, dtype="f4"), True)
    x = base * 1.0
    view = x[2:4]
    (view * 1.0).sum()
    for turn in range(300):  # past the numbers that Python keeps as single objects
        with twofold.no_grad():
            x.add_(1.0)
        y = view * 2.0
        assert y.array.tolist() == [2.0 * (3 + turn), 2.0 * (4 + turn)]
    assert (view * view).node.versions[0] == 300
    kept = x * x
    x.add_(1.0)
    with pytest.raises(GradientError, match="written"):
        kept.sum().backward()


def test_modes() -> None:
    p = tensor(VALUES[:4].copy(), True)
    for _ in range(2):
        assert (p * p).node is not None
        with twofold.no_grad():
            assert (p * p).node is None and (p * p).tracked is False
            with twofold.enable_grad():
                assert (p * p).node is not None
            seen: list[Any] = []
            other = threading.Thread(target=lambda seen=seen: seen.append((p * p).node))
            other.start()
            other.join()
            assert seen[0] is not None, "another thread has its own mode"
            assert (p * p).node is None
    assert (p * p).node is not None


def test_a_thread_that_ends_in_a_mode_leaves_none_behind() -> None:
    p = tensor(VALUES[:4].copy(), True)
    p * p
    for _ in range(20):
        runner = threading.Thread(target=lambda: bind.set_grad(False))
        runner.start()
        runner.join()
        seen: list[Any] = []
        fresh = threading.Thread(target=lambda seen=seen: seen.append((p * p).node))
        fresh.start()
        fresh.join()
        assert seen[0] is not None
    assert len(tensors.modes.rows) <= 2


def test_more_threads_with_modes_than_rows() -> None:
    p = tensor(VALUES[:4].copy(), True)
    barrier = threading.Barrier(tensors.MODE_ROWS + 3)
    wrong: list[int] = []

    def work() -> None:
        bind.set_grad(False)
        barrier.wait()
        if (p * p).node is not None:
            wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(tensors.MODE_ROWS + 2)]
    for thread in threads:
        thread.start()
    barrier.wait()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (p * p).node is not None
    assert not tensors.installed()


def test_an_interpreter_sees_everything() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def run(self, op: Any, inputs: Any, attrs: Any) -> Any:
            self.seen.append(op.name)
            return bind.run_eager(op, inputs, attrs)

    x = add_of(1.0, 2.0)
    recorder = Recorder()
    with bind.interpreter(recorder):
        twofold.relu(x + x * 2.0)
        x @ x.reshape(2, 1)
    assert recorder.seen[:3] == ["mul", "add", "relu"]
    assert "matmul" in recorder.seen


def test_subclasses_go_to_python() -> None:
    class Loud(Tensor):
        def __add__(self, other: Any) -> str:
            return "loud"

        __radd__ = __add__

    class Quiet(Tensor):
        pass

    x, loud, quiet = add_of(1.0, 2.0), Loud([1.0, 2.0]), Quiet([1.0, 2.0])
    for _ in range(2):
        assert loud + x == "loud"
        assert x + loud == "loud"
        assert (quiet + x).array.tolist() == [2.0, 4.0]
        assert (x + quiet).array.tolist() == [2.0, 4.0]
        assert (quiet * 2.0).array.tolist() == [2.0, 4.0]


def test_parameters_are_taken() -> None:
    x, w = add_of(1.0, 2.0), Parameter(twofold.tensor([1.0, 2.0]))
    w.label = "its own dict"
    for _ in range(2):
        made = w * x
        assert type(made) is Tensor and made.node.inputs == (w, x)


class Reflected:
    def __radd__(self, other: Any) -> str:
        return "reflected"

    def __add__(self, other: Any) -> Any:
        return NotImplemented


@pytest.mark.parametrize("odd", [None, "text", [1.0], object(), {}])
def test_other_operands(odd: Any) -> None:
    x = add_of(1.0, 2.0)
    errors = []
    for install in (True, False):
        tensors.install() if install else tensors.remove()
        for call in (lambda: x + odd, lambda: odd + x, lambda: twofold.add(x, odd)):
            errors.append(facts(call))
    assert errors[:3] == errors[3:]
    tensors.install()
    assert x + Reflected() == "reflected"


def test_a_tensor_without_array_or_slots() -> None:
    x = add_of(1.0, 2.0)
    empty = object.__new__(Tensor)
    for call in (lambda: x + empty, lambda: empty + x, lambda: twofold.relu(empty)):
        with pytest.raises(AttributeError):
            call()
    captured = wrap(None)
    for call in (lambda: x + captured, lambda: -captured):
        with pytest.raises(AttributeError):
            call()
    odd = add_of(1.0, 2.0)
    odd.array = np.array([1.0, 2.0], "f4").view(type("Sub", (np.ndarray,), {}))
    assert np.asarray((odd + x).array).tolist() == [2.0, 4.0]


def test_bind_itself() -> None:
    x, p = add_of(1.0, 2.0), tensor(np.array([1.0, 2.0], "f4"), True)
    add = OPS["add"]
    for _ in range(3):
        assert bind.bind(add, (x, x)).array.tolist() == [2.0, 4.0]
        assert bind.bind(add, (x, p), ()).node.inputs == (None, p)
        total = twofold.sum(p * p)
        assert total.array == 5.0 and total.node.attrs
    for wrong in [(add,), (add, (x,)), (None, (x, x)), (add, (x, None))]:
        with pytest.raises((TypeError, AttributeError, ValueError)):
            bind.bind(*wrong)


def test_softmax_keeps_what_its_rule_needs() -> None:
    p = tensor(VALUES[:4].copy().reshape(2, 2), True)
    results = []
    for install in (True, False):
        tensors.install() if install else tensors.remove()
        for _ in range(3):
            y = twofold.nn.functional.layer_norm(twofold.softmax(p, -1), (2,))
            p.grad = None
            y.backward(twofold.tensor([[1.0, 2.0], [3.0, 4.0]]))
            results.append((y.array.tobytes(), p.grad.array.tobytes()))
    assert len(set(results)) == 1


def test_removal_and_return() -> None:
    x = add_of(1.0, 2.0)
    fast = Tensor.__add__
    tensors.remove()
    assert inspect.isfunction(Tensor.__add__) and inspect.isfunction(twofold.relu)
    assert (x + x).array.tolist() == [2.0, 4.0]
    assert fast(x, x).array.tolist() == [2.0, 4.0], "machine code that somebody kept still works"
    tensors.install()
    assert not inspect.isfunction(Tensor.__add__)
    assert (x + x).array.tolist() == [2.0, 4.0]


def test_functions_look_like_python() -> None:
    assert list(inspect.signature(twofold.relu).parameters) == ["input", "out"]
    assert list(inspect.signature(twofold.zeros).parameters)[:2] == ["sizes", "size"]
    assert list(inspect.signature(Tensor.add_).parameters)[:2] == ["input", "other"]
    assert twofold.relu.__name__ == "relu"
    assert twofold.relu.__doc__
    assert pickle.loads(pickle.dumps(twofold.relu))(add_of(-1.0)).array.tolist() == [0.0]
    x = add_of(1.0, 2.0)
    assert twofold.add(input=x, other=x).array.tolist() == [2.0, 4.0]
    assert twofold.add(x, x, alpha=2).array.tolist() == [3.0, 6.0]
    target = add_of(0.0, 0.0)
    assert twofold.add(x, x, out=target) is target
    with pytest.raises(TypeError):
        twofold.relu()
    with pytest.raises(TypeError):
        twofold.relu(x, x, x)
    with pytest.raises(TypeError):
        x.add()


def test_numbers_are_kept_apart() -> None:
    x, wide, whole = add_of(1.0), tensor(np.ones(1)), tensor(np.ones(1, "i8"))
    for _ in range(2):
        for value in (2, 2.0, -0.0, 0.0, 0, 0.1, 1e300, float("inf"), 2**40, 2**70, -(2**63), True):
            for t in (x, wide, whole):
                with np.errstate(all="ignore"):
                    fast = facts(lambda t=t, value=value: t * value)
                    tensors.remove()
                    slow = facts(lambda t=t, value=value: t * value)
                    tensors.install()
                assert fast == slow, (value, t.array.dtype)
    assert np.signbit((x * -0.0).array[0]) and not np.signbit((x * 0.0).array[0])


# ---- lives


def test_the_class_has_its_own_operators() -> None:
    place = id(Tensor) + native.DEALLOC
    fast = native.word(place)
    table = native.word(id(Tensor) + native.NUMBER_TABLE)
    slots = [native.word(table + 8 * i) for i in range(36)]
    tensors.remove()
    assert (native.word(place) != fast) == (sys.version_info[:2] in native.PATCHED)
    python = [native.word(table + 8 * i) for i in range(36)]
    changed = sum(a != b for a, b in zip(slots, python, strict=True))
    assert changed == (5 if sys.version_info[:2] in native.PATCHED else 0)
    x = add_of(1.0, 2.0)
    assert (x + x).array.tolist() == [2.0, 4.0]
    tensors.install()
    assert native.word(place) == fast
    assert [native.word(table + 8 * i) for i in range(36)] == slots


def test_a_method_that_is_set_is_used() -> None:
    x = add_of(1.0, 2.0)
    before = Tensor.__add__
    Tensor.__add__ = lambda self, other: "mine"
    try:
        assert x + x == "mine"
    finally:
        Tensor.__add__ = before
    assert (x + x).array.tolist() == [2.0, 4.0]
    tensors.remove()  # Python looks the method up from now on; the tests that follow want the slot


def test_several_threads() -> None:
    p = tensor(np.arange(1000, dtype="f4"), True)
    failed: list[str] = []

    def work(by: float) -> None:
        for turn in range(500):
            y = (p * by + 1.0) * p
            if y.array[999] != (999 * by + 1) * 999 or y.node is None:
                failed.append(f"turn {turn}")

    threads = [threading.Thread(target=work, args=(float(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_an_array_that_is_taken_away_while_it_is_read() -> None:
    size = 1 << 20
    x = tensor(np.ones(size, "f4"))
    x + x
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            x.array = np.ones(size, "f4")

    other = threading.Thread(target=replace)
    other.start()
    try:
        for _ in range(50):
            assert (x + x).array.sum() == 2 * size
    finally:
        stop.set()
        other.join()


def test_unknown_slots_leave_python_in_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors.remove()
    monkeypatch.setattr(tensors, "_places", [])
    monkeypatch.setattr(native, "slot_doubts", lambda *_: "planted")
    assert tensors.install() is False
    x = add_of(1.0, 2.0)
    assert (x + x).array.tolist() == [2.0, 4.0]
    assert not tensors.installed()


def test_functions_are_found_while_another_thread_imports():
    done = threading.Event()

    def importing():
        names = [f"of-a-test-{number}" for number in range(200)]
        while not done.is_set():
            for name in names:
                sys.modules[name] = sys
            for name in names:
                del sys.modules[name]

    interval = sys.getswitchinterval()
    other = threading.Thread(target=importing)
    other.start()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            assert list(chosen.public_functions()) or tensors.installed()
    finally:
        done.set()
        other.join()
        sys.setswitchinterval(interval)
