"""Hooks that send gradients, by name: a bucket of one process comes back as it is. Floor 13."""

from __future__ import annotations

from typing import Any

from twofold.futures import Future

__all__ = ["allreduce_hook", "bf16_compress_hook", "fp16_compress_hook", "noop_hook"]


def allreduce_hook(process_group: Any, bucket: Any) -> Future[Any]:
    """The mean over one process is what it has: nothing is rounded on the way either."""
    made: Future[Any] = Future()
    made.set_result(bucket.buffer())
    return made


fp16_compress_hook = bf16_compress_hook = noop_hook = allreduce_hook
