"""x[mask] = y[mask] and x[mask] += y in compiled functions: nothing is asked for."""

import pytest

import twofold


def copies(x, y):
    x = x.clone()
    nearer = y < x
    x[nearer] = y[nearer]
    return x


def copies_rows(x, y):
    x = x * 1
    rows = y[:, 0] > 0
    x[rows] = y[rows]
    x[~rows] = (y * 2)[~rows]
    return x


def changes(x, y):
    x = x * 2
    x[x > 0.5] += 3
    x[y > 0] *= -0.5
    x[y < -1] -= y.detach()[0, 0]
    return x


def changes_without_gradient(x, y):
    x = x.detach().clone()
    x[y > 0] /= 3
    x[y.sum(1) > 0] *= y.detach()[0]
    return x


def changes_numbers(x, y):
    places = (x.detach() * 10).long()
    places[places >= 3] += 1
    places[places < 0] *= 2
    return places


def changes_a_view(x, y):
    x = x.clone()
    part = x[1:]
    part[part > y[1:]] += 1
    return x


def farthest(x, y):
    far = twofold.full((len(x),), 1e10)
    at, found = twofold.tensor(0), []
    for _ in range(4):
        found.append(at)
        away = ((x - x[at]) ** 2).sum(-1)
        nearer = away < far
        far[nearer] = away[nearer]
        at = far.argmax()
    return twofold.stack(found)


def turns(x, y):
    least = twofold.full((x.shape[1],), 9.0)
    for i in range(x.shape[0]):
        less = x[i] < least
        least[less] = x[i][less]
        least[x[i] > 1] += 0.25
    return least


def divides_by_a_tensor(x, y):
    x = x * 1
    x[y > 0] *= y.sum()
    return x


ALIKE = [
    *(copies, copies_rows, changes, changes_without_gradient, changes_numbers, changes_a_view),
    *(farthest, turns),
]


def bits(function, x, y):
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    made = function(x, y)
    if made.requires_grad:
        (made * made).sum().backward()
    parts = [made, x.grad, y.grad]
    return [p if p is None else p.detach().numpy().tobytes() for p in parts]


@pytest.mark.parametrize("plain", [*ALIKE, divides_by_a_tensor], ids=lambda f: f.__name__)
def test_masked_items_are_those_of_eager(plain):
    f = twofold.compile(plain)
    for seed, rows in enumerate((5, 7, 7, 1, 30)):
        twofold.manual_seed(seed)
        x, y = twofold.randn(rows, 3), twofold.randn(rows, 3)
        assert bits(f, x, y) == bits(plain, x, y)
    if plain in ALIKE:
        told = twofold.explain(f)
        assert told.compiles == 1
        assert told.asked == ()
        assert told.layouts <= 5


def test_gradients_of_infinite_elements_that_a_mask_leaves_out():
    def f(x):
        x = x * 1
        x[x < 1] *= 2
        return x

    x = twofold.tensor([0.5, float("inf"), float("nan"), -3.0])
    given = [x.clone().requires_grad_() for _ in range(2)]
    for function, one in zip((f, twofold.compile(f)), given, strict=True):
        function(one).nan_to_num(posinf=1).sum().backward()
    assert given[0].grad.numpy().tobytes() == given[1].grad.numpy().tobytes()


def test_a_value_of_another_type_is_refused_as_eagerly():
    def whole(x):
        x = x.long()
        x[x > 0] /= 2
        return x

    def other(x):
        counts = x.long()
        counts[x > 0] = x[x > 0]
        return counts

    x = twofold.randn(6)
    for f in (whole, other):
        with pytest.raises(twofold.base.errors.TwofoldError) as eager:
            f(x)
        with pytest.raises(type(eager.value)) as compiled:
            twofold.compile(f)(x)
        assert str(eager.value).splitlines()[0] == str(compiled.value).splitlines()[0]
