"""Sizes that have names: arithmetic, and what is known without asking."""

import itertools
import random
from operator import eq, le, lt

from twofold.base import polynomials
from twofold.base.guards import guards_hold
from twofold.base.polynomials import evaluate
from twofold.base.symbols import Table, maximum, minimum


def test_arithmetic_agrees_with_numbers():
    generator = random.Random(0)
    for _ in range(200):
        table = Table()
        a, b = generator.randint(1, 9), generator.randint(1, 9)
        n, m = table.new("n", a), table.new("m", b)
        x, y = n, a
        for _ in range(5):
            k = generator.randint(1, 5)
            x, y = generator.choice(
                [
                    (x + m, y + b),
                    (x * k, y * k),
                    (x // k, y // k),
                    (x - k, y - k),
                    (x % (m + k), y % (b + k)),
                    (minimum(x, m), min(y, b)),
                    (maximum(x, k), max(y, k)),
                    (x * m, y * b),
                    (-(-x // k), -(-y // k)),
                ]
            )
        expr = getattr(x, "expr", x)
        assert evaluate(expr, table.examples) == y
        assert not table.guards


def test_what_follows_for_all_sizes_is_not_asked():
    table = Table()
    n, m = table.new("n", 4), table.new("m", 4)
    assert n >= 0 and n + 1 > 0 and not n < 0 and n + 1 > n
    assert n * 64 // 64 == n and (n * m * 3) // (m * 3) == n and n * m == m * n
    assert (n * 6) % 3 == 0
    assert not table.guards


def test_other_questions_become_guards():
    table = Table()
    n = table.new("n", 4)
    assert n != 1 and n < 9 and n == 4
    guards = list(table.guards.values())
    assert guards_hold(guards, [4]) is None
    assert guards_hold(guards, [1]).test == "=="


def test_what_follows_from_an_answer_is_not_asked():
    table = Table()
    n, m = table.new("n", 8), table.new("m", 8)
    assert n > 0 and m >= 2
    small, other = (n - 1) // 2, (m - 2) // 3  # both 0 or more, by the answers above
    assert small >= 0 and small * other + small + other != -1 and minimum(small, other) >= 0
    assert not small * other * 8 < -8 and n + m > 2 and not m < 1
    assert len(table.guards) == 2
    assert n == m and m == n and len(table.guards) == 3
    assert m > 2 and len(table.guards) == 4  # that does not follow


def test_a_multiple_is_no_other_number():
    table = Table()
    n, m = table.new("n", 8), table.new("m", 8)
    assert n * 6 + m * 4 != 7 and n * 6 != 9
    assert not table.guards
    assert n * 6 != 12 and len(table.guards) == 1


def test_where_guards_hold_all_answers_are_the_same():
    generator = random.Random(1)
    for _ in range(300):
        table = Table()
        a, b = generator.randint(0, 9), generator.randint(0, 9)
        n, m = table.new("n", a), table.new("m", b)
        asked = []
        for _ in range(6):
            k, i, j = generator.randint(-4, 4), generator.randint(-2, 3), generator.randint(1, 3)
            way, test = generator.choice(WAYS), generator.choice((eq, lt, le))

            def question(x, y, way=way, test=test, numbers=(k, i, j)):
                return test(way(x, y, *numbers), numbers[0])

            asked.append((question, question(n, m)))
        assert all(question(a, b) == answer for question, answer in asked)
        guards = tuple(table.guards.values())
        for x, y in itertools.product(range(12), repeat=2):
            if guards_hold(guards, (x, y)) is None:
                assert all(question(x, y) == answer for question, answer in asked), (guards, x, y)


WAYS = (
    lambda x, y, k, i, j: (x - k) // j + i * y,
    lambda x, y, k, i, j: i * x * y + k,
    lambda x, y, k, i, j: x - k,
    lambda x, y, k, i, j: minimum(x, y * j) - maximum(x - k, i),
    lambda x, y, k, i, j: (x * i + y) % j,
)


def test_claims_that_some_sizes_refute_are_not_searched_for(monkeypatch):
    searched = []

    def larger(x, real=polynomials._larger):
        searched.append(x)
        return real(x)

    monkeypatch.setattr(polynomials, "_larger", larger)
    polynomials.known.cache_clear()
    polynomials._never_above_zero.cache_clear()
    table = Table()
    n = table.new("n", 32)
    for _ in range(6):  # down by a stride and up again
        n = maximum((n - 1) // 2 + 1, 1) * 2
    searched.clear()
    assert n != 4 and n == 32
    assert len(table.guards) == 2 and not searched
    assert n >= 2 and searched  # for all sizes
    assert len(table.guards) == 2


def test_a_size_passes_for_an_int():
    n = Table().new("n", 4)
    assert isinstance(n, int)
    assert list(range(n)) == [0, 1, 2, 3]
    assert str(n * 2 + 1) == "2 * n + 1" or str(n * 2 + 1) == "1 + 2 * n"


def test_what_is_remembered_by_sizes_is_of_one_program():
    seen = {}
    for _ in range(2):
        n = Table().new("n", 4)
        assert n not in seen and n == 4
        seen[n] = n * 2
    assert n in seen and len(seen) == 2
