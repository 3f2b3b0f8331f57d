"""What it takes to begin: the import, the installed size, and the first step, cold and warm."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from typing import Any

from twofold.arena import registry
from twofold.arena.peer import PeerError, environment, interpreter
from twofold.arena.run import Arena, failed

MODULES = {
    "twofold": "twofold",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "jax": "jax.numpy",
    "tinygrad": "tinygrad",
    "mlx": "mlx.core",
    "onnxruntime": "onnxruntime",
    "numpy": "numpy",
}
IMPORTS = 3
WORK = "mlp/b64"
# The size of a distribution with all that it requires, as its files are on the disk.
SIZE = """
import importlib.metadata, json, os, re, sys, time
began = time.perf_counter()
import {module} as imported
took = time.perf_counter() - began
modules = len(sys.modules)
seen, total = set(), 0
def add(name):
    global total
    key = re.sub("[-_.]+", "-", name).lower()
    if key in seen:
        return
    seen.add(key)
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return
    for file in found.files or []:
        try:
            total += os.stat(found.locate_file(file)).st_size
        except OSError:
            pass
    for line in found.requires or []:
        if "extra ==" not in line:
            add(re.match("[A-Za-z0-9._-]+", line).group())
add({distribution!r})
if {distribution!r} == "twofold":
    for folder, _, names in os.walk(os.path.dirname(imported.__file__)):
        total += sum(os.stat(os.path.join(folder, name)).st_size for name in names)
print(json.dumps([took, modules, total, sorted(seen)]))
"""


def measure(arena: Arena) -> list[dict[str, Any]]:
    """One record for each framework, with the first steps of each of its modes."""
    found = []
    for framework in dict.fromkeys(name for name, _ in arena.here()):
        arena.say(f"startup: {framework}")
        entry: dict[str, Any] = {"framework": framework} | imported(arena, framework)
        entry["steps"] = [
            first_steps(arena, framework, mode) for f, mode in arena.here() if f == framework
        ]
        found.append(entry)
    return found


def imported(arena: Arena, framework: str) -> dict[str, Any]:
    distribution = registry.constant(framework, "DISTRIBUTION")
    code = SIZE.format(module=MODULES[framework], distribution=distribution)
    answers = []
    for _ in range(IMPORTS):
        done = subprocess.run(
            [interpreter(framework, arena.settings.python), "-P", "-c", code],
            capture_output=True,
            text=True,
            env=environment(framework, arena.settings.threads, ""),
        )
        if done.returncode:
            return {"reason": done.stderr.strip().splitlines()[-1]}
        answers.append(json.loads(done.stdout.strip().splitlines()[-1]))
    took = statistics.median(answer[0] for answer in answers)
    _, modules, size, parts = answers[-1]
    return {"import": took, "modules": modules, "size": size, "parts": parts}


def first_steps(arena: Arena, framework: str, mode: str) -> dict[str, Any]:
    """From the start of a process to the end of its first training step, without and with caches
    that an earlier process has filled.
    """
    (row,) = registry.rows([WORK])
    entry: dict[str, Any] = {"framework": framework, "mode": mode, "verdict": "", "reason": ""}
    if framework not in row.frameworks():
        return entry | {"reason": "not written for this framework"}
    with tempfile.TemporaryDirectory() as cold:
        for name in ("cold", "warm"):
            began = time.perf_counter()
            try:
                peer, answer = arena.new_peer(framework, mode, cold)
            except PeerError as error:
                return entry | {"reason": str(error)}
            try:
                if not failed(answer, entry):
                    answer = arena.ask(
                        peer,
                        "build",
                        workload=str(row.path),
                        contestant=framework,
                        sizes=row.sizes,
                    )
                ready = time.perf_counter() - began
                if not failed(answer, entry):
                    answer = arena.ask(peer, "check")
                if failed(answer, entry):
                    return entry
                entry[name] = ready + answer["times"][0]
                entry["memory"] = arena.ask(peer, "memory").get("peak")
            finally:
                peer.close()
    return entry
