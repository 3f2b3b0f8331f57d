"""What is answered without a guard follows for all sizes: against every size from 0 to 8."""

import random

from twofold.base.guards import guards_hold
from twofold.base.symbols import Table, is_symbol, maximum, minimum, value_of
from twofold.ops.indexing import Slice, length_of

STEPS = {
    "+": lambda a, b, c: a + b,
    "-": lambda a, b, c: a - b,
    "*": lambda a, b, c: a * c,
    "//": lambda a, b, c: a // c,
    "%": lambda a, b, c: a % c,
    "min": lambda a, b, c: minimum(a, b),
    "max": lambda a, b, c: maximum(a, b),
}
TESTS = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b, "==": lambda a, b: a == b}


def formula(draw, sizes, depth):
    if depth == 0 or draw.random() < 0.3:
        return draw.choice([draw.choice(sizes), draw.randint(0, 4)])
    a, b = formula(draw, sizes, depth - 1), formula(draw, sizes, depth - 1)
    return STEPS[draw.choice(list(STEPS))](a, b, draw.randint(1, 4))


def test_answers_hold_for_all_sizes():
    draw = random.Random(1)
    answered = 0
    for _ in range(600):
        table = Table()
        sizes = [table.new(name, draw.randint(0, 5)) for name in "nm"]
        a, b = formula(draw, sizes, 3), formula(draw, sizes, 3)
        if not (is_symbol(a) or is_symbol(b)):
            continue
        for name, test in TESTS.items():
            before = len(table.guards)
            answer = test(a, b)
            if len(table.guards) > before:
                continue
            answered += 1
            for given in [(n, m) for n in range(9) for m in range(9)]:
                if guards_hold(tuple(table.guards.values()), given) is None:
                    right = test(value_of(a, given), value_of(b, given))
                    assert right is answer, (a, name, b, given)
    assert answered > 200


def test_the_length_of_a_slice_asks_nothing():
    bounds = [None, -7, -2, -1, 0, 1, 3, 9]
    for start in bounds:
        for stop in bounds:
            for step in (None, 1, 2, -1, -2):
                table = Table()
                length = length_of(Slice(start, stop, step), table.new("n", 5))
                assert not table.guards
                for n in range(12):
                    right = len(range(*slice(start, stop, step).indices(n)))
                    assert value_of(length, (n,)) == right, (start, stop, step, n)
