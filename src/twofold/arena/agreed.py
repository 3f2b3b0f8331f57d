"""What several frameworks agreed on, kept in a file: a witness where nobody else is installed.

`twofold arena --full --record` writes it, on a machine that has the peers. Twofold's own results
are never recorded: only what two other frameworks agree on is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twofold.arena import judge
from twofold.arena.registry import Row

FILE = Path(__file__).with_name("agreed.json")
WITNESS = "recorded/agreed"  # its name among the contestants
DIGITS = 6
Check = dict[str, Any]


def witness(row: Row, file: Path = FILE) -> dict[str, Check]:
    """The recorded check of this row, under the name of the witness; nothing for other sizes."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8")).get(row.name)
    except OSError:
        return {}
    return {WITNESS: kept} if kept and kept["sizes"] == row.sizes else {}


def record(row: Row, checks: dict[str, Check], file: Path = FILE) -> str:
    """Keep what the peers agree on. Returns whose result it is, or nothing."""
    peers = {name: check for name, check in checks.items() if not name.startswith("twofold/")}
    peers.pop(WITNESS, None)
    reference, supporters = judge.reference_of(peers, row.allowed)
    if supporters < 2:
        return ""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    check = peers[reference]
    kept[row.name] = rounded(
        {"sizes": row.sizes, "results": check["results"], "moves": check["moves"]}
    )
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept))
    file.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    return reference


def rounded(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: rounded(branch) for name, branch in tree.items()}
    if isinstance(tree, list):
        return [rounded(branch) for branch in tree]
    return float(f"{tree:.{DIGITS}g}") if isinstance(tree, float) else tree
