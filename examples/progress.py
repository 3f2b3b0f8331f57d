"""One line on the terminal that tells how far a program is."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

WIDTH = 24


class Progress:
    """A bar for a loop over batches, with whatever is worth telling beside it.

    On a terminal the line is drawn over itself; in a file only its last state is written.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = total
        self.done = 0
        self.samples = 0
        self.began = time.perf_counter()

    def over(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches themselves, counted."""
        for batch in batches:
            yield batch
            self.done += 1

    def show(self, text: str, samples: int = 0, last: bool = False) -> None:
        """Draw the line; `samples` more were worked on."""
        self.samples += samples
        if not (last or sys.stdout.isatty()):
            return
        share = 1.0 if last else self.done / self.total
        bar = "█" * round(share * WIDTH)
        rate = self.samples / (time.perf_counter() - self.began)
        line = f"{self.title} {bar:░<{WIDTH}} {text}  {rate:8,.0f} samples/s"
        print("\r" + line, end="\n" if last else "", flush=True)
