"""A normalizing flow (RealNVP): two half moons as a Gaussian that was bent, with exact densities.

python examples/flow.py
"""

from sklearn.datasets import make_moons

import twofold as torch
from twofold import nn
from twofold.distributions import MultivariateNormal


def mlp(hidden, act):
    return nn.Sequential(
        nn.Linear(2, hidden), act(), nn.Linear(hidden, hidden), act(), nn.Linear(hidden, 2)
    )


class Coupling(nn.Module):
    """Half of the numbers stay, and say how the others are stretched and shifted."""

    def __init__(self, mask, hidden=64):
        super().__init__()
        self.register_buffer("mask", mask)
        self.s = nn.Sequential(mlp(hidden, nn.Tanh), nn.Tanh())
        self.t = mlp(hidden, nn.ReLU)

    def forward(self, x):
        kept = x * self.mask
        s, t = self.s(kept) * (1 - self.mask), self.t(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (x * torch.exp(s) + t), s.sum(dim=1)

    def inverse(self, y):
        kept = y * self.mask
        s, t = self.s(kept) * (1 - self.mask), self.t(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (y - t) * torch.exp(-s)


class RealNVP(nn.Module):
    def __init__(self, depth=6):
        super().__init__()
        masks = [torch.tensor([float(i % 2), float(1 - i % 2)]) for i in range(depth)]
        self.layers = nn.ModuleList(Coupling(mask) for mask in masks)
        self.register_buffer("loc", torch.zeros(2))
        self.register_buffer("cov", torch.eye(2))

    @property
    def prior(self):
        return MultivariateNormal(self.loc, self.cov)

    def log_prob(self, x):
        log_det = torch.zeros(x.shape[0])
        for layer in self.layers:
            x, s = layer(x)
            log_det = log_det + s
        return self.prior.log_prob(x) + log_det

    @torch.no_grad()
    def sample(self, n):
        z = self.prior.sample((n,))
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z


def main(steps=600):
    torch.manual_seed(0)
    flow = RealNVP()
    optimizer = torch.optim.AdamW(flow.parameters(), lr=2e-3, weight_decay=1e-5)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for step in range(1, steps + 1):
        x = torch.from_numpy(make_moons(256, noise=0.05, random_state=step)[0]).float()
        loss = -flow.log_prob(x).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimizer.step()
        if step < steps:
            scheduler.step()
        if step % 200 == 0:
            print(f"step {step}  negative log-likelihood {loss.item():.3f}")
    points = flow.sample(5)
    print("samples:", [[round(v, 2) for v in p] for p in points.tolist()])
    return loss.item()


if __name__ == "__main__":
    main()
