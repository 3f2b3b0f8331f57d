"""Processes with unequal numbers of batches: one process has as many as itself. Floor 13."""

from __future__ import annotations

from typing import Any, final

__all__ = ["Join", "JoinHook", "Joinable"]


class JoinHook:
    """What a process does once it has no more batches, while others have."""

    def main_hook(self) -> None:
        """While others have batches."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """When no process has any."""


class Joinable:
    """What can take part in a `Join`."""

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What this does in the meantime."""
        return JoinHook()


@final
class Join:
    """A block in which processes may run out of batches; then each object's post_hook is called."""

    def __init__(
        self,
        joinables: list[Any],
        enable: bool = True,
        throw_on_early_termination: bool = False,
        **kwargs: Any,
    ) -> None:
        self.hooks = [x.join_hook(**kwargs) for x in joinables if isinstance(x, Joinable)]
        self.enable = enable

    def __enter__(self) -> Join:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if self.enable and kind is None:
            for hook in self.hooks:
                hook.post_hook(True)

    @staticmethod
    def notify_join_context(joinable: Any) -> None:
        """There is nobody else to tell."""
