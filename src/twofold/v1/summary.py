"""Summaries: named values that a run gives back, and a file of them. Floor 13."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from twofold.ops.tensor import Tensor
from twofold.v1.state import add_to_collection, get_collection, given, names

SUMMARIES = "summaries"


def scalar(name: str, tensor: Any, collections: Any = None) -> dict[str, Tensor]:
    """A number to be looked at. Running it gives {name: value}."""
    made = {"/".join([*names().scope, name]): given(tensor)}
    for key in collections or [SUMMARIES]:
        add_to_collection(key, made)
    return made


def histogram(name: str, values: Any, collections: Any = None) -> dict[str, Tensor]:
    """A tensor to be looked at."""
    return scalar(name, values, collections)


def merge(inputs: Any, name: str | None = None) -> dict[str, Tensor]:
    """Several summaries as one."""
    return {key: value for one in inputs for key, value in one.items()}


def merge_all(key: str = SUMMARIES) -> dict[str, Tensor] | None:
    """All summaries of the graph as one; None where there are none."""
    found = get_collection(key)
    return merge(found) if found else None


@final
class FileWriter:
    """Writes what summaries gave: a line of JSON for each, in `folder/summaries.jsonl`."""

    def __init__(self, logdir: str, graph: Any = None, **_: Any) -> None:
        folder = Path(logdir)
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / "summaries.jsonl").open("a", encoding="utf-8")
        if graph is not None:
            self.add_graph(graph, folder)

    def add_graph(self, graph: Any, folder: Path | None = None) -> None:
        """The graph as text beside it."""
        target = (folder or Path(self.file.name).parent) / "graph.txt"
        target.write_text(graph.as_text(lines=True), encoding="utf-8")

    def add_summary(self, summary: Mapping[str, Any], global_step: Any = None) -> None:
        row = {name: np.asarray(value).tolist() for name, value in summary.items()}
        step = None if global_step is None else int(global_step)
        self.file.write(json.dumps({"step": step, **row}) + "\n")

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()
