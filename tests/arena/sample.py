"""A report as a run leaves it, with one of everything: winner, loser, cheat, refusal, noise."""


def entry(framework, mode, *times, **more):
    made = {
        "framework": framework,
        "mode": mode,
        "verdict": "right",
        "reason": "",
        "code": f"def {framework}(w, mode):\n    return '<{mode}>'",
        "build": 0.1,
        "first": 0.2,
        "memory": 123_000_000,
        "noise": [0.01] * len(times),
    }
    if times:
        made |= {"times": list(times), "median": sorted(times)[len(times) // 2]}
    return made | more


def report():
    entries = [
        entry("twofold", "eager", 1.9e-3, 2.0e-3, 2.1e-3),
        entry("twofold", "compiled", 0.9e-3, 1.0e-3, 1.2e-3),
        entry("torch", "eager", 2.9e-3, 3.0e-3, 3.1e-3, noise=[0.2, 0.0, 0.0]),
        entry("jax", "jit", verdict="wrong", reason="result of step 2 differs by <0.5>"),
        entry("numpy", "numpy", 0.5e-3, 0.5e-3, 0.5e-3),
        entry("jax", "eager", verdict="refused", reason="not today", code=""),
    ]
    lost = [
        entry("twofold", "eager", 4.0e-6, 4.0e-6, 4.0e-6),
        entry("torch", "eager", 2.0e-6, 2.0e-6, 2.0e-6),
        entry("jax", "jit", verdict="error", reason="stopped after 60 s"),
    ]
    rows = [
        row("mlp/b64", "MLP & friends", "training", entries, {"seconds": 5e-4, "by": "compute"}),
        row("overhead/add", "x + b", "overhead", lost, None) | {"repeats": 1000},
    ]
    frameworks = [
        {"framework": name, "mode": mode, "title": name.title(), "version": "1.2", "import": 0.5}
        for name, mode in (("twofold", "eager"), ("torch", "eager"), ("jax", "jit"),
                           ("numpy", "numpy"))
    ]  # fmt: skip
    frameworks.append(
        {"framework": "mlx", "mode": "eager", "title": "MLX", "skipped": "not installed (<mlx>)"}
    )
    return {
        "format": 1,
        "when": "2026-11-26T12:00:00+00:00",
        "machine": {
            "cpu": "A CPU",
            "cpus": 2,
            "features": ["avx2", "fma"],
            "cache": "",
            "memory": 8e9,
            "system": "Linux 6",
            "python": "3.11.7",
            "numpy": "2.4.6",
            "load": 0.5,
        },
        "settings": {"threads": 2, "rounds": 3, "seconds": 0.3, "patience": 1},
        "floors": {"median": [2e11, 2e10, 1e10], "best": [2e11, 2e10, 1e10], "names": []},
        "frameworks": frameworks,
        "rows": rows,
        "startup": [startup("twofold", "eager", 0.1), startup("torch", "eager", 1.3)],
        "behaviours": [],
    }


def row(name, title, group, entries, floor):
    workload, _, case = name.partition("/")
    return {
        "name": name,
        "workload": workload,
        "case": case,
        "title": title,
        "group": group,
        "sizes": {},
        "repeats": 1,
        "work": {},
        "floor": floor,
        "entries": entries,
    }


def startup(framework, mode, took):
    step = {"framework": framework, "mode": mode, "cold": 10 * took, "warm": 2 * took}
    return {"framework": framework, "import": took, "size": 5e7, "steps": [step]}
