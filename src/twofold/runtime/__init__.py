"""Floor 1: memory, threads and programs. Knows bytes and addresses, knows no operation."""
