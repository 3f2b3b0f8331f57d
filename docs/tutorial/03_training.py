"""Tutorial 3: train a network, save it, go on: python docs/tutorial/03_training.py

Two moons: points of two classes that no line can part.
"""

import math
import os
import tempfile

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.data import DataLoader, TensorDataset

twofold.manual_seed(1)


def moons(count):
    """Points on two half circles, with noise, and the half that each is on."""
    angles = math.pi * twofold.rand(count)
    labels = twofold.randint(0, 2, (count,))
    side = 1.0 - 2.0 * labels
    points = twofold.stack([side * angles.cos() + labels, side * angles.sin() + labels / 2], 1)
    return points + 0.1 * twofold.randn(count, 2), labels


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 32)
        self.out = nn.Linear(32, 2)

    def forward(self, x):
        return self.out(self.hidden(x).tanh())


def accuracy(model, points, labels):
    model.eval()
    with twofold.no_grad():
        right = model(points).argmax(1) == labels
    model.train()
    return right.float().mean().item()


model = Net()
optimizer = optim.Adam(model.parameters(), lr=0.02)
order = twofold.Generator().manual_seed(2)  # of the loader's own, so that its state is saved too
data = TensorDataset(*moons(400))
loader = DataLoader(data, batch_size=40, shuffle=True, generator=order)
test_points, test_labels = moons(200)


def train(epochs):
    for _ in range(epochs):
        for points, labels in loader:
            loss = F.cross_entropy(model(points), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"loss {loss.item():.3f}, accuracy {accuracy(model, test_points, test_labels):.3f}")


train(10)

# Everything that training needs to go on, in one file.
path = os.path.join(tempfile.mkdtemp(), "moons.safetensors")
parts = {"model": model, "optimizer": optimizer, "loader": loader}
twofold.save({name: part.state_dict() for name, part in parts.items()}, path)
train(10)
first = [p.detach().clone() for p in model.parameters()]

# Back to the file, and the same ten epochs again: the same bits.
for name, state in twofold.load(path).items():
    parts[name].load_state_dict(state)
train(10)
assert all(twofold.equal(a, b) for a, b in zip(first, model.parameters(), strict=True))
assert accuracy(model, test_points, test_labels) > 0.97
print("resumed training gives the bits of training that never stopped")
