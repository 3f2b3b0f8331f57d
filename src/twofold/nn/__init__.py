"""Floor 10: layers, losses and their initialisation."""
