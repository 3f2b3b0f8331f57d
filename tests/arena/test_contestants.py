"""Every contestant file runs where its framework is installed, at small sizes, and agrees."""

import functools

import pytest

from twofold.arena import habits, judge, peer, registry

LIMIT = 120.0


def small_rows():
    for name in registry.WORKLOADS:
        _, path, module = registry.load_workload(name)
        tiny = module.TINY
        sizes = tiny if set(tiny) == set(module.CASES) else {next(iter(module.CASES)): tiny}
        for case, values in sizes.items():
            yield pytest.param(name, path, case, values, id=f"{name}-{case}")


ROWS = list(small_rows())
# Those that compile for seconds at every row.
SLOW = {"torch/compile", "tensorflow/xla"} | {
    f"{name}/{mode}" for name in ("tinygrad", "keras") for mode in registry.modes(name)
}
CONTESTANTS = [
    pytest.param(
        name,
        mode,
        id=f"{name}-{mode}",
        marks=[pytest.mark.slow] if f"{name}/{mode}" in SLOW else [],
    )
    for name in registry.FRAMEWORKS
    for mode in registry.modes(name)
]


@functools.cache
def start(framework, mode):
    """(process, reason): the process of this contestant, or why there is none."""
    path = registry.framework_path(framework)
    process = peer.Peer(path, mode, peer.interpreter(framework, ""), threads=2)
    answer = process.ask(LIMIT, "start", framework=str(path), mode=mode, threads=2)
    reason = answer.get("refused")
    if reason:
        process.close()
        return None, reason
    assert "version" in answer, answer
    return process, ""


@pytest.fixture(scope="module", autouse=True)
def stop_all():
    yield
    for name in registry.FRAMEWORKS:
        for mode in registry.modes(name):
            process, _ = start(name, mode)
            if process is not None:
                process.close()
    start.cache_clear()


@functools.cache
def check(framework, mode, name, case):
    """The answer of one contestant to one small row: results, or why it takes no part."""
    process, reason = start(framework, mode)
    if process is None:
        return {"refused": reason}
    (path, sizes) = next(p.values[1:4:2] for p in ROWS if p.values[0::2][:2] == (name, case))
    request = {"workload": str(path), "contestant": framework, "sizes": sizes}
    answer = process.ask(LIMIT, "build", **request)
    return process.ask(LIMIT, "check") if "build" in answer else answer


@pytest.mark.parametrize(("name", "path", "case", "sizes"), ROWS)
@pytest.mark.parametrize(("framework", "mode"), CONTESTANTS)
def test_it_runs_and_agrees(framework, mode, name, path, case, sizes):
    answer = check(framework, mode, name, case)
    if "refused" in answer:
        pytest.skip(answer["refused"])
    assert "error" not in answer, answer["error"]
    _, _, module = registry.load_workload(name)
    allowed = registry.allowed_of(module)
    witnesses = [(other, m) for other, m in WITNESSES if other != framework]
    for other, other_mode in witnesses:
        theirs = check(other, other_mode, name, case)
        if "results" in theirs:
            assert not judge.disagreement(answer, theirs, allowed)
            return
    pytest.skip("no second framework is installed that has this row")


WITNESSES = [("torch", "eager"), ("twofold", "eager"), ("jax", "jit"), ("numpy", "numpy"),
             ("tensorflow", "function")]  # fmt: skip


def test_files_and_lists_are_the_same():
    folder = registry.HERE / "frameworks"
    assert {path.stem for path in folder.glob("*.py")} == set(registry.FRAMEWORKS)
    folder = registry.HERE / "workloads"
    assert {path.stem for path in folder.glob("*.py")} == set(registry.WORKLOADS)


@pytest.mark.parametrize("name", registry.WORKLOADS)
def test_twofold_and_pytorch_take_part_in_every_workload(name):
    row = registry.rows([name])[0]
    assert {"twofold", "torch", "jax", "tensorflow"} <= set(row.frameworks())
    assert "import twofold" in row.code("twofold")


@pytest.mark.parametrize("name", habits.BEHAVIOURS)
@pytest.mark.parametrize(
    "framework",
    ["twofold", *(pytest.param(n, marks=pytest.mark.slow) for n in ("torch", "jax", "tensorflow"))],
)
def test_behaviours_have_a_verdict_and_evidence(framework, name):
    process, reason = start(framework, registry.modes(framework)[0])
    if process is None:
        pytest.skip(reason)
    path = registry.HERE / "behaviours" / f"{habits.FILES[framework]}.py"
    seen = habits.told(process.ask(LIMIT, "behave", path=str(path), name=name))
    assert seen["good"] in (True, False, None) and seen["evidence"]
    if framework == "twofold":
        assert seen["good"] is True, seen["evidence"]
