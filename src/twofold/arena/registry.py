"""Which frameworks and workloads there are, what a file of the user's defines, and its source."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, final

from twofold.arena.judge import Allowed
from twofold.base.errors import ArgumentError

HERE = Path(__file__).resolve().parent
# The order in which frameworks are shown; each has a file in frameworks/.
FRAMEWORKS = (
    "twofold",
    "torch",
    "tensorflow",
    "keras",
    "jax",
    "tinygrad",
    "mlx",
    "onnxruntime",
    "numpy",
)
# The order in which workloads are run; each has a file in workloads/.
WORKLOADS = (
    "seed",
    "overhead",
    "mlp",
    "lenet",
    "resnet18",
    "chargpt",
    "lstm",
    "pinn",
    "gpt2",
    "rows",
    "scan",
    "shapes",
)
BEYOND_TIME = ("startup", "behaviours")  # measured in other ways, in files of their own


@final
class Row(NamedTuple):
    """One case of a workload: what every contestant is asked to do."""

    workload: str
    case: str
    path: Path
    module: ModuleType

    @property
    def name(self) -> str:
        return f"{self.workload}/{self.case}" if self.case else self.workload

    @property
    def sizes(self) -> dict[str, Any]:
        return dict(self.module.CASES[self.case])

    @property
    def title(self) -> str:
        title = getattr(self.module, "TITLE", self.workload)
        labels = getattr(self.module, "LABELS", {})
        if self.case in labels:
            return str(labels[self.case])
        return f"{title} ({self.case})" if len(self.module.CASES) > 1 else str(title)

    @property
    def group(self) -> str:
        groups = getattr(self.module, "GROUPS", {})
        return str(groups.get(self.case, getattr(self.module, "GROUP", "yours")))

    @property
    def fresh(self) -> bool:
        """Whether each call is the first of a new process, with empty caches."""
        return bool(getattr(self.module, "FRESH", False))

    @property
    def repeats(self) -> int:
        """How often one call does the work of the row."""
        count = getattr(self.module, "repeats", None)
        return 1 if count is None else int(count(**self.sizes))

    @property
    def work(self) -> dict[str, float]:
        """Float operations and the fewest bytes of one call, as far as they are known."""
        count = getattr(self.module, "work", None)
        return {} if count is None else dict(count(**self.sizes))

    @property
    def allowed(self) -> Allowed:
        return allowed_of(self.module)

    def frameworks(self) -> list[str]:
        return [name for name in FRAMEWORKS if callable(getattr(self.module, name, None))]

    def code(self, framework: str) -> str:
        return source_of(self.path, framework)


def allowed_of(module: ModuleType) -> Allowed:
    """How far results may lie apart, as a workload's file says, or as usual."""
    said = {"results": "TOLERANCE", "moves": "MOVES"}
    return Allowed(**{k: getattr(module, v) for k, v in said.items() if hasattr(module, v)})


def framework_path(name: str) -> Path:
    return HERE / "frameworks" / f"{name}.py"


def constant(framework: str, name: str) -> Any:
    """A constant of a framework's file, read without running it: it may import the framework."""
    tree = ast.parse(framework_path(framework).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise ArgumentError("arena", f"frameworks/{framework}.py has no {name}")


def modes(framework: str) -> tuple[str, ...]:
    return tuple(constant(framework, "MODES"))


def title(framework: str) -> str:
    return str(constant(framework, "TITLE"))


def load_workload(name: str) -> tuple[str, Path, ModuleType]:
    """A workload by its name, or by the path of a file."""
    path = Path(name) if name.endswith(".py") else HERE / "workloads" / f"{name}.py"
    if not path.is_file():
        raise ArgumentError(
            "arena",
            f"no workload {name!r}",
            known=", ".join(WORKLOADS + BEYOND_TIME),
            hint="a name of these, name/case, or the path of a file of yours",
        )
    spec = importlib.util.spec_from_file_location(f"arena_{path.stem}_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "CASES"):
        module.__dict__["CASES"] = {"": {}}
    if not callable(getattr(module, "inputs", None)):
        raise ArgumentError(
            "arena", f"{path} has no function `inputs(rng)`", hint="see docs/guide/arena.md"
        )
    return path.stem, path.resolve(), module


def rows(names: list[str]) -> list[Row]:
    """The rows that these words ask for: `mlp` (every case), `mlp/b64`, `my_workload.py`."""
    found = []
    for word in names:
        given, _, case = (word, "", "") if word.endswith(".py") else word.partition("/")
        name, path, module = load_workload(given)
        if case and case not in module.CASES:
            known = ", ".join(module.CASES)
            hint = f"{name}/ and one of these"
            raise ArgumentError("arena", f"{name} has no case {case!r}", hint=hint, known=known)
        cases = [case] if case else module.CASES
        found += [Row(name, each, path, module) for each in cases]
    return found


def quick_rows() -> list[Row]:
    """The rows of a first look: few, short, and one of each kind."""
    found = rows(list(WORKLOADS))
    return [row for row in found if row.case in getattr(row.module, "QUICK", ())]


def source_of(path: Path, function: str) -> str:
    """The function, and what else of its file it uses, as they stand in the file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    defined = {name: node for node in ast.parse(text).body for name in names_of(node)}
    wanted, queue = {function}, [function]
    while queue:
        node = defined[queue.pop()]
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and inner.id in defined and inner.id not in wanted:
                wanted.add(inner.id)
                queue.append(inner.id)
    nodes = {id(defined[name]): defined[name] for name in wanted}.values()
    parts = [
        "\n".join(lines[first_line(node) - 1 : node.end_lineno])
        for node in sorted(nodes, key=lambda node: node.lineno)
    ]
    return "\n\n".join(parts)


def names_of(node: ast.stmt) -> Iterator[str]:
    """What a statement at the top of a file defines; imports are left out."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            for inner in ast.walk(target):
                if isinstance(inner, ast.Name):
                    yield inner.id


def first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])
