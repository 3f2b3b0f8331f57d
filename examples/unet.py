"""A small U-Net that finds the discs in noisy pictures of discs and squares.

python examples/unet.py
"""

import numpy as np

import twofold as torch
import twofold.nn.functional as F
from twofold import nn
from twofold.data import DataLoader, Dataset


class Shapes(Dataset):
    """Pictures of a disc and a square each; the mask is the disc."""

    def __init__(self, count, size=32, seed=0):
        self.count, self.size, self.seed = count, size, seed

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, index))
        y, x = np.mgrid[: self.size, : self.size]
        (cy, cx), (sy, sx) = rng.integers(6, self.size - 6, (2, 2))
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= rng.integers(3, 6) ** 2
        square = (abs(y - sy) <= 3) & (abs(x - sx) <= 3)
        image = np.where(disc | square, 1.0, 0.0) + rng.normal(0, 0.3, disc.shape)
        return torch.from_numpy(image).float()[None], torch.from_numpy(disc).float()[None]


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class Up(nn.Module):
    def __init__(self, in_channels, out_channels, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
                nn.Conv2d(in_channels, in_channels // 2, kernel_size=1),
            )
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        dy, dx = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self, n_channels=1, n_classes=1, width=8):
        super().__init__()
        self.inc = DoubleConv(n_channels, width)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width, 2 * width))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(2 * width, 4 * width))
        self.up1 = Up(4 * width, 2 * width, bilinear=True)
        self.up2 = Up(2 * width, width, bilinear=False)
        self.outc = nn.Conv2d(width, n_classes, kernel_size=1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.outc(self.up2(self.up1(x3, x2), x1))


def dice(logits, target, smooth=1.0):
    p = torch.sigmoid(logits).flatten(1)
    t = target.flatten(1)
    return ((2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)).mean()


def main(epochs=4, count=512):
    torch.manual_seed(0)
    loader = DataLoader(Shapes(count), batch_size=16, shuffle=True, num_workers=2, drop_last=True)
    images, masks = next(iter(DataLoader(Shapes(64, seed=1), batch_size=64)))
    model = UNet()
    optimizer = torch.optim.NAdam(model.parameters(), lr=4e-3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=1)
    for epoch in range(1, epochs + 1):
        model.train()
        for image, mask in loader:
            optimizer.zero_grad()
            output = model(image)
            loss = F.binary_cross_entropy_with_logits(output, mask) + 1 - dice(output, mask)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            score = dice(model(images), masks).item()
        scheduler.step(score)
        print(f"epoch {epoch}  loss {loss.item():.3f}  Dice of new pictures {score:.3f}")
    return score


if __name__ == "__main__":
    main()
