"""What a first run costs: an empty kernel cache, and the time until all is compiled.

python -m bench.cold [PROGRAM ...] [--rounds 3] [--kernels 20] [--warm]

A PROGRAM is the name of a file in examples/, or `shapes` for the arena's fifty shapes, or `lengths`
for an LSTM's steps of fifty lengths, or `step` and `gpt` for the first steps of an MLP and a
6-layer GPT. Each runs in processes of its own, with a
new folder for the cache, with Python's compiled files in place; of all rounds the fastest counts.
Milliseconds:

    wall, cpu  as users have it, several threads compiling: from before `import twofold` to the end

and then phase by phase, compiled one after the other, in times of the calling thread (other work on
the machine does not count):

    import    llvmlite and the parts of Twofold that only compilation needs
    build     Python that writes the loops
    verify    our own check of them
    emit      Python that writes LLVM's text
    parse     LLVM reads the text
    passes    LLVM's passes before the code generator
    code      LLVM's code generator
    keep      objects written to the cache, or read from it
    place     objects placed in memory

--kernels N    also the N modules that took longest, and sums by family
--warm         a second run on the folder that the first one filled
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = (
    *("digits", "vae", "vit", "unet", "reinforce", "tagger", "flow", "gan", "pinn"),
    *("shapes", "lengths", "step", "gpt"),
)
PHASES = ("import", "build", "verify", "emit", "parse", "passes", "code", "keep", "place")


class Clock:
    """Times of phases, each without the phases inside it, by module."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = defaultdict(float)
        self.modules: dict[str, dict[str, float]] = {}
        self.stack: list[str] = []
        self.keys: list[str] = []
        self.last = time.thread_time()

    def tick(self) -> None:
        now = time.thread_time()
        if self.stack:
            self.phases[self.stack[-1]] += now - self.last
            if self.keys:
                module = self.modules[self.keys[-1]]
                module[self.stack[-1]] = module.get(self.stack[-1], 0.0) + now - self.last
        self.last = now

    def wrap(self, holder: Any, name: str, phase: str) -> None:
        inside = getattr(holder, name)

        def timed(*args: Any, **keywords: Any) -> Any:
            self.tick()
            self.stack.append(phase)
            try:
                return inside(*args, **keywords)
            finally:
                self.tick()
                self.stack.pop()

        setattr(holder, name, timed)


def child(program: str) -> None:
    """Run a program under the clock, one module after the other, and print the times as one line
    of JSON.
    """
    start = time.thread_time()
    import twofold  # noqa: F401
    from twofold.codegen import cache, jobs
    from twofold.codegen import compile as compiler

    jobs.MOST = 1
    clock = Clock()
    began = time.thread_time()
    watch(clock, compiler, cache)
    out = quiet()
    with suppress(SystemExit):
        run(program)
    total = time.thread_time()
    found = {
        "total": total - began,
        "startup": began - start,
        "phases": clock.phases,
        "modules": clock.modules,
    }
    os.write(out, json.dumps(found).encode() + b"\n")
    os._exit(0)  # what the program left behind is not looked at


def plain(program: str) -> None:
    """Run a program as users do, and print the seconds from before the import of Twofold to its
    end, and what all of its threads took.
    """
    start = time.perf_counter()
    out = quiet()
    with suppress(SystemExit):
        run(program)
    found = {"wall": time.perf_counter() - start, "cpu": time.process_time()}
    os.write(out, json.dumps(found).encode() + b"\n")
    sys.stdout.flush()


def quiet() -> int:
    """Where the answer goes; what the program prints goes nowhere."""
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return out


def watch(clock: Clock, compiler: Any, cache: Any) -> None:
    load = compiler._load

    def loaded(key: str, build: Callable[[], Any], *rest: Any) -> Any:
        clock.tick()
        clock.keys.append(key)
        clock.modules.setdefault(key, {})
        clock.stack.append("build")
        try:
            return load(key, build, *rest)
        finally:
            clock.tick()
            clock.stack.pop()
            clock.keys.pop()

    compiler._load = loaded
    clock.wrap(cache, "read", "keep")
    clock.wrap(cache, "write", "keep")
    clock.wrap(compiler, "_place", "place")
    llvm = compiler._llvm
    emit = compiler._emit
    ready: list[bool] = []

    def emitted(module: Any, target: Any) -> str:
        text = emit(module, target)
        if clock.keys:
            clock.modules[clock.keys[-1]]["bytes"] = len(text)
        return text

    compiler._emit = emitted
    clock.wrap(compiler, "_emit", "emit")

    def binding() -> Any:
        module = llvm()
        if not ready:
            ready.append(True)
            watch_llvm(clock, module._library())
        return module

    compiler._llvm = binding
    clock.wrap(compiler, "_llvm", "import")
    import_module = compiler.importlib.import_module
    known: set[str] = set()

    def imported(name: str) -> Any:
        if name in sys.modules:
            module = sys.modules[name]
        else:
            clock.tick()
            clock.stack.append("import")
            module = import_module(name)
            clock.tick()
            clock.stack.pop()
        if name.endswith(".ir.verify") and name not in known:
            known.add(name)
            clock.wrap(module, "verify", "verify")
        if name.endswith(".codegen.library") and name not in known:
            known.add(name)
            watch_llvm(clock, module.calls())
        return module

    class Importer:
        import_module = staticmethod(imported)

    compiler.importlib = Importer


def watch_llvm(clock: Clock, calls: dict[str, Any] | None) -> None:
    """The table of LLVM's functions, which compilation looks into each time."""
    if calls is None:
        return
    phases = {"ParseAssembly": "parse", "RunNewModulePassManager": "passes"}
    for name, phase in (phases | {"TargetMachineEmitToMemory": "code"}).items():
        inside = SimpleNamespace(call=calls[name])
        clock.wrap(inside, "call", phase)
        calls[name] = inside.call


def run(program: str) -> None:
    if program == "shapes":
        shapes()
    elif program == "lengths":
        lengths()
    elif program == "step":
        steps()
    elif program == "gpt":
        gpt_step()
    else:
        folder = str(ROOT / "examples")
        sys.path.insert(0, folder)
        os.chdir(tempfile.mkdtemp())
        runpy.run_path(f"{folder}/{program}.py", run_name="__main__")


def shapes() -> None:
    """The arena's row, eager and compiled."""
    import numpy as np

    import twofold
    from twofold.arena.workloads import shapes as row

    sizes = row.CASES["50"]
    rng = np.random.default_rng(0)
    weights = row.weights(rng, **sizes)
    (inputs,) = row.inputs(rng, **sizes)
    inputs = [twofold.from_numpy(x) for x in inputs]
    row.twofold(weights, twofold.compile, **sizes)(inputs)


def lengths() -> None:
    """The arena's LSTM, compiled, on fifty lengths that are all different."""
    import numpy as np

    import twofold
    from twofold.arena.workloads import lstm as row

    sizes = row.CASES["var"]
    rng = np.random.default_rng(0)
    steps = row.twofold(row.weights(rng, **sizes), twofold.compile, **sizes)["step"]
    chosen = rng.permutation(np.arange(sizes["shortest"], sizes["longest"] + 1))[:50]
    shape = sizes["batch"], sizes["features"]
    xs = [rng.standard_normal((shape[0], int(n), shape[1]), np.float32) for n in chosen]
    ys = [rng.integers(0, row.CLASSES, sizes["batch"]) for _ in chosen]
    steps([twofold.from_numpy(x) for x in xs], [twofold.from_numpy(y) for y in ys])


def steps() -> None:
    """The first step of an MLP, compiled."""
    import twofold as torch

    net = torch.nn.Sequential(
        *(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step(torch.randn(64, 784), torch.randint(0, 10, (64,))).item()


def gpt_step() -> None:
    """The first step of a 6-layer GPT, compiled."""
    import twofold as torch

    nn, functional = torch.nn, torch.nn.functional
    width, letters, length = 64, 65, 8

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            batch, time, _ = x.shape
            parts = self.qkv(self.before(x)).chunk(3, -1)
            q, k, v = (z.reshape(batch, time, 4, -1).transpose(1, 2) for z in parts)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
            return x + self.down(functional.gelu(self.up(self.between(x))))

    blocks = (Block() for _ in range(6))
    net = nn.Sequential(nn.Embedding(letters, width), *blocks, nn.Linear(width, letters))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(x).reshape(-1, letters), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    step(*(torch.randint(0, letters, (4, length)) for _ in range(2))).item()


# ---- the parent ----------------------------------------------------------------------------------


def measure(program: str, way: str, warm: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TWOFOLD_CACHE": folder}
        for _ in range(2 if warm else 1):
            command = [sys.executable, "-m", "bench.cold", f"--{way}", program]
            made = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, check=True, cwd=ROOT
            )
        found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
        return found


def fastest(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several rounds, the least of each time."""
    first = rounds[0]
    modules = {
        key: {
            phase: min(r["modules"].get(key, {}).get(phase, value) for r in rounds)
            for phase, value in times.items()
        }
        for key, times in first["modules"].items()
    }
    phases = {p: min(r["phases"].get(p, 0.0) for r in rounds) for p in PHASES}
    return {
        "total": min(r["total"] for r in rounds),
        "startup": min(r["startup"] for r in rounds),
        "phases": phases,
        "modules": modules,
    }


def seconds(times: dict[str, float]) -> float:
    return sum(value for phase, value in times.items() if phase != "bytes")


def tell(found: dict[str, Any], kernels: int) -> None:
    modules = found["modules"]
    families: dict[str, list[dict[str, float]]] = defaultdict(list)
    for key, times in modules.items():
        families[key.split("/")[0]].append(times)
    print(f"  {'family':<28}{'modules':>8}{'ms':>8}{'text KB':>9}")
    for name, group in sorted(families.items(), key=lambda f: -sum(map(seconds, f[1]))):
        size = sum(times.get("bytes", 0) for times in group) / 1e3
        print(f"  {name:<28}{len(group):>8}{sum(map(seconds, group)) * 1e3:>8.1f}{size:>9.0f}")
    for key, times in sorted(modules.items(), key=lambda m: -seconds(m[1]))[:kernels]:
        parts = " ".join(f"{p} {times[p] * 1e3:.1f}" for p in PHASES if times.get(p, 0) > 5e-5)
        size = times.get("bytes", 0) / 1e3
        print(f"  {seconds(times) * 1e3:7.1f} ms {size:6.0f} KB  {key[:80]}  {parts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", default=PROGRAMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kernels", type=int, default=0)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child)
    if args.plain:
        plain(args.plain)
        return
    from twofold.arena.peer import as_installed  # (the other processes time the import)

    as_installed()
    names = "".join(f"{phase:>8}" for phase in PHASES)
    print(f"{'':<10}{'wall':>7}{'cpu':>7}{'modules':>8}{'text KB':>8}{'compile':>9}{names}")
    for program in args.programs:
        plainly = [measure(program, "plain", args.warm) for _ in range(args.rounds)]
        found = fastest([measure(program, "child", args.warm) for _ in range(args.rounds)])
        phases = found["phases"]
        size = sum(times.get("bytes", 0) for times in found["modules"].values()) / 1e3
        print(
            f"{program:<10}"
            + "".join(f"{min(p[name] for p in plainly) * 1e3:>7.0f}" for name in ("wall", "cpu"))
            + f"{len(found['modules']):>8}{size:>8.0f}"
            f"{sum(phases.values()) * 1e3:>9.1f}"
            + "".join(f"{phases[p] * 1e3:>8.1f}" for p in PHASES),
            flush=True,
        )
        if args.kernels:
            tell(found, args.kernels)


if __name__ == "__main__":
    main()
