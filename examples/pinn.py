"""A network that solves -u''(x) = pi^2 sin(pi x) on [-1, 1] with u = 0 at the ends: second
derivatives by autograd, Adam first and L-BFGS to the end.

python examples/pinn.py
"""

import math

import twofold as torch
from twofold import nn


class Net(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x):
        return self.net(x)


def residual(model, x):
    u = model(x)
    ones = torch.ones_like(u)
    (du,) = torch.autograd.grad(u, x, grad_outputs=ones, create_graph=True)
    (ddu,) = torch.autograd.grad(du, x, grad_outputs=torch.ones_like(du), create_graph=True)
    return ddu + math.pi**2 * torch.sin(math.pi * x)


def main(steps=1000, refine=5):
    torch.manual_seed(0)
    model = Net()
    x = torch.linspace(-1, 1, 128).unsqueeze(1).requires_grad_(True)
    ends = torch.tensor([[-1.0], [1.0]])

    def loss_of():
        return residual(model, x).pow(2).mean() + 100 * model(ends).pow(2).mean()

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        if step % 500 == 0:
            print(f"Adam, step {step}: loss {loss.item():.2e}")
    lbfgs = torch.optim.LBFGS(model.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def closure():
        lbfgs.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss

    for turn in range(refine):
        loss = lbfgs.step(closure)
        print(f"L-BFGS, turn {turn + 1}: loss {loss.item():.2e}")
    with torch.no_grad():
        error = (model(x) - torch.sin(math.pi * x)).abs().max().item()
    print(f"largest error {error:.1e}")
    return error


if __name__ == "__main__":
    main()
