"""Train a character model on the source of Python's own library, and let it write some.

    python examples/stdlib_text.py

The texts are the parts of the source between blank lines, from 40 to 160 characters, each batch as
long as its longest text.
"""

from pathlib import Path

from progress import Progress

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.data import BatchSampler, DataLoader, RandomSampler, Sampler, datasets

EPOCHS = 5
BATCH = 16
NEWLINE, NO_TARGET = 0, -100


class CharacterModel(nn.Module):
    """A recurrent network: ids [N, L] to scores of the next character [N, L, 96]."""

    def __init__(self, characters, width=192):
        super().__init__()
        self.embedding = nn.Embedding(characters, 64)
        self.memory = nn.GRU(64, width, batch_first=True)
        self.out = nn.Linear(width, characters)

    def forward(self, ids, state=None):
        seen, state = self.memory(self.embedding(ids), state)
        return self.out(seen), state


class ByLength(Sampler):
    """Batches of texts of similar length, in random order, so that little is padded."""

    def __init__(self, texts, batch_size):
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        self.batches = list(BatchSampler(order, batch_size, drop_last=False))

    def __iter__(self):
        return (self.batches[index] for index in RandomSampler(self.batches))

    def __len__(self):
        return len(self.batches)


def pad(texts):
    """Texts of several lengths as inputs and targets [N, longest]; padding has no target."""
    longest = max(len(text) for text in texts)
    inputs = twofold.full((len(texts), longest), NEWLINE)
    targets = twofold.full((len(texts), longest), NO_TARGET)
    for row, text in enumerate(texts):
        inputs[row, 1 : len(text)] = text[:-1]
        targets[row, : len(text)] = text
    return inputs, targets


def loss_of(model, inputs, targets):
    scores, _ = model(inputs)
    return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET)


def train(model, loader, epochs):
    """Adam with warm-up and clipped gradients; one line for each epoch."""
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    steps = epochs * len(loader)
    warm = optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1, (n + 1) / 20) * (1 - n / steps))
    for epoch in range(1, epochs + 1):
        progress = Progress(f"epoch {epoch}/{epochs}", len(loader))
        loss_sum = 0.0
        for inputs, targets in progress.over(loader):
            loss = loss_of(model, inputs, targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            warm.step()
            loss_sum += loss.item()
            text = f"length {inputs.shape[1]:3}  loss {loss.item():.3f}"
            progress.show(text, samples=len(inputs))
        progress.show(f"loss {loss_sum / len(loader):.3f} per character", last=True)
    return loss_sum / len(loader)


def sample(model, text, prompt, length=200, temperature=0.6):
    """What the model writes after the prompt, one drawn character after the other."""
    model.eval()
    written = "\n" + prompt
    with twofold.no_grad():
        scores, state = model(text.encode(written).unsqueeze(0))
        for _ in range(length):
            chances = F.softmax(scores[0, -1] / temperature, dim=-1)
            drawn = twofold.multinomial(chances, 1)
            written += text.decode(drawn)
            scores, state = model(drawn.unsqueeze(0), state)
    model.train()
    return written[1:]


def main(epochs=EPOCHS, folder="runs", size=400_000):
    twofold.manual_seed(0)
    text = datasets.stdlib_text(size)
    texts = [text.encode(block) for block in text.blocks(shortest=40, longest=160)]
    loader = DataLoader(texts, batch_sampler=ByLength(texts, BATCH), collate_fn=pad, num_workers=1)
    model = CharacterModel(len(text.vocabulary))
    print(f"{len(texts)} texts of 40 to 160 characters from {size:,} of Python's library")
    loss = train(model, loader, epochs)

    path = Path(folder) / "stdlib_text.safetensors"
    path.parent.mkdir(exist_ok=True)
    twofold.save(model.state_dict(), path)
    print(f"saved to {path}; the model writes:")
    for prompt in ("def ", "class ", "if "):
        print("-" * 40)
        print(sample(model, text, prompt))
    return loss


if __name__ == "__main__":
    main()
