"""Tutorial 2: gradients. The slope of anything you compute: python docs/tutorial/02_gradients.py"""

import twofold

# Ask for the gradient of x; every operation on it is then remembered.
x = twofold.tensor(3.0, requires_grad=True)
y = x * x + 2 * x
y.backward()
print("dy/dx at 3 is 2 x + 2 =", x.grad.item())
assert x.grad.item() == 8.0

# Python's own control flow decides what is computed, and so what is differentiated.
v = twofold.tensor(0.5, requires_grad=True)
value, steps = v, 0
while value < 10:
    value = value * 3
    steps += 1
value.backward()
print(f"tripled {steps} times, so the slope is {v.grad.item()}")
assert v.grad.item() == 3.0**steps

# Gradients have gradients: Newton's method for the cube root of 2.
root = twofold.tensor(1.0, dtype=twofold.float64)
for _ in range(6):
    root.requires_grad_()
    distance = (root**3 - 2) ** 2
    (slope,) = twofold.autograd.grad(distance, root, create_graph=True)
    (curvature,) = twofold.autograd.grad(slope, root)
    root = (root - slope / curvature).detach()
print("a cube root of 2, nearly:", root.item())

# The simplest training: a line through points, by gradient descent.
twofold.manual_seed(0)
inputs = twofold.rand(50)
targets = 4 * inputs - 1 + 0.01 * twofold.randn(50)
slope = twofold.zeros((), requires_grad=True)
offset = twofold.zeros((), requires_grad=True)
for _ in range(500):
    loss = ((slope * inputs + offset - targets) ** 2).mean()
    loss.backward()
    with twofold.no_grad():
        for p in (slope, offset):
            p -= 0.5 * p.grad
            p.grad = None
print(f"the line is {slope.item():.2f} x {offset.item():+.2f}")
assert abs(slope.item() - 4) < 0.05 and abs(offset.item() + 1) < 0.05
