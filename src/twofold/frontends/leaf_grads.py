"""What a function does to the gradients of leaves, and to whether they require one. Floor 9.

A leaf that was there before the function keeps what it was given after it: the program gives it
back, and is made for leaves that have, or have not, a gradient when a call begins.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.autograd.walk import find_route, target_of
from twofold.base.errors import in_python
from twofold.frontends.arrays import CaptureError, is_unknown
from twofold.frontends.noted import Found, Grad, Held
from twofold.ops.bind import current
from twofold.ops.tensor import Tensor


class LeafGrads:
    """A capture's part that remembers leaves; `outer` is the capture around it, or None."""

    def __init__(self, outer: Any) -> None:
        self.outer = outer
        self.locals: dict[int, Tensor] = {}  # what stands for the outer tensors, by their ids
        self.found: list[Found] = []  # these with the outer ones
        self.carried: list[Tensor] = []  # and for what a loop carries, or a branch is given
        self.begun: dict[int, Held] = {}  # leaves whose .grad was touched, and what it was before
        self.grads: dict[int, Grad] = {}  # leaves whose .grad was looked at, set or forgotten
        self.places: dict[int, int] = {}  # the tensors that stand for arguments: which leaf each is
        self.made_outside: set[int] = set()  # those of them that stand for results of operations
        # leaves and whether they required gradients, before and after
        self.flags: dict[int, tuple[Tensor, bool]] = {}
        self.flags_after: list[tuple[Any, bool]] = []
        self.own: dict[int, Tensor] = {}  # tensors made here on memory that lies outside
        self.begun_here: list[weakref.ref[Any]] = []  # optimizers

    def note_flag(self, x: Tensor) -> None:
        """A tensor is about to require a gradient, or no longer."""
        if self.outer is not None:
            self.outer.note_flag(x)
        elif id(x) in self.places or (type(x.array) is np.ndarray and id(x) not in self.own):
            self.flags.setdefault(id(x), (x, x.tracked))

    def begins(self, optimizer: Any, empty: bool) -> bool:
        """Whether an optimizer that gets a group is made here, where it got its first one."""
        if self.outer is not None:
            return bool(self.outer.begins(optimizer, empty))
        if empty:
            self.begun_here.append(weakref.ref(optimizer))
        return any(ref() is optimizer for ref in self.begun_here)

    def note_own(self, x: Tensor) -> None:
        """A tensor is made on memory that lies outside: each run makes it anew."""
        if self.outer is not None:
            self.outer.note_own(x)
        else:
            self.own[id(x)] = x

    def admit_grad(self, x: Tensor) -> None:
        """A walk is about to add to the gradient of a leaf."""
        if self.outer is not None:
            raise CaptureError(
                "compile",
                "backward() in a loop or a branch",
                hint="autograd.grad there, or backward() after it",
            )
        if id(x) in self.made_outside:
            error = CaptureError(
                "compile",
                "backward() in the function would go on behind what it is given, outside of it",
                hint="backward() on what the function gives back, or x.detach() as the argument",
            )
            in_python(error)
            raise error

    def targets_here(
        self, roots: Sequence[tuple[Tensor, Tensor]], targets: Sequence[Tensor]
    ) -> list[Tensor]:
        """What stands here for the tensors that a walk is to arrive at: in a branch or a body, for
        those from outside. Raises CaptureError where it would have to go on around that.
        """
        made = [self.locals.get(id(x), x) for x in targets]
        arrays: list[Any] = [x.array for x in targets]
        if all(is_unknown(a) and a.capture is self for a in arrays):
            return made
        if self.outer is not None:
            reached = {id(x) for x in find_route([target_of(x) for x, _ in roots], None).leaves}
            reached -= set(map(id, made))
            behind = [f.local for f in self.found if current(f.tensor).node is not None]
            if any(id(x) in reached for x in (*self.carried, *behind)):
                raise CaptureError(
                    "compile",
                    "grad() in a loop or a branch by a tensor from outside, of which what it is "
                    "given may depend",
                    hint="detach() what the loop carries, or take the gradient after it",
                )
        return made

    def touch_grad(self, x: Tensor) -> bool:
        """Whether x was there before the function, whose gradient is then remembered."""
        if type(x.array) is not np.ndarray and id(x) not in self.places:
            return False
        self.begun.setdefault(id(x), Held(x, x.leaf_grad))
        return True

    def note_grad(self, x: Tensor) -> None:
        """The leaf's gradient is about to be looked at."""
        if self.outer is not None:
            self.outer.note_grad(x)
        elif self.touch_grad(x):
            self.grads.setdefault(id(x), Grad(x, x.leaf_grad, True))

    def clear_grad(self, x: Tensor) -> None:
        """The leaf's gradient is about to be forgotten, or replaced."""
        if self.outer is not None:
            raise CaptureError(
                "compile",
                "a loop or a branch sets the gradient of a leaf",
                hint="give it back from the body, and set it after it",
            )
        if self.touch_grad(x):
            self.grads.setdefault(id(x), Grad(x, x.leaf_grad, False))

    def has_set(self, x: Tensor) -> bool:
        """Whether the leaf's gradient is another one than before the function."""
        return x.leaf_grad is not self.begun[id(x)].grad
