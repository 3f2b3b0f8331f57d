"""Programs as PyTorch's users write them: each runs under both libraries, to the same numbers."""

import math

import numpy as np
import pytest

import twofold

torch = pytest.importorskip("torch")


def numbers(T, *shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return T.from_numpy(values.astype(np.float32))


def start(T, module):
    """The same weights in each library."""
    random = np.random.default_rng(0)
    with T.no_grad():
        for p in module.parameters():
            if p.dim() > 1:
                values = random.standard_normal(tuple(p.shape)) / math.sqrt(p.shape[1])
                p.copy_(T.from_numpy(values.astype(np.float32)))
    return module


def rotary_decoder(T, compiled):
    """Rotary positions by complex numbers, grouped heads, RMSNorm, and a cache of keys and values.

    -> the last loss, whether the cache gives what the whole sequence gives, the text it writes.
    """
    nn, F = T.nn, T.nn.functional
    dim, heads, groups, size = 32, 4, 2, 8

    class RMSNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(T.ones(dim))

        def forward(self, x):
            normed = x.float() * T.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)
            return normed.type_as(x) * self.weight

    def turned(x, angles):
        pairs = T.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        angles = angles.view(1, x.shape[1], 1, pairs.shape[-1])
        return T.view_as_real(pairs * angles).flatten(3).type_as(x)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.wq = nn.Linear(dim, heads * size, bias=False)
            self.wk, self.wv = (nn.Linear(dim, groups * size, bias=False) for _ in range(2))
            self.wo = nn.Linear(heads * size, dim, bias=False)
            self.keys = T.zeros((2, 32, groups, size))
            self.values = T.zeros_like(self.keys)

        def forward(self, x, at, angles, mask):
            b, n, _ = x.shape
            q = turned(self.wq(x).view(b, n, heads, size), angles)
            k = turned(self.wk(x).view(b, n, groups, size), angles)
            v = self.wv(x).view(b, n, groups, size)
            if not self.training:
                self.keys[:b, at : at + n], self.values[:b, at : at + n] = k, v
                k, v = self.keys[:b, : at + n], self.values[:b, : at + n]
            k, v = (y.repeat_interleave(heads // groups, dim=2).transpose(1, 2) for y in (k, v))
            scores = T.matmul(q.transpose(1, 2), k.transpose(2, 3)) / math.sqrt(size)
            if mask is not None:
                scores = scores + mask
            out = T.matmul(F.softmax(scores.float(), dim=-1).type_as(q), v)
            return self.wo(out.transpose(1, 2).contiguous().view(b, n, -1))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Embedding(30, dim), nn.Linear(dim, 30, bias=False)
            self.attend = nn.ModuleList([Attention(), Attention()])
            self.norms = nn.ModuleList(RMSNorm() for _ in range(3))
            steps = 1.0 / (10000.0 ** (T.arange(0, size, 2).float() / size))
            turns = T.outer(T.arange(64), steps).float()
            self.angles = T.polar(T.ones_like(turns), turns)

        def forward(self, tokens, at=0):
            n = tokens.shape[1]
            x, mask = self.embed(tokens), None
            if n > 1:
                mask = T.triu(T.full((n, n), float("-inf")), diagonal=1)
                mask = T.hstack([T.zeros((n, at)), mask]).type_as(x)
            for attend, norm in zip(self.attend, self.norms, strict=False):
                x = x + attend(norm(x), at, self.angles[at : at + n], mask)
            return self.out(self.norms[-1](x)).float()

    model = start(T, Decoder())
    opt = T.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    ids = T.from_numpy(np.random.default_rng(0).integers(0, 30, (4, 17)))

    def step(x):
        loss = F.cross_entropy(input=model(x[:, :-1]).transpose(1, 2), target=x[:, 1:])
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    step = twofold.compile(step) if compiled else step
    for _ in range(12):
        loss = step(ids)
    model.eval()
    with T.inference_mode():
        tokens = ids[:2, :4]
        scores = model(tokens)
        for at in range(4, 9):
            new = scores[:, -1].argmax(dim=-1, keepdim=True)
            tokens = T.cat([tokens, new], 1)
            scores = model(new, at)
        whole = model.train()(tokens)
    same = (whole[:, -1] - scores[:, -1]).abs().max() < 1e-4
    return [loss.item(), float(same), *tokens.flatten().tolist()]


def sharpness_aware(T):
    """An optimizer around another (Foret et al. 2021), which shares its groups, with closures."""
    F = T.nn.functional

    class SAM(T.optim.Optimizer):
        def __init__(self, params, base, rho=0.05, **options):
            super().__init__(params, dict(rho=rho, **options))
            self.base = base(self.param_groups, **options)
            self.param_groups = self.base.param_groups
            self.defaults.update(self.base.defaults)

        @T.no_grad()
        def step(self, closure):
            closure = T.enable_grad()(closure)
            every = [p for group in self.param_groups for p in group["params"]]
            norm = T.norm(T.stack([p.grad.norm(p=2) for p in every]), p=2)
            for group in self.param_groups:
                scale = group["rho"] / (norm + 1e-12)
                for p in group["params"]:
                    self.state[p]["old"] = p.data.clone()
                    p.add_(p.grad * scale.to(p))
            self.zero_grad()
            loss = closure()
            for p in every:
                p.data = self.state[p]["old"]
            self.base.step()
            return loss

    net = start(T, T.nn.Sequential(T.nn.Linear(3, 16), T.nn.SELU(), T.nn.Linear(16, 1)))
    with T.no_grad():
        net[0].bias.zero_(), net[2].bias.zero_()
    opt = SAM(net.parameters(), T.optim.SGD, lr=0.05, momentum=0.9)
    x = numbers(T, 64, 3)
    y = x.sum(1)

    def closure():
        loss = F.huber_loss(net(x).squeeze(-1), y)
        loss.backward()
        return loss

    for _ in range(15):
        closure()
        loss = opt.step(closure)
        opt.zero_grad()
    return [loss.item()]


@pytest.mark.parametrize("compiled", [False, True])
def test_a_decoder_with_rotary_positions_and_a_cache(compiled):
    wanted = rotary_decoder(torch, False)
    np.testing.assert_allclose(rotary_decoder(twofold, compiled), wanted, rtol=1e-4)
    assert wanted[1] == 1.0


def test_an_optimizer_around_an_optimizer():
    found, wanted = sharpness_aware(twofold), sharpness_aware(torch)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert found[0] < 0.2
