"""Tutorial 5: a function as one program, the same bits: python docs/tutorial/05_compiling.py"""

import time

import twofold
import twofold.nn.functional as F
from twofold import nn, optim

# The same training step twice: plain Python, and compiled. Nothing else changes.
twofold.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
twin = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
twin.load_state_dict(model.state_dict())


def training(model):
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(inputs, labels):
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


plain, compiled = training(model), twofold.compile(training(twin))

# The first call captures what the Python does; later ones run the program, whatever the batch size.
for count in (32, 32, 7, 1):
    inputs, labels = twofold.randn(count, 16), twofold.randint(0, 4, (count,))
    a, b = plain(inputs, labels), compiled(inputs, labels)
    print(f"batch of {count:2d}: loss {a.item():.6f} and {b.item():.6f}")
    assert a.item() == b.item()
assert all(map(twofold.equal, model.parameters(), twin.parameters()))
report = twofold.explain(compiled)
print(f"{report.compiles} program for sizes 32, 7 and 1, and the same bits in every parameter")
assert report.compiles == 1


# What it is for: one entry into machine code, where Python made a call for each operation.
def seconds(step, turns=200):
    inputs, labels = twofold.randn(32, 16), twofold.randint(0, 4, (32,))
    step(inputs, labels)
    start = time.perf_counter()
    for _ in range(turns):
        step(inputs, labels)
    return (time.perf_counter() - start) / turns


print(f"a step takes {seconds(plain) * 1e6:.0f} us, compiled {seconds(compiled) * 1e6:.0f} us")


# Look inside: the graph after the passes. Three operations became one pass over memory.
@twofold.compile
def shrink(x, scale):
    return (x * scale).tanh() * 0.5


print(f"\n{shrink.graph(twofold.randn(6), 2.0)}")


# Where a tensor decides, the statement becomes a part of the program: no value leaves it.
@twofold.compile
def halvings(x):
    count = twofold.tensor(0)
    while x.abs().max() > 1:
        x = x / 2
        count = count + 1
    return count


print("halvings:", halvings(twofold.tensor([10.0, -3.0])).item())
assert halvings(twofold.tensor([10.0, -3.0])).item() == 4

# What no program can hold runs as Python, whole and never split silently: `explain` says so, and
# with `fullgraph` it is refused at your line.
try:
    twofold.compile(lambda x: [float(v) for v in x.numpy()], fullgraph=True)(twofold.ones(3))
except twofold.TwofoldError as error:
    print(f"\n{error}")
