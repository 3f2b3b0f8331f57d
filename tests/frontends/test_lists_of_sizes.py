"""Lists as long as a size, in compiled functions: one program; and where they are used one by one,
the same results by one program for each size.
"""

import pytest

import twofold
from twofold.base.trees import flatten


def rows(x):
    return x.shape[0]


def alike(function, programs=1, sizes=(3, 4, 1, 7, 3)):
    compiled = twofold.compile(function)
    for n in sizes:
        x = twofold.randn(n, 3)
        (found, form), (wanted, other) = flatten(compiled(x)), flatten(function(x))
        assert form == other
        for a, b in zip(found, wanted, strict=True):
            assert type(a) is type(b)
            if isinstance(a, twofold.Tensor):
                assert (a.dtype, a.tolist()) == (b.dtype, b.tolist())
            else:
                assert a == b
    if programs is not None:
        assert len(compiled.all_programs()) == programs
    return compiled


def extended(x):
    outs, h = [x[0]], x[0]
    for t in range(rows(x)):
        h = twofold.tanh(h + x[t])
        outs += [h]
        outs.extend([h * 2, outs[-1] + 1])
    return twofold.stack(outs)


def summed_lists(x):
    after, before = [], []
    for row in x:
        old = after
        after = after + [row, row * 2]
        old.append(row * 3)
        before = [row] + before
    return twofold.stack(after), twofold.stack(before)


def losses(x):
    out = []
    for row in x:
        out.append(row.sum().item())
    return out, sum(out) / len(out)


def means(x):
    out = [row.sum() for row in x]
    return sum(out) / len(out), {"rows": [row * 2 for row in x]}


def gone_over(x):
    for v in x[:, 0].tolist():
        x = x * 0.5 + v
    return x


def counted(x):
    return twofold.tensor(list(range(rows(x)))), [i * 2 for i in range(rows(x))]


@pytest.mark.parametrize(
    "function",
    [
        extended,
        summed_lists,
        losses,
        means,
        gone_over,
        lambda x: x[:, 0].tolist(),
        lambda x: (x[:, 0] > 0).tolist(),
        lambda x: [v.item() for v in x[:, 0]],
        lambda x: twofold.LongTensor([2 for _ in range(rows(x))]),
        lambda x: twofold.tensor([0.5] * rows(x)) + x[:, 0],
        lambda x: twofold.tensor([1, 2] * rows(x)),
        lambda x: twofold.tensor([[7] * rows(x)]),
        lambda x: twofold.LongTensor([rows(x)] * 4),
        lambda x: x * twofold.tensor([rows(x), 2.0, x.shape[1]]),
        lambda x: twofold.cat([x[:1]] * rows(x)),
        lambda x: twofold.stack([x[0], x[0] * 2] * rows(x)),
        lambda x: twofold.stack([a @ b for a, b in zip(x, [x[0]] * rows(x), strict=True)]),
    ],
)
def test_one_program(function):
    alike(function)


def test_lists_of_numbers_of_a_range():
    def f(x):
        total = 0
        for i in range(rows(x)):
            total = total + i
        return counted(x), total

    alike(f)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: max(x[:, 0].tolist()),
        lambda x: sorted(x[:, 0].tolist())[:2],
        lambda x: twofold.LongTensor([[7]] * rows(x)),
        lambda x: x[[0] * rows(x)] + 1,
        lambda x: [twofold.stack(parts) for parts in zip(*[(r + 1, r) for r in x], strict=True)],
        lambda x: twofold.stack([o[0] for o in [(r + 1, r * 2) for r in x]]),
        lambda x: twofold.tensor([[r.sum(), r.mean()] for r in x]),
    ],
)  # fmt: skip
def test_what_is_used_one_by_one(function):
    alike(function, programs=None)


def test_lists_of_tuples_are_not_mixed_up():
    def last(x):
        out = []
        for row in x:
            out.append((row, row * 2))
        return out[-1][0], len(out)

    alike(last, programs=None)
    compiled = twofold.compile(last)
    x = twofold.randn(300, 3)  # too many turns to unroll
    assert compiled(x)[0].tolist() == last(x)[0].tolist()
    assert compiled(x)[1] == 300


def test_what_is_changed_one_by_one():
    def f(x):
        ones = [1] * rows(x)
        ones[0] = 3
        kept = [x[0]] * rows(x)
        kept.append(x[0] * 2)
        return twofold.tensor(ones), kept

    alike(f, programs=None)


def test_lists_of_results_have_gradients():
    w = twofold.randn(3, requires_grad=True)
    compiled = twofold.compile(lambda x: [row * w for row in x])
    for n in (3, 5, 3):
        x = twofold.randn(n, 3)
        found = compiled(x)
        assert len(found) == n
        assert all(row.requires_grad for row in found)
        (one,) = twofold.autograd.grad(sum(row.sum() * k for k, row in enumerate(found)), w)
        wanted = [row * w for row in x]
        (two,) = twofold.autograd.grad(sum(row.sum() * k for k, row in enumerate(wanted)), w)
        assert twofold.allclose(one, two)
    assert len(compiled.all_programs()) == 1


def collated(a, b):
    parts = [a, b]
    longest = max(len(x) for x in parts)
    least = min([len(x) for x in parts])
    padded = [twofold.nn.functional.pad(x, (0, longest - len(x))) for x in parts]
    return twofold.stack(padded) * least + max(len(a), len(b), 2) - min(3, len(a))


def test_the_longest_of_several_sizes_is_one_of_the_same_program():
    compiled = twofold.compile(collated)
    for sizes in ((3, 5), (6, 2), (4, 4), (1, 1)):
        a, b = map(twofold.randn, sizes)
        assert twofold.equal(compiled(a, b), collated(a, b))
    assert len(compiled.all_programs()) == 1


def test_extremes_of_rows_and_by_keys_are_those_of_python():
    def f(x):
        lengths = [len(x), 3]
        return max(lengths, key=lambda n: -n) + max(r.sum() for r in x) + min(len(x), 2.5)

    compiled = twofold.compile(f)
    for n in (2, 4):
        x = twofold.randn(n, 3)
        assert compiled(x).item() == f(x).item()
