"""A diffusion model learns handwritten digits: a small U-Net that takes noise away, step by step,
and draws each digit that it is asked for.

python examples/diffusion.py

J. Ho, A. Jain, P. Abbeel, "Denoising Diffusion Probabilistic Models", 2020; drawn in fewer steps
after J. Song, C. Meng, S. Ermon, "Denoising Diffusion Implicit Models", 2021.
"""

import copy
import math

from sklearn.datasets import load_digits

import twofold as torch
import twofold.nn.functional as F
from twofold import nn
from twofold.data import DataLoader, TensorDataset


class SinusoidalPosEmb(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, t):
        half = self.dim // 2
        freqs = torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / (half - 1))
        args = t[:, None].float() * freqs[None]
        return torch.cat([args.sin(), args.cos()], dim=-1)


class ResBlock(nn.Module):
    def __init__(self, c_in, c_out, emb_dim):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(4, c_in), nn.GroupNorm(4, c_out)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.emb = nn.Linear(emb_dim, 2 * c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.emb(F.silu(emb))[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return h + self.skip(x)


class UNet(nn.Module):
    """Noisy images [N, 1, 8, 8], their times [N] and digits [N] to the noise in them."""

    def __init__(self, ch=32, emb_dim=64):
        super().__init__()
        self.time = nn.Sequential(
            SinusoidalPosEmb(emb_dim),
            nn.Linear(emb_dim, emb_dim),
            nn.SiLU(),
            nn.Linear(emb_dim, emb_dim),
        )
        self.label = nn.Embedding(10, emb_dim)
        self.conv_in = nn.Conv2d(1, ch, 3, padding=1)
        self.down = ResBlock(ch, ch, emb_dim)
        self.pool = nn.Conv2d(ch, ch, 3, stride=2, padding=1)
        self.mid = ResBlock(ch, 2 * ch, emb_dim)
        self.unpool = nn.ConvTranspose2d(2 * ch, ch, 2, stride=2)
        self.up = ResBlock(2 * ch, ch, emb_dim)
        self.out = nn.Sequential(nn.GroupNorm(4, ch), nn.SiLU(), nn.Conv2d(ch, 1, 3, padding=1))

    def forward(self, x, t, y):
        emb = self.time(t) + self.label(y)
        wide = self.down(self.conv_in(x), emb)
        narrow = self.mid(self.pool(wide), emb)
        return self.out(self.up(torch.cat([self.unpool(narrow), wide], dim=1), emb))


def cosine_beta_schedule(timesteps, s=0.008):
    x = torch.linspace(0, timesteps, timesteps + 1, dtype=torch.float64)
    alphas_cumprod = torch.cos((x / timesteps + s) / (1 + s) * math.pi * 0.5) ** 2
    betas = 1 - alphas_cumprod[1:] / alphas_cumprod[:-1]
    return betas.clamp(0, 0.999)


class Diffusion(nn.Module):
    def __init__(self, model, timesteps=200):
        super().__init__()
        self.model = model
        alphas_cumprod = torch.cumprod(1 - cosine_beta_schedule(timesteps), dim=0)
        self.register_buffer("alphas_cumprod", alphas_cumprod.float())

    def forward(self, x0, y):
        t = torch.randint(0, len(self.alphas_cumprod), (x0.shape[0],), device=x0.device)
        noise = torch.randn_like(x0)
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return F.mse_loss(self.model(a.sqrt() * x0 + (1 - a).sqrt() * noise, t, y), noise)

    @torch.inference_mode()
    def sample(self, y, steps=20):
        x = torch.randn(len(y), 1, 8, 8)
        times = torch.linspace(len(self.alphas_cumprod) - 1, 0, steps).long()
        for i, t in enumerate(times):
            a = self.alphas_cumprod[t]
            before = self.alphas_cumprod[times[i + 1]] if i + 1 < steps else torch.ones(())
            eps = self.model(x, t.expand(len(y)), y)
            x0 = ((x - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
            x = before.sqrt() * x0 + (1 - before).sqrt() * eps
        return x


class EMA:
    """An average of a model's weights over its training, which draws better than the last ones."""

    def __init__(self, model, decay=0.995):
        self.shadow = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model):
        for s, p in zip(self.shadow.parameters(), model.parameters(), strict=True):
            s.lerp_(p, 1 - self.decay)


def show(images):
    for rows in zip(*(image.view(8, 8).tolist() for image in images), strict=True):
        marks = (" .:-=+*#%@"[max(0, min(9, int(5 * (v + 1))))] for row in rows for v in (*row, -1))
        print("".join(marks))


def main(epochs=20, batch_size=64):
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images / 8.0 - 1.0, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target, dtype=torch.long)
    loader = DataLoader(TensorDataset(images, labels), batch_size=batch_size, shuffle=True)
    diffusion = Diffusion(UNet())
    optimizer = torch.optim.AdamW(diffusion.parameters(), lr=2e-3)
    ema = EMA(diffusion)

    @torch.compile
    def train_step(x0, y):
        optimizer.zero_grad(set_to_none=True)
        loss = diffusion(x0, y)
        loss.backward()
        nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        ema.update(diffusion)
        return loss

    for epoch in range(1, epochs + 1):
        losses = [train_step(x0, y).item() for x0, y in loader]
        if epoch == 1 or epoch % 5 == 0:
            print(f"epoch {epoch:3d}  loss {sum(losses) / len(losses):.4f}")
    show(ema.shadow.sample(torch.arange(10)))
    return sum(losses) / len(losses)


if __name__ == "__main__":
    main()
