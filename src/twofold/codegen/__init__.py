"""From Loops to machine code: targets, LLVM text, compiler, cache and loader. Floor 3."""
