"""Floor 5: graphs to better graphs."""
