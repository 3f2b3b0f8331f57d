"""Floor 9: the ways to a graph."""
