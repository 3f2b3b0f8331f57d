"""Floor 8: gradients. One walk over nodes serves every way of asking for them."""
