"""Recording on and off: blocks, decorators, generators, threads."""

import threading

import pytest

import twofold
from twofold import autograd

X = twofold.ones(2, requires_grad=True)


def recorded():
    """Whether an operation on a tracked tensor is recorded now."""
    seen = (X * 2).requires_grad
    assert seen == twofold.is_grad_enabled()
    return seen


MODES = {
    "no_grad": (lambda t: t.no_grad(), False),
    "enable_grad": (lambda t: t.enable_grad(), True),
    "inference_mode": (lambda t: t.inference_mode(), False),
    "inference_mode(True)": (lambda t: t.inference_mode(mode=True), False),
    "inference_mode(False)": (lambda t: t.inference_mode(False), True),
    "set_grad_enabled(False)": (lambda t: t.set_grad_enabled(False), False),
    "set_grad_enabled(True)": (lambda t: t.set_grad_enabled(mode=True), True),
}


@pytest.fixture(autouse=True)
def usual():
    assert recorded()
    yield
    assert recorded()


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("around", [True, False])
def test_a_block(name, around):
    make, inside = MODES[name]
    with twofold.set_grad_enabled(around):
        with make(twofold):
            assert recorded() is inside
        assert recorded() is around
        with pytest.raises(KeyError), make(twofold):
            raise KeyError
        assert recorded() is around


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("around", [True, False])
def test_a_decorator(name, around):
    make, inside = MODES[name]
    with twofold.set_grad_enabled(around):

        @make(twofold)
        def run(a, *, b):
            """What it does."""
            return recorded(), a + b

        assert recorded() is around
    with twofold.set_grad_enabled(around):
        assert run(1, b=2) == (inside, 3)
        assert recorded() is around
    assert run(1, b=2) == (inside, 3)
    assert run.__name__ == "run" and run.__doc__ == "What it does."


@pytest.mark.parametrize("name", ["no_grad", "enable_grad", "inference_mode"])
def test_a_decorator_without_parentheses(name):
    decorate = getattr(twofold, name)

    @decorate
    def run():
        return recorded()

    assert run() is MODES[name][1]


def test_a_decorated_function_may_call_itself():
    @twofold.no_grad()
    def count(n):
        assert not recorded()
        return n if n == 0 else 1 + count(n - 1)

    assert count(3) == 3


def test_a_decorated_generator():
    log = []

    @twofold.no_grad()
    def numbers():
        try:
            got = None
            while got != "stop":
                log.append(recorded())
                got = yield len(log)
                log.append(recorded())
            return "end"
        finally:
            log.append(recorded())

    running = numbers()
    assert next(running) == 1
    assert recorded()
    assert running.send("more") == 3
    with pytest.raises(StopIteration) as stopped:
        running.send("stop")
    assert stopped.value.value == "end"
    assert log == [False] * 5

    running = numbers()
    next(running)
    with pytest.raises(KeyError):
        running.throw(KeyError)
    running = numbers()
    next(running)
    running.close()
    assert log[-1] is False


def test_classes_are_not_decorated():
    with pytest.raises(TypeError, match="decorates functions"):

        @twofold.inference_mode()
        class Model:
            pass


def test_set_grad_enabled_at_once():
    twofold.set_grad_enabled(False)
    assert not recorded()
    twofold.set_grad_enabled(True)


def test_one_object_can_be_entered_again():
    off = twofold.no_grad()
    for _ in range(2):
        with off:
            assert not recorded()
        assert recorded()


def test_a_new_thread_records():
    seen = []
    with twofold.no_grad():
        thread = threading.Thread(target=lambda: seen.append(recorded()))
        thread.start()
        thread.join()
        assert not recorded()
    assert seen == [True]


def test_threads_have_modes_of_their_own():
    enter, leave = threading.Barrier(2), threading.Barrier(2)
    seen = []

    def work():
        with twofold.no_grad():
            enter.wait(5)
            seen.append(recorded())
            leave.wait(5)

    thread = threading.Thread(target=work)
    thread.start()
    enter.wait(5)
    seen.append(recorded())
    leave.wait(5)
    thread.join()
    assert sorted(seen) == [False, True]


def test_the_modes_stand_in_both_namespaces():
    names = ("no_grad", "enable_grad", "inference_mode", "set_grad_enabled")
    assert all(getattr(twofold, name) is getattr(autograd, name) for name in names)
