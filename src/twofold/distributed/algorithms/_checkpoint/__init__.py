"""Modules that are computed again for their gradients. Floor 13."""
