"""Floor 7: running operations now."""
