"""Floor 4: the tensor, the one door `bind`, and a record for every operation."""
