"""Train a small convolutional network on handwritten digits, save it, and load it again.

python examples/digits.py
"""

from pathlib import Path

from progress import Progress

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.data import DataLoader, datasets

EPOCHS = 10
BATCH = 32


class Net(nn.Module):
    """Two convolutions and two linear layers: 1 x 8 x 8 pixels to 10 scores."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(32)
        self.hidden = nn.Linear(32 * 4 * 4, 64)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        x = F.relu(self.hidden(x.flatten(1)))
        return self.out(self.dropout(x))


def accuracy(model, loader):
    """The share of images that the model gets right."""
    model.eval()
    right = total = 0
    with twofold.no_grad():
        for images, labels in loader:
            right += (model(images).argmax(dim=1) == labels).sum().item()
            total += len(labels)
    model.train()
    return right / total


def train(model, train_loader, test_loader, epochs):
    """Adam under a cosine schedule; one line for each epoch. Returns the last test accuracy."""
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        progress = Progress(f"epoch {epoch:2}/{epochs}", len(train_loader))
        loss_sum = 0.0
        for images, labels in progress.over(train_loader):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item()
            progress.show(f"loss {loss.item():.3f}", samples=len(labels))
        schedule.step()
        share = accuracy(model, test_loader)
        text = f"loss {loss_sum / len(train_loader):.3f}  test accuracy {share:6.2%}"
        progress.show(text, last=True)
    return share


def main(epochs=EPOCHS, folder="runs"):
    twofold.manual_seed(0)
    train_set, test_set = datasets.digits()
    train_loader = DataLoader(train_set, batch_size=BATCH, shuffle=True, num_workers=1)
    test_loader = DataLoader(test_set, batch_size=256)
    model = Net()
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(train_set)} digits to train on, {len(test_set)} to test on; {count:,} parameters")
    share = train(model, train_loader, test_loader, epochs)

    path = Path(folder) / "digits.safetensors"
    path.parent.mkdir(exist_ok=True)
    twofold.save(model.state_dict(), path)
    again = Net()
    again.load_state_dict(twofold.load(path))
    print(f"saved to {path}; loaded again it gets {accuracy(again, test_loader):.2%}")
    return share


if __name__ == "__main__":
    main()
