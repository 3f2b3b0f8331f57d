"""The runtime's machine code, written in Loops: pool, allocator, entries, tensors."""
