"""Lowering: from an operation and its layouts to kernels in the loop language. Floor 6."""
