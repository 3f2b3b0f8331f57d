"""A neural ordinary differential equation learns a spiral from short pieces of it. Its gradient
comes from the adjoint equation, so that nothing is kept of the way forward.

    python examples/ode.py

R. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, "Neural Ordinary Differential Equations", 2018.
"""

import twofold as torch
from twofold import nn


def rk4_step(func, t, dt, y):
    k1 = func(t, y)
    k2 = func(t + dt / 2, y + dt / 2 * k1)
    k3 = func(t + dt / 2, y + dt / 2 * k2)
    k4 = func(t + dt, y + dt * k3)
    return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def odeint(func, y0, t):
    """The state at each of the times `t` [T], from `y0` [..., D] at the first: [T, ..., D]."""
    states = [y0]
    for i in range(len(t) - 1):
        states.append(rk4_step(func, t[i], t[i + 1] - t[i], states[-1]))
    return torch.stack(states)


class Adjoint(torch.autograd.Function):
    """`odeint` whose backward integrates state, adjoint and parameters' gradients back in time."""

    @staticmethod
    def forward(ctx, func, y0, t, *params):
        ctx.func = func
        with torch.no_grad():
            states = odeint(func, y0, t)
        ctx.save_for_backward(t, states, *params)
        return states

    @staticmethod
    def backward(ctx, grad_states):
        t, states, *params = ctx.saved_tensors
        sizes = [p.numel() for p in params]
        width = states[0].numel()

        def backwards(at, flat):
            y = flat[:width].view_as(states[0])
            a = flat[width : 2 * width].view_as(states[0])
            with torch.enable_grad():
                y = y.detach().requires_grad_(True)
                dy = ctx.func(at, y)
                grads = torch.autograd.grad(dy, (y, *params), -a, allow_unused=True)
            grads = [
                torch.zeros_like(x) if g is None else g
                for g, x in zip(grads, (y, *params), strict=True)
            ]
            return torch.cat([dy.reshape(-1), *(g.reshape(-1) for g in grads)])

        a = torch.zeros_like(states[0])
        grad_params = torch.zeros(sum(sizes))
        for i in range(len(t) - 1, 0, -1):
            a = a + grad_states[i]
            flat = torch.cat([states[i].reshape(-1), a.reshape(-1), grad_params])
            flat = rk4_step(backwards, t[i], t[i - 1] - t[i], flat)
            a = flat[width : 2 * width].view_as(states[0])
            grad_params = flat[2 * width :]
        parts = grad_params.split(sizes)
        grads = [g.view_as(p) for g, p in zip(parts, params, strict=True)]
        return None, a + grad_states[0], None, *grads


class ODEFunc(nn.Module):
    """The derivative of the state, from its cube, as the true one is."""

    def __init__(self, hidden=50):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 2))
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, t, y):
        return self.net(y**3)


class Spiral(nn.Module):
    def forward(self, t, y):
        return torch.mm(y**3, torch.tensor([[-0.1, 2.0], [-2.0, -0.1]]))


def main(niters=300, batch_size=20, batch_time=10, data_size=400):
    torch.manual_seed(0)
    t = torch.linspace(0.0, 10.0, data_size)
    with torch.no_grad():
        true_y = odeint(Spiral(), torch.tensor([[2.0, 0.0]]), t)

    func = ODEFunc()
    params = tuple(func.parameters())
    optimizer = torch.optim.Adam(params, lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=niters)

    def get_batch():
        s = torch.randperm(data_size - batch_time)[:batch_size]
        return true_y[s], torch.stack([true_y[s + i] for i in range(batch_time)])

    @torch.compile
    def train_step(batch_y0, batch_t, batch_y):
        optimizer.zero_grad()
        pred_y = Adjoint.apply(func, batch_y0, batch_t, *params)
        loss = torch.mean(torch.abs(pred_y - batch_y))
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    for itr in range(1, niters + 1):
        batch_y0, batch_y = get_batch()
        train_step(batch_y0, t[:batch_time], batch_y)
        if itr == 1 or itr % 50 == 0 or itr == niters:
            with torch.no_grad():
                loss = torch.mean(torch.abs(odeint(func, true_y[0], t) - true_y)).item()
            print(f"iter {itr:4d}  distance from the whole spiral {loss:.4f}")
    return loss


if __name__ == "__main__":
    main()
