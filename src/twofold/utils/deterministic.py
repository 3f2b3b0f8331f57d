"""What is done besides deterministic algorithms, which all are here. Floor 13."""

# PyTorch fills what `empty` makes where this is set: here it is always zeros.
fill_uninitialized_memory = True
