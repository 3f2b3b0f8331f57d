"""Tutorial 1: tensors. Run it, change it, run it again: python docs/tutorial/01_tensors.py"""

import numpy as np

import twofold

# A tensor is an array of one element type. Lists of Python floats make float32.
x = twofold.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print("x is", x.dtype, "of shape", list(x.shape))

# Arithmetic goes element by element, and sizes of 1 are repeated (broadcasting).
centred = x - x.mean(dim=0)
print("columns, centred:", centred.tolist())
assert centred.sum(dim=0).tolist() == [0.0, 0.0, 0.0]

# `@` is the matrix product, `.T` a view of the same memory, turned.
products = x @ x.T
print("products of rows:", products.tolist())
assert products[0, 1].item() == 1 * 4 + 2 * 5 + 3 * 6

# A slice is a view: writing into it writes into x. Indexing by a tensor or a mask copies.
x[:, 0] = 0.0
print("first column cleared:", x.tolist())
large = x[x > 4]
print("elements above 4:", large.tolist())

# NumPy arrays share their memory with tensors, both ways.
array = np.zeros(3)
shared = twofold.from_numpy(array)
shared += 2
print("the array sees it:", array)
assert array.tolist() == [2.0, 2.0, 2.0]

# A mistake is found at once, and the error says what to try.
try:
    x @ x
except twofold.TwofoldError as error:
    print("\n" + str(error))
    assert error.hint == "x @ w.T"
