"""Programs as people ask about in forums: state, containers, and what is changed between calls."""

from collections import defaultdict, deque, namedtuple
from dataclasses import dataclass, field

import pytest
from programs import agree, everything, mlp, xs

import twofold
import twofold.nn.functional as F
from twofold import nn

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


@dataclass
class Out:
    loss: object
    logits: object
    extra: dict = field(default_factory=dict)


@program
def records(compile):
    m = mlp()

    def f(x, y):
        z = m(x)
        return Out(
            F.cross_entropy(z, y), z, {"acc": (z.argmax(-1) == y).float().mean(), "n": x.shape[0]}
        )

    g = compile(f)
    a = g(xs(5, 3), twofold.randint(0, 2, (5,)))
    b = g(xs(7, 3), twofold.randint(0, 2, (7,)))
    a.loss.backward()
    return (a.loss, a.logits, a.extra, b.loss, b.extra, everything(m))


@program
def dictio(compile):
    m = mlp()

    def f(batch):
        z = m(batch["x"])
        out = {"logits": z}
        if "y" in batch:
            out["loss"] = F.cross_entropy(z, batch["y"])
        return out

    g = compile(f)
    return (
        g({"x": xs(4, 3)}),
        g({"x": xs(4, 3), "y": twofold.randint(0, 2, (4,))}),
        g({"x": xs(6, 3)}),
    )


@program
def generator(compile):

    def parts(x):
        for i in range(3):
            yield x[i::3]

    def f(x):
        return sum((p.sum() * i for i, p in enumerate(parts(x))))

    g = compile(f)
    return (g(xs(9)), g(xs(12)))


@program
def inplaceviews(compile):

    def f(x):
        x = x.clone()
        v = x.view(2, -1)
        v[0] += 1
        w = v.t()
        w[0].mul_(3)
        x[1:3] = v[1, :2]
        return (x, v, w)

    g = compile(f)
    return (g(xs(6)), g(xs(8)))


class EarlyStop:
    def __init__(self, patience=2):
        self.best = None
        self.bad = 0
        self.patience = patience
        self.stop = False

    def __call__(self, v):
        if self.best is None or v < self.best:
            self.best = v
            self.bad = 0
        else:
            self.bad += 1
            if self.bad >= self.patience:
                self.stop = True
        return self.stop


@program
def earlystop_inside(compile):
    m = mlp()
    es = EarlyStop()

    def val(x, y):
        loss = F.cross_entropy(m(x), y)
        return (loss, es(loss.item()))

    g = compile(val)
    out = []
    for _i in range(6):
        out.append(g(xs(5, 3), twofold.randint(0, 2, (5,))))
    return (out, es.bad, es.best)


@program
def closurecount(compile):
    n = 0

    def f(x):
        nonlocal n
        n += 1
        return x * n

    g = compile(f)
    return ([g(xs(3)) for _ in range(5)], n)


@program
def hookadded(compile):
    m = mlp()
    g = compile(m)
    out = [g(xs(4, 3))]
    h = m[0].register_forward_hook(lambda mod, i, o: o * 2)
    out.append(g(xs(4, 3)))
    h.remove()
    out.append(g(xs(4, 3)))
    return out


@program
def named_tuples(compile):
    P = namedtuple("P", "a b")

    def f(p):
        return P(p.a + p.b, p.a * 2)

    g = compile(f)
    r = g(P(xs(3), xs(3)))
    return (list(r), type(r).__name__)


@program
def default_dicts(compile):

    def f(xs_):
        d = defaultdict(list)
        for i, x in enumerate(xs_):
            d[i % 2].append(x.sum())
        return {k: sum(v) for k, v in d.items()}

    g = compile(f)
    return (g([xs(3) for _ in range(4)]), g([xs(3) for _ in range(5)]))


@program
def nested(compile):

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.l = nn.Linear(d, d)
            self.gate = nn.Parameter(twofold.zeros(1))
            self.depth = d

        def forward(self, x, skip=None):
            h = self.l(x)
            if skip is not None:
                h = h + skip
            return x + self.gate.tanh() * h

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.b = nn.ModuleList(Block(3) for _ in range(3))
            self.d = nn.ModuleDict({"a": nn.Linear(3, 2)})

        def forward(self, x, head="a"):
            skips = []
            for _i, b in enumerate(self.b):
                x = b(x, skips[-1] if skips else None)
                skips.append(x)
            return self.d[head](x)

    m = Net()
    g = compile(m)
    y = g(xs(4, 3))
    y.sum().backward()
    return (y, everything(m), g(xs(2, 3), head="a"))


@program
def beam(compile):

    def f(logp, k):
        s, i = logp[0].topk(k)
        seqs = i.unsqueeze(1)
        for t in range(1, logp.shape[0]):
            tot = s.unsqueeze(1) + logp[t].unsqueeze(0)
            s, flat = tot.reshape(-1).topk(k)
            b = flat // logp.shape[1]
            w = flat % logp.shape[1]
            seqs = twofold.cat([seqs[b], w.unsqueeze(1)], 1)
        return (seqs, s)

    g = compile(f)
    return (g(xs(4, 6).log_softmax(-1), 3), g(xs(3, 6).log_softmax(-1), 2))


@program
def replay(compile):
    buf = deque(maxlen=3)
    m = mlp()

    def act(s):
        q = m(s)
        a = q.argmax(-1)
        return a

    g = compile(act)
    out = []
    for _i in range(5):
        s = xs(1, 3)
        a = g(s)
        buf.append((s, a))
        out.append(a.item())
    return out


@program
def memory(compile):

    class Mem(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(3, 3)
            self.mem = None

        def forward(self, x):
            h = self.l(x)
            if self.mem is not None:
                h = h + self.mem
            self.mem = h.detach()
            return h

        def reset(self):
            self.mem = None

    m = Mem()
    g = compile(m)
    out = [g(xs(2, 3)) for _ in range(3)]
    m.reset()
    out += [g(xs(2, 3)) for _ in range(2)]
    return out


@program
def config(compile):

    class Cfg:
        scale = 2.0
        act = "relu"
        layers = None

    cfg = Cfg()
    Cfg.layers = [1, 2]

    def f(x):
        for k in cfg.layers:
            x = getattr(F, cfg.act)(x * cfg.scale + k)
        return x

    g = compile(f)
    out = [g(xs(3))]
    cfg.scale = 3.0
    out.append(g(xs(3)))
    cfg.act = "tanh"
    out.append(g(xs(3)))
    cfg.layers.append(4)
    out.append(g(xs(3)))
    cfg.scale = 5.0
    out.append(g(xs(3)))
    return out


@program
def a_global(compile):
    global SC
    SC = 1.0

    def f(x):
        return x * SC

    g = compile(f)
    out = []
    for i in range(4):
        SC = float(i)
        out.append(g(xs(3)))
    return out


@program
def trywith(compile):

    def f(x):
        try:
            return x.reshape(3, -1)
        except Exception:
            return x

    g = compile(f)
    return (g(xs(6)), g(xs(7)), g(xs(9)))


@program
def exp_avg(compile):
    hist = {}

    def f(x, name):
        m = x.mean().detach()
        hist[name] = m if name not in hist else 0.9 * hist[name] + 0.1 * m
        return x - hist[name]

    g = compile(f)
    return ([g(xs(4), n) for n in "aabab"], hist)


@program
def kwargs(compile):

    def f(x, *args, scale=1.0, **kw):
        for a in args:
            x = x + a
        for _k, v in sorted(kw.items()):
            x = x * v
        return x * scale

    g = compile(f)
    return (g(xs(3)), g(xs(3), 1.0, xs(3)), g(xs(3), scale=2.0, a=xs(3), b=3))


@program
def newton(compile):

    def f(a):
        x = a.clone()
        for _ in range(50):
            nx = 0.5 * (x + a / x)
            if (nx - x).abs().max() < 1e-06:
                return nx
            x = nx
        return x

    g = compile(f)
    return (g(twofold.tensor([2.0, 9.0])), g(twofold.tensor([1000000.0, 3.0, 4.0])))


@program
def switchloss(compile):
    m = mlp()
    L = {"a": nn.MSELoss(), "b": nn.L1Loss()}

    def f(x, y, kind):
        return L[kind](m(x), y)

    g = compile(f)
    return (g(xs(3, 3), xs(3, 2), "a"), g(xs(3, 3), xs(3, 2), "b"), g(xs(5, 3), xs(5, 2), "a"))


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda function: function.__name__)
def test_compiled_as_eagerly(function):
    agree(function)
