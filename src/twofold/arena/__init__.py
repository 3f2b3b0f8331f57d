"""Floor 14: which framework for my work? Measured on the user's own machine: `twofold arena`."""
