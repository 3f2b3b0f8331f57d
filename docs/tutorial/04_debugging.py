"""Tutorial 4: find out what goes wrong, with pdb and without: python docs/tutorial/04_debugging.py

Here the debugger's commands are written down, so that the script runs by itself; at a terminal,
`breakpoint()` in the same place asks you for them.
"""

import io
import pdb

import twofold
from twofold import nn

twofold.manual_seed(0)


class Net(nn.Module):
    def __init__(self, commands):
        super().__init__()
        self.commands = commands
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 1)

    def forward(self, x):
        h = self.fc1(x).relu()
        stop(self.commands)  # breakpoint()
        return self.fc2(h)


def stop(commands):
    """A breakpoint in the caller, with commands for it."""
    debugger = pdb.Pdb(
        stdin=io.StringIO("\n".join(["up", *commands, "continue", ""])), nosigint=True
    )
    debugger.use_rawinput = False
    debugger.prompt = "(Pdb) "
    debugger.set_trace()


# 1. Stop in the middle of forward and look. Every operation has run by then: values are there.
model = Net(["p list(h.shape)", "p (h > 0).float().mean(1)", "p h.grad_fn"])
output = model(twofold.randn(2, 4))

# 2. Look at gradients on their way back, with a hook.
hidden = model.fc1(twofold.randn(2, 4))
hidden.register_hook(lambda g: print("\ngradient of hidden:", list(g.shape), g.abs().max().item()))
model.fc2(hidden.relu()).sum().backward()

# 3. An error names the module, your line, and what to try.
try:
    model.fc2(twofold.zeros(2, 4))
except twofold.TwofoldError as error:
    print(f"\n{error}")
    assert error.path == ("Linear",)

# 4. A value that is NaN: the anomaly mode names the operation and the line that made it.
x = twofold.tensor([0.0, 1.0], requires_grad=True)
try:
    with twofold.autograd.detect_anomaly():
        distance = x.sqrt()
        (distance * 0).sum().backward()
except twofold.TwofoldError as error:
    print(f"\n{error}")
    assert "sqrt" in error.problem

# 5. After a crash: python -m pdb -c continue script.py stops where the error was raised, with
#    every frame; TWOFOLD_DEBUG=1 prints the frames inside Twofold too.
