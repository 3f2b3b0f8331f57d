"""Loops as users write them: one program for all lengths, the bits of eager calls."""

import gc
import math

import numpy as np
import pytest
from twice import bits, same

import twofold
from twofold import nn
from twofold.base.trees import leaves_of

F = nn.functional
SIZES = (3, 5, 8)


def alike(make, *arguments, programs=1):
    """Calls of make()'s function, and its gradients, eagerly and compiled."""
    found = []
    for compiled in (False, True):
        twofold.manual_seed(3)
        made, parameters = make()
        f = twofold.compile(made) if compiled else made
        rows = []
        for args in arguments:
            given = [x.clone() for x in args]
            rows += [bits(x) for x in (*leaves_of(f(*given)), *given)]
            rows += [None if p.grad is None else bits(p.grad) for p in parameters]
        found.append(rows)
    same(*found)
    assert len(f.all_programs()) == programs


def plain(f, *arguments, programs=1):
    alike(lambda: (f, ()), *arguments, programs=programs)


def rows(width=4):
    return [(twofold.randn(n, width),) for n in SIZES]


# ---- written in place ---------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 0.0, "tensor"])
def test_a_loss_is_added_up_in_place(start):
    def make():
        layer = nn.Linear(4, 4)

        def f(x):
            layer.zero_grad()
            loss = twofold.zeros(()) if start == "tensor" else start
            for t in range(1, x.size(0)):
                loss += layer(x[t]).square().sum()
            loss.backward()
            return loss.detach()

        return f, list(layer.parameters())

    alike(make, *rows())


def test_teacher_forcing():
    def make():
        emb, cell, out = nn.Embedding(7, 4), nn.LSTMCell(4, 4), nn.Linear(4, 7)
        parameters = [*emb.parameters(), *cell.parameters(), *out.parameters()]
        opt = twofold.optim.Adam(parameters, lr=0.01)

        def f(target):
            batch, length = target.shape
            state = twofold.zeros(batch, 4), twofold.zeros(batch, 4)
            loss, token = 0.0, target[:, 0]
            for t in range(1, length):
                state = cell(emb(token), state)
                loss += F.cross_entropy(out(state[0]), target[:, t])
                token = target[:, t]
            loss = loss / (length - 1)
            opt.zero_grad()
            loss.backward()
            opt.step()
            return loss.item()

        return f, parameters

    alike(make, *[(twofold.randint(0, 7, (2, n)),) for n in SIZES])


def named_twice(x):
    h = x[0] * 1
    g = h
    for t in range(1, x.size(0)):
        h += x[t]
    return g, h


def a_view_of_it(x):
    h = twofold.zeros(4)
    part = h[1:]
    for t in range(1, x.size(0)):
        h += x[t]
    return part, h


def an_argument(x):
    h = x
    for _ in range(1, x.size(0)):
        h *= 1.5
    return h.sum()


def in_the_list(x):
    h, outs = x[0] * 1, []
    for t in range(1, x.size(0)):
        h += x[t]
        outs.append(h)
    return twofold.stack(outs)


def in_the_list_before(x):
    h, outs = x[0] * 1, []
    for t in range(1, x.size(0)):
        outs.append(h)
        h += x[t]
    return twofold.stack(outs), h


def anew_and_in_place(x):
    h, outs = x[0] * 1, []
    for t in range(1, x.size(0)):
        h = h + x[t]
        h += 1
        outs.append(h)
    return twofold.stack(outs), h


def read_meanwhile(x):
    h = twofold.zeros(4)
    g, total = h, twofold.zeros(4)
    for t in range(x.size(0)):
        h += x[t]
        total = total + g
    return total


def under_two_names(x):
    h = twofold.zeros(4)
    best = h
    for t in range(x.size(0)):
        h += x[t]
        best = h
    return best, h


ONE = [named_twice, a_view_of_it, an_argument, anew_and_in_place]
MANY = [in_the_list, in_the_list_before, read_meanwhile, under_two_names]  # unrolled


@pytest.mark.parametrize("f", [*ONE, *MANY])
def test_names_of_what_a_loop_writes_in_place(f):
    plain(f, *rows(), programs=1 if f in ONE else 3)


def test_a_while_writes_in_place():
    def f(x):
        h = x
        while x.abs().sum() > 1:
            x = x * 0.5
            h += x
        return h

    plain(f, *rows())


# ---- nothing before the loop --------------------------------------------------------------------


def no_state_yet(x):
    h = None
    for t in range(x.size(0)):
        h = x[t] if h is None else 0.5 * h + x[t]
    return h


def no_state_and_a_list(x):
    h, outs = None, []
    for t, row in enumerate(x):
        h = row * t if h is None else h + row
        outs.append(h)
    return h, twofold.stack(outs)


def no_best_yet(x):
    best = None
    for row in x:
        score = row.sum()
        if best is None or score > best:
            best = score
    return best


@pytest.mark.parametrize("f", [no_state_yet, no_state_and_a_list, no_best_yet])
def test_names_that_are_none_before_a_loop(f):
    plain(f, *rows())


def test_nothing_is_left_none_by_a_while():
    def f(x):
        h = None
        while x.sum().abs() > 1:
            x = x * 0.5
            h = x if h is None else h + x
        return x if h is None else h

    plain(f, *[(x * 9,) for (x,) in rows()], programs=0)


# ---- lists --------------------------------------------------------------------------------------


def with_a_first(x):
    outs = [x[0]]
    for t in range(1, x.size(0)):
        outs.append(outs[-1] * 0.5 + x[t])
    return twofold.stack(outs), twofold.cat(outs)


def put_before(x):
    h, outs = twofold.zeros(4), []
    for t in reversed(range(x.size(0))):
        h = twofold.tanh(x[t] + h)
        outs.insert(0, h)
    return twofold.stack(outs)


def turned_round(x):
    h, outs = twofold.zeros(4), []
    for t in range(x.size(0) - 1, -1, -1):
        h = twofold.tanh(x[t] + h)
        outs.append(h)
    first = twofold.stack(outs[::-1])
    outs.reverse()
    return first, twofold.stack(outs), twofold.stack(list(reversed(outs)))


def two_each_turn(x):
    outs = []
    for row in x:
        outs.append(row)
        outs.append(row * 2)
    return twofold.stack(outs)


def more_afterwards(x):
    outs = []
    for row in x:
        outs.append(row * 2)
    outs.append(x[0])
    outs.insert(0, x[-1])
    return twofold.stack(outs)


def filled_twice(x):
    outs = []
    for row in x:
        outs.append(row * 2)
    for row in x[1:]:
        outs.append(row * 3)
    return twofold.stack(outs)


def the_best_path(x):
    score, back = x[0], []
    for t in range(1, x.size(0)):
        score, index = (score.unsqueeze(1) + x[0] * x[1].unsqueeze(1)).max(0)
        score = score + x[t]
        back.append(index)
    best = score.argmax()
    path = [best]
    for index in reversed(back):
        best = index[best]
        path.append(best)
    path.reverse()
    return twofold.stack(path)


def its_length(x):
    outs, n = [], 0
    for row in x:
        outs.append(row)
        n = n + len(outs)
    return n


LISTS = [with_a_first, put_before, turned_round, two_each_turn, more_afterwards, filled_twice]


@pytest.mark.parametrize("f", [*LISTS, the_best_path, its_length])
def test_lists(f):
    plain(f, *rows(), programs=3 if f is its_length else 1)


def each_row(x):
    return twofold.stack([row * 2 for row in x]), sum(row.square() for row in x)


def by_number(x):
    made = [x[i] if i > 0 else x[i] * 2 for i in range(len(x))]
    return twofold.stack(made), twofold.cat(tuple(row[None] for row in x))


def with_numbers(x):
    return twofold.stack([a * b + i for i, (a, b) in enumerate(zip(x, x * 2, strict=True))])


def of_python(x):
    made = [x * k for k in (1, 2)] + [row for row in (x, x + 1) if row.shape[0] > 2]
    return sum(made), sum([1, 2], 3), list(k for k in range(3))


@pytest.mark.parametrize("f", [each_row, by_number, with_numbers, of_python])
def test_comprehensions(f):
    plain(f, *rows())


def test_other_functions_by_the_name_of_sum():
    def f(x):
        sum = lambda parts: twofold.stack(list(parts)).prod(0)  # noqa: E731
        return sum(row for row in x)

    plain(f, *rows(), programs=3)


# ---- state elsewhere ----------------------------------------------------------------------------


class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.weigh = nn.GRUCell(4, 6), nn.Linear(6, 5)
        self.memory = self.state = None
        self.turns = 0

    def begin(self, batch):
        self.memory, self.state = twofold.zeros(batch, 5, 3), twofold.zeros(batch, 6)
        self.turns = 0

    def forward(self, x):
        self.state = self.cell(x, self.state)
        weights = self.weigh(self.state).softmax(-1)
        self.memory = self.memory + weights.unsqueeze(-1) * x[:, None, :3]
        self.turns += 1
        return (weights.unsqueeze(1) @ self.memory).squeeze(1)


def test_state_of_a_module():
    def make():
        net = Memory()

        def f(x, y):
            net.zero_grad()
            net.begin(x.size(1))
            loss = 0.0
            for t in range(x.size(0)):
                loss += F.mse_loss(net(x[t]), y[t])
            loss.backward()
            return loss.detach(), net.memory.detach(), net.turns

        return f, list(net.parameters())

    # whether there is a memory before it is no matter: it is set first
    sizes = [(twofold.randn(n, 2, 4), twofold.randn(n, 2, 3)) for n in (*SIZES, 2)]
    alike(make, *sizes, programs=1)


def in_a_dict(x):
    state = {"h": twofold.zeros(4), "c": twofold.zeros(4)}
    for row in x.unbind(0):
        state["h"], state["c"] = twofold.tanh(state["h"] + row), state["c"] + state["h"]
    return state


def in_layers(x):
    states, outs = [twofold.zeros(4) for _ in range(2)], []
    for t in range(x.size(0)):
        new = x[t]
        for i in range(2):
            new = states[i] = twofold.tanh(new + 0.5 * states[i])
        outs.append(new)
    return twofold.stack(outs), twofold.stack(states)


def sums_and_counts(x):
    made = [0, 0]
    for i in range(x.size(0)):
        made[0] += x[i].sum()
        made[1] = made[1] + (x[i] > 0).sum()
    return made[0], made[1]


def in_steps(x):
    losses = [0 for _ in range(4)]
    for i in range(x.size(0)):
        losses[0] = losses[0] + x[i].mean()
        for step in range(1, 3):
            losses[step + 1] += (step * x[i]).sum()
    return losses[0], losses[-1]


@pytest.mark.parametrize("f", [in_a_dict, in_layers, sums_and_counts, in_steps])
def test_state_in_containers(f):
    plain(f, *rows())


# ---- counters and sizes -------------------------------------------------------------------------


def counted(x):
    t, s = 0, twofold.zeros(4)
    while t < x.shape[0]:
        s = s * 0.5 + x[t]
        t += 1
    return s, t


def test_a_counter_goes_up_to_a_size():
    plain(counted, *rows())


def test_functions_that_were_frozen_are_rewritten():
    gc.freeze()
    try:
        plain(counted, *rows())
    finally:
        gc.unfreeze()


def test_a_while_that_needs_whole_numbers_is_unrolled():
    def f(x):
        n, parts = x.shape[0], []
        while n > 1:
            parts.append(x[:n].sum())
            n = n // 2
        return twofold.stack(parts)

    plain(f, *rows(), programs=3)


def test_the_root_of_a_size():
    def f(q):
        scores = q @ q.transpose(-2, -1) / math.sqrt(q.size(-1))
        return scores.softmax(-1) @ q

    plain(f, *[(twofold.randn(2, n, n + 1),) for n in SIZES])


@pytest.mark.parametrize("grad", [False, True])
def test_attention_of_any_head_size(grad):
    def f(x):
        b, n, d = x.shape
        q = x.view(b, n, 2, d // 2).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, q, q)
        if not grad:
            return y
        return twofold.autograd.grad(y.square().sum(), x)

    sizes = [(twofold.randn(2, n, 2 * n).requires_grad_(grad),) for n in SIZES]
    plain(f, *sizes)
    assert np.isfinite(f(*sizes[0])[0].detach().numpy()).all()
