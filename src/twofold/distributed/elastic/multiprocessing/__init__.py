"""Processes that a launcher starts. Floor 13."""

from twofold.distributed.elastic.multiprocessing import errors
