"""The languages between Tensor code and machine code. Floor 2."""
