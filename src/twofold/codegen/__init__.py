"""From Loops to machine code: targets, LLVM text, the compiler, its cache and its loader. Floor 3."""
