"""Operations that take functions, under the names of PyTorch's inner module. Floor 13."""

from twofold.frontends.control import cond, scan, while_loop

__all__ = ["cond", "scan", "while_loop"]
