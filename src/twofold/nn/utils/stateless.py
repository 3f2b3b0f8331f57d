"""`functional_call` under the name that it had first. Floor 10."""

from twofold.nn.functional_call import functional_call

__all__ = ["functional_call"]
