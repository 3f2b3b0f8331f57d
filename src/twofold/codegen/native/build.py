"""The modules that every process needs, written when they are not in the cache; tensor.py has those
of the Tensor tier. Floor 3.
"""

from __future__ import annotations

from twofold.codegen.native.allocator import add_allocator
from twofold.codegen.native.entry import add_entry
from twofold.codegen.native.objects import add_objects
from twofold.codegen.native.plans import add_plans
from twofold.codegen.native.pool import add_pool
from twofold.ir.build import Module


def build_base() -> Module:
    """Pool and allocator: what every tier needs."""
    m = Module("native")
    add_pool(m)
    add_allocator(m)
    return m


def build_arrays() -> Module:
    """And entries, which read arrays."""
    m = build_base()
    add_objects(m)
    add_entry(m)
    add_plans(m)
    return m
