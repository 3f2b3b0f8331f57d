"""The modules of the native runtime, written when they are not in the cache. Floor 3."""

from __future__ import annotations

from twofold.codegen.native.allocator import add_allocator
from twofold.codegen.native.entry import add_entry
from twofold.codegen.native.objects import add_objects
from twofold.codegen.native.pool import add_pool
from twofold.codegen.native.tensor import build_numbered, build_tensors
from twofold.ir.build import Module

__all__ = ["build_arrays", "build_base", "build_numbered", "build_tensors"]


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
    return m
