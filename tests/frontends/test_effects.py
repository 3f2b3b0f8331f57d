"""Python inside of programs: it runs at every run, in order."""

import twofold


def test_print_shows_values_at_every_run(capsys):
    @twofold.compile
    def f(x):
        y = x * 2
        twofold.print("y is", y, 7)
        return y + 1

    for value in (1.0, 2.0):
        f(twofold.tensor([value]))
    assert capsys.readouterr().out == "y is tensor([2.]) 7\ny is tensor([4.]) 7\n"
    twofold.print("outside", twofold.ones(1))
    assert capsys.readouterr().out == "outside tensor([1.])\n"


def test_callbacks_run_in_order_and_give_values_back():
    seen = []

    @twofold.compile
    def f(x):
        twofold.callback(lambda a: seen.append(("first", a.item())), x.sum())
        y = twofold.callback(lambda a: a * 10, x, like=x)
        twofold.callback(lambda a: seen.append(("second", a.tolist())), y)
        return y + 1

    assert f(twofold.tensor([1.0, 2.0])).tolist() == [11.0, 21.0]
    assert f(twofold.tensor([3.0])).tolist() == [31.0]
    assert seen == [("first", 3.0), ("second", [10.0, 20.0]), ("first", 3.0), ("second", [30.0])]


def test_an_error_in_a_callback_is_raised():
    @twofold.compile
    def f(x):
        twofold.callback(lambda a: 1 / 0, x)
        return x

    for _ in range(2):
        try:
            f(twofold.ones(1))
        except ZeroDivisionError:
            continue
        raise AssertionError("nothing was raised")


def test_trace_and_script_make_programs_at_once():
    traced = twofold.jit.trace(lambda x: x.exp() + 1, twofold.ones(2))
    assert len(traced.all_programs()) == 1
    assert "fused" in str(traced.all_programs()[0].graph)

    def f(x):
        if x.sum() > 0:
            return x
        return -x

    assert twofold.jit.script(f)(-twofold.ones(2)).tolist() == [1.0, 1.0]
