"""A vision transformer on handwritten digits: patches of 2 x 2 pixels are its words.

python examples/vit.py
"""

import math

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import twofold as torch
import twofold.nn.functional as F
from twofold import nn


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(B, N, C))


class Block(nn.Module):
    def __init__(self, dim, heads, drop):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(drop), nn.Linear(4 * dim, dim)
        )

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, image=8, patch=2, dim=64, depth=3, heads=4, classes=10, drop=0.1):
        super().__init__()
        self.patch_embed = nn.Conv2d(1, dim, kernel_size=patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, dim))
        self.blocks = nn.ModuleList([Block(dim, heads, drop) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.apply(self._init_weights)

    def _init_weights(self, m):
        if isinstance(m, nn.Linear):
            nn.init.trunc_normal_(m.weight, std=0.02)
            if m.bias is not None:
                nn.init.zeros_(m.bias)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        cls = self.cls_token.expand(x.shape[0], -1, -1)
        x = torch.cat((cls, x), dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def main(epochs=12, batch_size=64):
    torch.manual_seed(0)
    digits = load_digits()
    parts = train_test_split(digits.images / 16.0, digits.target, test_size=0.2, random_state=0)
    x_train, x_test = (torch.tensor(p, dtype=torch.float32).unsqueeze(1) for p in parts[:2])
    y_train, y_test = (torch.tensor(p, dtype=torch.long) for p in parts[2:])
    model = ViT()
    print(sum(p.numel() for p in model.parameters() if p.requires_grad), "parameters")
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3)
    steps = epochs * math.ceil(len(x_train) / batch_size)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=steps // 10)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - steps // 10)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [steps // 10])
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98)
    )
    for epoch in range(1, epochs + 1):
        model.train()
        for index in torch.randperm(len(x_train)).split(batch_size):
            logits = model(x_train[index])
            loss = F.cross_entropy(logits, y_train[index], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            average.update_parameters(model)
        if epoch % 4 == 0 or epoch == epochs:
            average.eval()
            with torch.no_grad():
                accuracy = (average(x_test).argmax(1) == y_test).float().mean().item()
            rate = optimizer.param_groups[0]["lr"]
            print(f"epoch {epoch}  loss {loss:.3f}  rate {rate:.1e}  accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
