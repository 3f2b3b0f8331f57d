"""Train a generator against a discriminator until it draws points of a ring of Gaussians.

python examples/gan.py
"""

import math

import twofold as torch
from twofold import nn


def real_points(n, modes=8, spread=0.05):
    angles = torch.randint(0, modes, (n,)).float() * (2 * math.pi / modes)
    centers = torch.stack([angles.cos(), angles.sin()], dim=1)
    return centers + spread * torch.randn(n, 2)


def mlp(inputs, outputs, hidden=64):
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(hidden, outputs),
    )


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Linear") != -1:
        nn.init.xavier_uniform_(m.weight.data)
        m.bias.data.fill_(0)


def main(steps=3000, nz=4, batch_size=128):
    torch.manual_seed(0)
    netG, netD = mlp(nz, 2), mlp(2, 1)
    netG.apply(weights_init)
    netD.apply(weights_init)
    criterion = nn.BCEWithLogitsLoss()
    optimizerD = torch.optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizerG = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for step in range(1, steps + 1):
        # (1) the discriminator: real points as real, made ones as fake
        netD.zero_grad()
        label = torch.full((batch_size,), 0.9)
        errD_real = criterion(netD(real_points(batch_size)).view(-1), label)
        errD_real.backward()
        fake = netG(torch.randn(batch_size, nz))
        label.fill_(0.0)
        errD_fake = criterion(netD(fake.detach()).view(-1), label)
        errD_fake.backward()
        optimizerD.step()
        # (2) the generator: made points as real
        netG.zero_grad()
        label.fill_(1.0)
        output = netD(fake).view(-1)
        errG = criterion(output, label)
        errG.backward()
        optimizerG.step()
        if step % 1000 == 0:
            errD = (errD_real + errD_fake).item()
            print(f"step {step}  loss of D {errD:.3f}  loss of G {errG.item():.3f}")
    with torch.no_grad():
        points = netG(torch.randn(1000, nz))
        radius = points.norm(dim=1)
        angle = torch.atan2(points[:, 1], points[:, 0])
        mode = torch.round(angle / (2 * math.pi / 8)).long() % 8
        found = len(torch.unique(mode[(radius - 1).abs() < 0.2]))
    print(f"radius {radius.mean():.3f} +- {radius.std():.3f}, {found} of 8 modes")
    return radius.mean().item(), found


if __name__ == "__main__":
    main()
