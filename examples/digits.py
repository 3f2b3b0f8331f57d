"""Train a small convolutional network on handwritten digits, eagerly and compiled: the weights
are the same to the last bit. Then save it, and load it again.

python examples/digits.py
"""

import hashlib
import statistics
import time
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


def stepper(model, optimizer):
    """One step of training: forward, backward, update. It gives the loss."""

    def step(images, labels):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def train(model, train_loader, test_loader, epochs, compiled=False):
    """Adam under a cosine schedule; one line for each epoch. Returns the last test accuracy, and
    the median of the seconds that a step took.
    """
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    step = stepper(model, optimizer)
    if compiled:
        step = twofold.compile(step)  # the whole step is one program, whatever the batch
    seconds = []
    for epoch in range(1, epochs + 1):
        progress = Progress(f"epoch {epoch:2}/{epochs}", len(train_loader))
        loss_sum = 0.0
        for images, labels in progress.over(train_loader):
            start = time.perf_counter()
            loss = step(images, labels).item()
            seconds.append(time.perf_counter() - start)
            loss_sum += loss
            progress.show(f"loss {loss:.3f}", samples=len(labels))
        schedule.step()
        share = accuracy(model, test_loader)
        text = f"loss {loss_sum / len(train_loader):.3f}  test accuracy {share:6.2%}"
        progress.show(text, last=True)
    return share, statistics.median(seconds)


def fingerprint(model):
    """The SHA-256 of all weights."""
    found = hashlib.sha256()
    for value in model.state_dict().values():
        found.update(value.numpy().tobytes())
    return found.hexdigest()


def trained(epochs, compiled):
    """A model trained from the same start on the same batches, eagerly or compiled."""
    twofold.manual_seed(0)
    train_set, test_set = datasets.digits()
    train_loader = DataLoader(train_set, batch_size=BATCH, shuffle=True, num_workers=1)
    test_loader = DataLoader(test_set, batch_size=256)
    model = Net()
    if not compiled:
        count = sum(parameter.numel() for parameter in model.parameters())
        sizes = f"{len(train_set)} digits to train on, {len(test_set)} to test on"
        print(f"{sizes}; {count:,} parameters")
    print("compiled:" if compiled else "eagerly:")
    share, seconds = train(model, train_loader, test_loader, epochs, compiled)
    return model, test_loader, share, seconds


def main(epochs=EPOCHS, folder="runs"):
    model, test_loader, share, eager = trained(epochs, compiled=False)
    other, _, _, compiled = trained(epochs, compiled=True)
    same = fingerprint(model) == fingerprint(other)
    print(f"weights, eager     sha256 {fingerprint(model)}")
    print(f"weights, compiled  sha256 {fingerprint(other)}  {'the same' if same else 'OTHERS'}")
    print(f"a step of {BATCH} images: eager {eager * 1e3:.2f} ms, compiled {compiled * 1e3:.2f} ms")

    path = Path(folder) / "digits.safetensors"
    path.parent.mkdir(exist_ok=True)
    twofold.save(model.state_dict(), path)
    again = Net()
    again.load_state_dict(twofold.load(path))
    print(f"saved to {path}; loaded again it gets {accuracy(again, test_loader):.2%}")
    if not same:
        raise SystemExit("the compiled model has other weights: this must never be")
    return share


if __name__ == "__main__":
    main()
