"""Floor 0: errors, flags, dtypes and types. Knows nothing of operations."""
