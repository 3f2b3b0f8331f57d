"""Training as people ask about in forums: frozen layers, loaded states, hooks, rates by hand."""

import copy

import pytest
from programs import agree, everything, mlp, xs

import twofold
import twofold.nn.functional as F
from twofold import nn, optim

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def plain_step(m, o):
    """The step that most programs have."""

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        o.step()
        return loss

    return step


@program
def accumulate(compile):
    m = mlp()
    o = optim.Adam(m.parameters(), lr=0.01)
    k = 4

    def step(x, y, i):
        loss = F.cross_entropy(m(x), y) / k
        loss.backward()
        if (i + 1) % k == 0:
            o.step()
            o.zero_grad(set_to_none=True)
        return loss.item() * k

    g = compile(step)
    return ([g(xs(5, 3), twofold.randint(0, 2, (5,)), i) for i in range(9)], everything(m, o))


@program
def freeze(compile):
    m = mlp()
    o = optim.SGD(m.parameters(), lr=0.1, momentum=0.9)

    step = plain_step(m, o)
    g = compile(step)
    out = []
    for i in range(8):
        for p in m[0].parameters():
            p.requires_grad_(i % 3 != 1)
        out.append(g(xs(5, 3), twofold.randint(0, 2, (5,))))
    return (out, everything(m, o))


@program
def traineval(compile):
    m = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    g = compile(m)
    out = []
    for i in range(6):
        (m.train if i % 2 else m.eval)()
        out.append(g(xs(5, 3)))
    return (out, m.state_dict())


@program
def addgroup(compile):
    a, b = (nn.Linear(3, 3), nn.Linear(3, 1))
    o = optim.Adam(a.parameters(), lr=0.1)

    def step(x):
        o.zero_grad()
        loss = b(a(x)).pow(2).mean()
        loss.backward()
        o.step()
        return loss

    g = compile(step)
    out = [g(xs(4, 3)) for _ in range(3)]
    o.add_param_group({"params": b.parameters(), "lr": 0.01})
    out += [g(xs(4, 3)) for _ in range(3)]
    return (out, everything(a, o), everything(b))


@program
def loadstate(compile):
    m = mlp()
    o = optim.Adam(m.parameters(), lr=0.01)

    step = plain_step(m, o)
    g = compile(step)
    d = [(xs(5, 3), twofold.randint(0, 2, (5,))) for _ in range(3)]
    out = [g(*b) for b in d]
    sd = copy.deepcopy(m.state_dict())
    so = copy.deepcopy(o.state_dict())
    out += [g(*b) for b in d]
    m.load_state_dict(sd)
    o.load_state_dict(so)
    out += [g(*b) for b in d]
    return (out, everything(m, o))


@program
def lrhand(compile):
    m = mlp()
    o = optim.AdamW(m.parameters(), lr=0.01)

    step = plain_step(m, o)
    g = compile(step)
    out = []
    for i in range(6):
        for gr in o.param_groups:
            gr["lr"] = 0.01 / (i + 1)
            gr["weight_decay"] = 0.1 * (i % 2)
        out.append(g(xs(5, 3), twofold.randint(0, 2, (5,))))
    return (out, everything(m, o))


@program
def nogradmix(compile):
    m = mlp()
    ema = copy.deepcopy(m)
    o = optim.SGD(m.parameters(), lr=0.1)

    def step(x):
        with twofold.no_grad():
            t = ema(x)
        loss = F.mse_loss(m(x), t + 1)
        o.zero_grad()
        loss.backward()
        o.step()
        with twofold.no_grad():
            for p, q in zip(ema.parameters(), m.parameters(), strict=False):
                p.mul_(0.9).add_(q, alpha=0.1)
        return loss

    g = compile(step)
    return ([g(xs(4, 3)) for _ in range(4)], everything(m, o), everything(ema))


@program
def hooks(compile):
    m = mlp()
    m[0].register_forward_hook(lambda mod, i, o: o * 2)
    m[2].register_forward_pre_hook(lambda mod, i: (i[0] + 1,))
    h = m[0].weight.register_hook(lambda g: g * 0.5)

    def f(x):
        m.zero_grad()
        loss = m(x).sum()
        loss.backward()
        return loss

    g = compile(f)
    out = [g(xs(4, 3)), [p.grad.clone() for p in m.parameters()]]
    h.remove()
    out += [g(xs(4, 3)), [p.grad.clone() for p in m.parameters()]]
    return out


@program
def gradclipnan(compile):
    m = mlp()
    o = optim.Adam(m.parameters(), lr=0.01)
    skipped = []

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        n = nn.utils.clip_grad_norm_(m.parameters(), 0.5)
        if not twofold.isfinite(n):
            skipped.append(1)
            return loss
        o.step()
        return loss

    g = compile(step)
    b = xs(4, 3)
    b[0] = float("inf")
    y = twofold.randint(0, 2, (4,))
    return ([g(v, y) for v in (xs(4, 3), b, xs(4, 3))], everything(m, o), len(skipped))


@program
def gan(compile):
    G, D = (nn.Linear(2, 3), nn.Linear(3, 1))
    og = optim.Adam(G.parameters(), lr=0.01)
    od = optim.Adam(D.parameters(), lr=0.01)

    def step(x):
        z = twofold.randn(x.shape[0], 2)
        fake = G(z)
        ld = F.softplus(-D(x)).mean() + F.softplus(D(fake.detach())).mean()
        od.zero_grad()
        ld.backward()
        od.step()
        lg = F.softplus(-D(fake)).mean()
        og.zero_grad()
        lg.backward()
        og.step()
        return (ld, lg)

    g = compile(step)
    return ([g(xs(4, 3)) for _ in range(3)], everything(G, og), everything(D, od))


@program
def buffers(compile):

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", twofold.zeros(3))
            self.register_buffer("n", twofold.tensor(0))

        def forward(self, x):
            if self.training:
                self.n += 1
                self.mean = self.mean + (x.mean(0) - self.mean) / self.n
            return x - self.mean

    m = M()
    g = compile(m)
    out = [g(xs(4, 3)) for _ in range(3)]
    m.eval()
    out.append(g(xs(4, 3)))
    return (out, m.state_dict())


@program
def metric(compile):

    class Acc:
        def __init__(self):
            self.c = 0
            self.t = 0

        def update(self, p, y):
            self.c += (p == y).sum().item()
            self.t += y.numel()

        def value(self):
            return self.c / self.t

    a = Acc()
    m = mlp()

    def step(x, y):
        a.update(m(x).argmax(-1), y)

    g = compile(step)
    for n in (4, 5, 6):
        g(xs(n, 3), twofold.randint(0, 2, (n,)))
    return (a.c, a.t, a.value())


@program
def weightshare(compile):
    e = nn.Embedding(5, 3)
    loss = nn.Linear(3, 5, bias=False)
    loss.weight = e.weight
    o = optim.SGD(e.parameters(), lr=0.1)

    def step(i):
        o.zero_grad()
        s = F.cross_entropy(loss(e(i)), i)
        s.backward()
        o.step()
        return s

    g = compile(step)
    return ([g(twofold.randint(0, 5, (4,))) for _ in range(3)], everything(e, o))


@program
def replaceparam(compile):
    m = mlp()
    g = compile(m)
    out = [g(xs(4, 3))]
    m[2] = nn.Linear(8, 4)
    out.append(g(xs(4, 3)))
    m[0].weight = nn.Parameter(twofold.ones(8, 3))
    out.append(g(xs(4, 3)))
    with twofold.no_grad():
        m[0].bias.zero_()
    out.append(g(xs(4, 3)))
    return out


@program
def gradpen(compile):
    D = mlp()
    o = optim.Adam(D.parameters(), lr=0.01)

    def step(x):
        x = x.detach().requires_grad_()
        out = D(x).sum()
        (gr,) = twofold.autograd.grad(out, x, create_graph=True)
        loss = ((gr.norm(2, 1) - 1) ** 2).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    g = compile(step)
    return ([g(xs(4, 3)) for _ in range(3)], everything(D, o))


@program
def warmup(compile):
    m = mlp()
    o = optim.SGD(m.parameters(), lr=1.0)
    st = {"i": 0}

    def step(x):
        st["i"] += 1
        lr = 0.1 * min(1.0, st["i"] / 5)
        for gr in o.param_groups:
            gr["lr"] = lr
        o.zero_grad()
        loss = m(x).pow(2).mean()
        loss.backward()
        o.step()
        return (loss, lr)

    g = compile(step)
    return ([g(xs(4, 3)) for _ in range(8)], everything(m, o))


@program
def mixup(compile):
    m = mlp()

    def step(x, y):
        p = twofold.randperm(x.shape[0])
        lam = twofold.rand(())
        x = lam * x + (1 - lam) * x[p]
        z = m(x)
        return lam * F.cross_entropy(z, y) + (1 - lam) * F.cross_entropy(z, y[p])

    g = compile(step)
    return [g(xs(n, 3), twofold.randint(0, 2, (n,))) for n in (4, 6)]


@program
def retain(compile):
    w = xs(3).requires_grad_()

    def f(x):
        h = w * x
        h.retain_grad()
        loss = h.sum()
        loss.backward()
        return (h.grad, w.grad)

    g = compile(f)
    return (g(xs(3)), g(xs(3)), w.grad)


@program
def detachstate(compile):

    class S(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.GRUCell(3, 4)
            self.h = twofold.zeros(2, 4)

        def forward(self, x):
            self.h = self.c(x, self.h.detach())
            return self.h.sum()

    m = S()
    o = optim.SGD(m.parameters(), lr=0.1)

    def step(x):
        o.zero_grad()
        loss = m(x)
        loss.backward()
        o.step()
        return loss

    g = compile(step)
    return ([g(xs(2, 3)) for _ in range(4)], m.h, everything(m, o))


@program
def topk_mask(compile):
    m = mlp()
    o = optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        loss = F.cross_entropy(m(x), y, reduction="none")
        k = max(1, int(0.5 * loss.numel()))
        loss = loss.topk(k).values.mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    g = compile(step)
    return ([g(xs(n, 3), twofold.randint(0, 2, (n,))) for n in (4, 7, 5)], everything(m, o))


@program
def frozen_by_turns(compile):
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = compile(step)
    losses = []
    for turn in range(12):
        model[0].requires_grad_(turn // 3 % 2 == 0)
        losses.append(step(xs(5, 3), twofold.randint(0, 2, (5,))))
    return losses, everything(model, optimizer)


@program
def a_part_is_frozen_inside_of_the_step(compile):
    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    optimizer = optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)

    def step(x):
        second.requires_grad_(False)
        optimizer.zero_grad()
        loss = second(first(x)).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss

    step = compile(step)
    losses = []
    for turn in range(5):
        losses.append(step(xs(4, 3)))
        losses.append([p.requires_grad for p in second.parameters()])
        second.requires_grad_(turn % 2 == 0)
    return losses, everything(first), everything(second)


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda function: function.__name__)
def test_compiled_as_eagerly(function):
    agree(function)
