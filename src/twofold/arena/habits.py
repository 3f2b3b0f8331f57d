"""What frameworks do, besides how fast: each behaviour tried, with what came of it as evidence."""

from __future__ import annotations

from typing import Any

from twofold.arena import registry
from twofold.arena.peer import Peer, PeerError
from twofold.arena.run import Arena

# The name of a function in the files of behaviours/, and what it means when it is good.
BEHAVIOURS = {
    "eager_equals_compiled": "eager and compiled give the same bits",
    "one_thread_equals_two": "1 thread and 2 give the same bits",
    "row_alone_equals_row_in_batch": "a row alone and in a batch have the same bits",
    "compiles_for_50_shapes": "50 shapes are traced once",
    "second_derivative_under_compile": "second derivatives under compile",
    "out_of_range_index": "an index out of range is an error",
    "loss_shape_mismatch": "a loss of shapes that do not match is an error",
    "float64_kept": "float64 stays float64",
    "values_inside_compiled_code": "Python inside compiled code sees values",
    "wrong_shape_error": "an error of shapes names both and says what to try",
    "checkpoint_without_pickle": "checkpoints without pickle",
}
FILES = {"twofold": "torch_like", "torch": "torch_like", "tensorflow": "tensorflow", "jax": "jax"}
LIMIT = 120.0


def observe(arena: Arena) -> list[dict[str, Any]]:
    """One record for each framework that is here: behaviour to good (or None) and evidence."""
    found = []
    for framework in dict.fromkeys(name for name, _ in arena.here()):
        if framework in FILES:
            arena.say(f"behaviours: {framework}")
            found.append({"framework": framework, "behaviours": of_framework(arena, framework)})
    return found


def of_framework(arena: Arena, framework: str) -> dict[str, dict[str, Any]]:
    path = registry.HERE / "behaviours" / f"{FILES[framework]}.py"
    peer: Peer | None = None
    found = {}
    try:
        for name in BEHAVIOURS:
            if peer is None or not peer.alive:
                peer, _ = arena.new_peer(framework, registry.modes(framework)[0])
            try:
                answer = peer.ask(LIMIT, "behave", path=str(path), name=name)
            except PeerError as error:
                answer = {"error": str(error)}
            found[name] = told(answer)
    finally:
        if peer is not None:
            peer.close()
    return found


def told(answer: dict[str, Any]) -> dict[str, Any]:
    if "refused" in answer:
        return {"good": None, "evidence": answer["refused"]}
    if "error" in answer:
        return {"good": False, "evidence": answer["error"]}
    return answer
