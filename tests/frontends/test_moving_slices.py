"""Slices whose place a loop of a graph counts, or a number of the user's: one program for all."""

import pytest

import twofold


def bits(x):
    return x.dtype, x.shape, x.detach().numpy().tobytes()


def alike(function, calls, programs=1):
    """The same bits as eagerly for each of the calls, and as many programs in all."""
    compiled = twofold.compile(function, fullgraph=True)
    for args in calls:
        assert bits(compiled(*args)) == bits(function(*args))
    assert len(compiled.all_programs()) == programs


def lengths(*rest, more=0):
    return [(twofold.randn(n + more, *rest),) for n in (3, 4, 5, 7, 1, 8)]


def rows(x):
    return x.shape[0]


def windows(x):
    out = []
    for i in range(rows(x) - 2):
        out.append(x[i : i + 3].sum())
    return twofold.stack(out)


def blocks(x):
    h = twofold.zeros(4)
    for k in range(rows(x) // 4):
        h = twofold.tanh(h + x[k * 4 : (k + 1) * 4])
    return h


def parts(x):
    size = rows(x) // 2
    out = []
    for k in range(2 * 1):
        out.append(x[k * size : k * size + size].sum())
    for i in range(rows(x)):
        out.append(x[i : i + 1].sum())
    return twofold.stack(out[2:])


def backwards(x):
    total = twofold.zeros(2, 3)
    for i in range(rows(x) - 2, -1, -1):
        total = total * 0.5 + x[i : i + 2, 1:]
    return total


def added(x):
    out = twofold.zeros(rows(x) + 3, 2)
    for i in range(rows(x)):
        out[i : i + 3] += x[i]
    return out


def written(x):
    out = twofold.zeros(2, rows(x) + 3, 2)
    for i in range(rows(x)):
        out[:, i : i + 3] = out[:, i : i + 3] * 0.5 + x[i]
        out[0, i : i + 2] = x[i]
    return out


def ended(x):
    total = twofold.zeros(())
    for i in range(rows(x) - 1):
        total = total + x[i : i + 2].sum()
        if total > 1:
            break
    return total * i


def differentiated(x):
    y = x.detach().requires_grad_()
    total = twofold.zeros(())
    for i in range(rows(y) - 2):
        total = total + (y[i : i + 3] ** 2).sum() * (i + 1)
    total.backward()
    return y.grad


def narrowed(x):
    return twofold.stack([x.narrow(0, i, 3).sum() for i in range(rows(x) - 2)])


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (windows, lengths(more=3)),
        (blocks, lengths(more=5)),
        (parts, lengths(more=2)),
        (backwards, lengths(4, more=3)),
        (added, lengths(2)),
        (written, lengths(2)),
        (ended, lengths(more=1)),
        (differentiated, lengths(more=3)),
        (narrowed, lengths(more=3)),
        (lambda x: twofold.stack([x[i : i + 4].sum() for i in range(0, rows(x), 4)]),
         [(twofold.randn(n * 4),) for n in (3, 5, 1)]),
    ],
)  # fmt: skip
def test_one_program_for_all_sizes(function, calls):
    alike(function, calls)


def test_numbers_of_the_users():
    x = twofold.randn(12, 3)
    alike(lambda x, i: x[i : i + 2] * 2, [(x, i) for i in (3, 0, 7, 10)])
    alike(lambda x, i: x.narrow(1, i, 2) * 2, [(x, i) for i in (0, 1, 0)])

    def put(x, i):
        y = x.clone()
        y[i : i + 3, 1] = 0.0
        y[i - 1 : i + 1] *= 2.0
        return y

    alike(put, [(x, i) for i in (3, 1, 7, 9)])


def test_slices_that_leave_their_axis_are_shorter():
    x = twofold.arange(7.0)
    f = twofold.compile(lambda x, i: x[i : i + 3] * 2)
    for i in (1, 5, 6, 7, 9, -2, -5, 2):
        assert bits(f(x, i)) == bits(x[i : i + 3] * 2)

    def ragged(x):
        return twofold.stack([x[i : i + 4].sum() for i in range(0, x.shape[0], 4)])

    g = twofold.compile(ragged)
    for n in (8, 9, 3, 12, 15):
        x = twofold.randn(n)
        assert bits(g(x)) == bits(ragged(x))


def test_a_slice_that_is_written_under_another_name_is_seen():
    def f(x):
        out = twofold.zeros(x.shape[0] + 1)
        for i in range(x.shape[0]):
            part = out[i : i + 2]
            part += x[i]
        return out

    compiled = twofold.compile(f)
    for n in (3, 5):
        x = twofold.randn(n)
        assert bits(compiled(x)) == bits(f(x))
