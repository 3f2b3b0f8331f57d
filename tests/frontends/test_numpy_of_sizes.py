"""NumPy's and Python's functions of sizes in a compiled function: as eagerly, whatever the size."""

import math

import numpy as np
import pytest
from twice import bits, same

import twofold
from twofold.base.errors import ArgumentError
from twofold.ops.numpy_of_sizes import replayed

SIZES = (6, 9, 4, 1, 2, 0, 13)


def root(x):
    return x / np.sqrt(x.shape[0]) + x / math.sqrt(x.shape[0])


def whole(x):
    return x.view(int(x.size(0)), -1) * int(x.size(1)) / float(x.size(0))


def arithmetic(x):
    return x * (np.float64(2.0) * x.shape[0]) + np.power(0.5, x.shape[0]) - np.abs(3 - x.shape[0])


def extremes(x):
    return x[: np.minimum(x.shape[0], 3)] * np.maximum(x.shape[0], 3)


def product(x):
    return x.view(np.prod(x.shape))


def logarithm(x):
    return x[: int(np.ceil(np.log(x.shape[0])))] * np.floor(x.shape[0] / 2).astype(int).item()


def short(x):
    return x * (x.shape[0] * np.float32(0.1))


NUMBERS = (root, whole, arithmetic, extremes, product)
BY_SIZE = (logarithm, short)


@pytest.mark.parametrize("function", (*NUMBERS, *BY_SIZE), ids=lambda f: f.__name__)
def test_as_eagerly(function):
    compiled = twofold.compile(function)
    for n in (6, 9, 4):
        x = twofold.arange(n * 4.0).view(n, 4)
        found, wanted = compiled(x), function(x)
        assert found.dtype is wanted.dtype
        assert twofold.equal(found, wanted)
    assert twofold.explain(compiled).compiles == (1 if function in NUMBERS else 3)


# ---- arrays: one program for all sizes


def ones(x):
    return x * twofold.from_numpy(np.ones((x.shape[0], 4), dtype=np.float32))


def positions(x):
    return twofold.from_numpy(np.arange(x.shape[0])).float() + x[:, 0]


def positions_named(x):
    places = np.arange(x.shape[0])
    return twofold.tensor(places).float() + x[:, 0]


def grid(x):
    rows, columns = np.meshgrid(np.arange(x.shape[0]), np.arange(x.shape[1]), indexing="ij")
    return twofold.tensor(rows * columns) + x


def rows(x):
    return x[np.arange(1, x.shape[0])] + twofold.tensor(np.array([x.shape[0], 0.5])).sum()


def causal(x):
    n = x.shape[0]
    mask = np.triu(np.ones((1, n, n)), k=1).astype("uint8")
    mask = twofold.from_numpy(mask) == 0
    return (x @ x.T).masked_fill(mask[0] == 0, -1e9).softmax(-1)


def sinusoids(x):
    n, d = x.shape
    places = np.arange(n)[:, np.newaxis]
    axes = np.arange(d)[np.newaxis, :]
    angles = places / np.power(10000, (2 * (axes // 2)) / np.float32(d))
    angles[:, 0::2] = np.sin(angles[:, 0::2])
    angles[:, 1::2] = np.cos(angles[:, 1::2])
    return x + twofold.tensor(angles, dtype=twofold.float32)


def table_of(length, width):
    places = np.arange(length).reshape(-1, 1)
    rates = np.exp(np.arange(0, width, 2) * -(np.log(10000.0) / width))
    table = np.zeros((length, width))
    table[:, 0::2] = np.sin(places * rates)
    table[:, 1::2] = np.cos(places * rates)
    return twofold.FloatTensor(table)


def in_a_function(x):
    return x * table_of(x.shape[0], 4)


def window(x):
    return x[:, 0] * twofold.from_numpy(np.hanning(x.shape[0])).float()


def views(x):
    a = np.zeros((x.shape[0], 4), np.float32)
    b = a.T
    c = a.copy()
    b[1:3] += 2
    a *= 3
    return x * twofold.from_numpy(a) + twofold.from_numpy(c + b.T)


def operand(x):
    return np.arange(x.shape[0])[:, None] * x + x / (np.arange(x.shape[0])[:, None] + 1.0)


def joined(x):
    n = x.shape[0]
    a = np.concatenate([np.arange(n), np.arange(n)[::-1], np.repeat(np.arange(n), 2)])
    return x[a] * twofold.as_tensor(np.tile(np.linspace(0, 1, n), 4)[:, None])


def chosen(x):
    i = np.arange(x.shape[0])
    return x[:, 0] * twofold.tensor(np.where(i % 2 == 0, 1.0, -1.0))


def reduced(x):
    n = x.shape[0]
    weights = np.tril(np.full((n, n), 2.0)) + np.eye(n)
    return twofold.tensor(weights.sum(axis=1)) * x[:, 0] + twofold.tensor(weights).sum()


def written_after(x):
    a = np.ones(x.shape[0])
    t = twofold.tensor(a)
    a[:] = 5
    return t * x[:, 0] + twofold.tensor(a)


def in_a_turn(x):
    h = x.sum(0)
    for row in x:
        h = twofold.tanh(h + row) * twofold.tensor(np.arange(x.shape[0])).sum()
    return h


ARRAYS = (
    *(ones, positions, positions_named, grid, rows, causal, sinusoids, in_a_function, window),
    *(views, operand, joined, chosen, reduced, written_after, in_a_turn),
)


def alike(function, sizes=SIZES):
    """Calls and gradients, eagerly and compiled, for several sizes."""
    compiled = twofold.compile(function)
    for n in sizes:
        found = []
        for f in (compiled, function):
            x = twofold.arange(n * 4.0).view(n, 4).sin().requires_grad_()
            y = f(x)
            y.sin().sum().backward()
            found.append([(y.dtype, *bits(y)), bits(x.grad)])
        same(*found, function.__name__)
    return compiled


@pytest.mark.parametrize("function", ARRAYS, ids=lambda f: f.__name__)
def test_arrays_of_sizes_are_made_anew_for_each_size(function):
    report = twofold.explain(alike(function))
    assert report.compiles == 1, str(report)
    assert not report.as_python


# ---- arrays that are numbers after all: a program for each size


def filled_in_a_loop(x):
    n = x.shape[0]
    mask = np.zeros((n, n), dtype=np.float32)
    for i in range(n):
        mask[i, : i + 1] = 1
    return (x @ x.T) * twofold.from_numpy(mask)


def without_a_rule(x):
    a = np.arange(x.shape[0]) + 0.0
    b = np.kron(a, [1.0])
    a[0] = 7
    return x[:, 0] * twofold.tensor(a) + twofold.tensor(b)


def as_numbers(x):
    total = 0.0
    for i in np.arange(x.shape[0]):
        total = total + x[int(i)] * float(i)
    return total


@pytest.mark.parametrize("function", [filled_in_a_loop, without_a_rule, as_numbers])
def test_what_has_no_rule_is_made_for_each_size(function):
    assert twofold.explain(alike(function, (6, 9, 4))).compiles == 3


def shared(x):
    a = np.ones(x.shape[0])
    t = twofold.from_numpy(a)
    a[:] = 5
    return t * x[:, 0]


def written_by_a_tensor(x):
    a = np.ones(x.shape[0])
    twofold.from_numpy(a)[0] = 5
    return twofold.tensor(a + 1) * x[:, 0]


@pytest.mark.parametrize("function", [shared, written_by_a_tensor])
def test_memory_that_a_tensor_shares_is_pythons(function):
    report = twofold.explain(alike(function, (6, 9, 4)))
    assert report.compiles == 0
    assert "array of NumPy's" in report.as_python[0]


def test_an_array_of_objects_is_refused_outside_of_a_graph():
    with pytest.raises(TypeError, match="object has no tensor type"):
        twofold.tensor(np.array([1, 2], dtype=object))


def test_programs_with_tables_of_numpy_are_exported(tmp_path):
    def encoded(x):
        places = np.arange(x.shape[0])[:, None] / np.power(100.0, np.arange(x.shape[1]))
        table = np.zeros(places.shape, np.float32)
        table[:, 0::2] = np.sin(places[:, 0::2])
        return x + twofold.from_numpy(table)

    path = tmp_path / "encoded.program"
    twofold.export(encoded, twofold.randn(5, 4), path=path)
    loaded = twofold.load(path)
    for rows, columns in ((5, 4), (9, 6), (1, 2)):
        x = twofold.randn(rows, columns)
        assert loaded(x).tolist() == encoded(x).tolist()


@pytest.mark.parametrize("name", ["load", "lib.format.open_memmap", "ndarray.tofile", "core"])
def test_a_program_names_no_functions_but_those_of_tables(name):
    steps = (((0,), None, name, ("file",), ()),)
    with pytest.raises(ArgumentError, match="which no table is made by"):
        replayed(steps, 0)
