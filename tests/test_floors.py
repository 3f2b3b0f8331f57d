"""Imports only go down: every import of every file, late ones too, against one table of floors.

A file may import from floors below its own and from its own folder. `twofold` itself, whose
`__init__` gathers everything, is the top; nothing below imports it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "twofold"

FLOORS = {
    "base": 0,
    "runtime": 1,
    "ir": 2,
    "codegen": 3,
    "ops": 4,
    "passes": 5,
    "lower": 6,
    "exec": 7,
    "autograd": 8,
    "frontends": 9,
    "saving": 8,
    "jit": 11,
    "library": 11,
    "overrides": 11,
    "linalg": 9,
    "fft": 9,
    "signal": 9,
    "quasirandom": 9,
    "special": 9,
    "on_values": 10,
    "sparse": 11,
    "sparse_rows": 12,
    "nested": 12,
    "nn": 10,
    "func": 11,
    "functional": 11,
    "serialization": 11,
    "fx": 12,
    "optim": 11,
    "distributions": 11,
    "data": 11,
    "absent": 9,
    "amp": 11,
    "profiler": 11,
    "multiprocessing": 11,
    "compiler": 11,
    "_dynamo": 13,
    "_functorch": 11,
    "_C": 12,
    "_higher_order_ops": 13,
    "masked": 9,
    "random": 9,
    "switches": 11,
    "testing": 11,
    "types": 10,
    "version": 0,
    "train": 12,
    "v1": 13,
    "array_api": 13,
    "cpu": 13,
    "cuda": 13,
    "backends": 13,
    "accelerators": 13,
    "accelerator": 14,
    "mps": 14,
    "mtia": 14,
    "xpu": 14,
    "aten": 13,
    "export": 13,
    "return_types": 9,
    "storage": 9,
    "torch_version": 13,
    "package": 12,
    "monitor": 12,
    "_inductor": 12,
    "__config__": 13,
    "_custom_ops": 12,
    "_subclasses": 12,
    "_utils": 12,
    "ao": 12,
    "quantization": 13,
    "onnx": 12,
    "futures": 10,
    "hub": 12,
    "utils": 13,
    "keras": 13,
    "ship": 13,
    "serve": 13,
    "distributed": 13,
    "pipeline": 13,
    "arena": 14,
    "torch_name": 13,
    "tools": 14,
    "cli": 15,
    "__main__": 16,
    "__init__": 15,
}

# From outside the standard library: what any file may import, what a function may import when it
# needs it, and what a whole wing is made for.
ALWAYS = {"numpy"}
LATE_ONLY = {
    "llvmlite": "a kernel that is not in the cache",
    "sklearn": "the examples extra",
    "PIL": "images",
}
PEERS = {"torch", "jax", "tensorflow", "keras", "tinygrad", "mlx", "onnxruntime", "onnx"}
WINGS = {"tools": {"mpmath"}, "arena": PEERS}

# Programs as users write them: run by path in processes of their own, never imported. They import
# what they measure where they need it, Twofold as a whole too.
PROGRAMS = ("twofold.arena.frameworks.", "twofold.arena.workloads.", "twofold.arena.behaviours.")

# Files that are imported inside functions only, since they import something heavy at their top.
GATES = {"twofold.codegen.llvm": "llvmlite"}
STANDARD = __import__("sys").stdlib_module_names


def wing(module: str) -> str:
    """The folder (or file) directly under twofold that holds a module: `twofold.ops.op` -> ops."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """The full name behind `from ..x import y`."""
    if not node.level:
        return node.module or ""
    package = path.relative_to(SOURCE.parent).parts[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def targets(node: ast.AST, path: Path) -> list[str]:
    """The modules that one statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = absolute(node, path)
        # `from twofold import ops` names a wing; `from twofold.ops import op` is in one already
        deep = [f"{module}.{alias.name}" for alias in node.names]
        return sorted({d if module == "twofold" or d in GATES else module for d in deep})
    if isinstance(node, ast.Call) and name_called(node) in {"import_module", "__import__"}:
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return []


def name_called(node: ast.Call) -> str:
    function = node.func
    return getattr(function, "attr", None) or getattr(function, "id", "")


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(module, line, late) for every import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        for module in targets(node, path):
            yield module, node.lineno, id(node) in late


def complaints(path: Path) -> Iterator[str]:
    """What is wrong with the imports of one file."""
    here, gate = wing(name_of(path)), GATES.get(name_of(path))
    for module, line, late in imports(path):
        where = f"{path.relative_to(SOURCE.parent)}:{line}"
        root = module.split(".")[0]
        if root == "twofold" and name_of(path).startswith(PROGRAMS):
            if wing(module) != "__init__":
                yield f"{where} imports {module}; a program of the arena has `import twofold` only"
        elif root == "twofold":
            yield from own_complaints(here, module, late, where)
        elif root not in STANDARD | ALWAYS | WINGS.get(here, set()) | {gate}:
            if root not in LATE_ONLY:
                yield f"{where} imports {module}, which Twofold does not depend on"
            elif not late:
                yield f"{where} imports {module} at the top; it is for {LATE_ONLY[root]} only"


def own_complaints(here: str, module: str, late: bool, where: str) -> Iterator[str]:
    there = wing(module)
    if there not in FLOORS:
        yield f"{where} imports {module}, whose folder is not in the table of floors"
    elif there != here and FLOORS[there] >= FLOORS[here]:
        yield f"{where} ({here}, floor {FLOORS[here]}) imports {module} (floor {FLOORS[there]})"
    elif late and module not in GATES:
        yield f"{where} imports {module} inside a function"
    elif module in GATES and not late:
        yield f"{where} imports {module}, and with it {GATES[module]}, at the top"


FILES = sorted(SOURCE.rglob("*.py"))


def test_every_file_has_a_floor():
    unknown = {str(path.relative_to(SOURCE)) for path in FILES if wing(name_of(path)) not in FLOORS}
    assert not unknown, f"add the folder to FLOORS in {__file__}: {sorted(unknown)}"


def test_imports_only_go_down():
    wrong = [line for path in FILES if wing(name_of(path)) in FLOORS for line in complaints(path)]
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize(
    ("floor", "statement", "fault"),
    [
        ("ir", "from twofold.ops.op import Op", "floor 4"),
        ("ir", "from ..ops import op", "floor 4"),
        ("ir", "import twofold", "floor 15"),
        ("ir", "from twofold import nn", "floor 10"),
        ("optim", "from twofold.data import DataLoader", "floor 11"),
        ("exec", "def f():\n    from twofold.base import errors", "inside a function"),
        ("exec", "def f():\n    import_module('twofold.nn')", "floor 10"),
        ("ir", "import torch", "does not depend on"),
        ("codegen", "import llvmlite.binding", "at the top"),
        ("codegen", "from twofold.codegen import llvm", "at the top"),
        ("codegen", "import mpmath", "does not depend on"),
        ("arena", "def f():\n    import twofold", "floor 15"),
        ("arena/workloads", "from twofold.nn import Linear", "`import twofold` only"),
    ],
)
def test_the_check_bites(tmp_path, monkeypatch, floor, statement, fault):
    monkeypatch.setitem(globals(), "SOURCE", tmp_path / "twofold")
    path = tmp_path / "twofold" / floor / "file.py"
    path.parent.mkdir(parents=True)
    path.write_text(statement)
    assert any(fault in line for line in complaints(path))


def test_the_check_allows_what_is_right(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SOURCE", tmp_path / "twofold")
    path = tmp_path / "twofold" / "exec" / "file.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import json\nimport numpy as np\nfrom twofold.ops.op import Op\nfrom . import graphs\n"
        "from twofold.exec import eager\ndef f():\n    import llvmlite.binding\n"
        "    from twofold.codegen import llvm\n"
    )
    assert list(complaints(path)) == []
