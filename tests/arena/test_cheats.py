"""The harness: planted cheats are caught, honest contestants are not."""

import functools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twofold.arena import agreed, peer, registry, run

FILE = Path(__file__).parent / "cheats.py"
# A framework for each contestant that needs nothing but NumPy: the tests are about the harness.
FRAMEWORK = """
import numpy as np

TITLE = {name!r}
DISTRIBUTION = "numpy"
MODES = ("eager",)


def start(mode, threads):
    return None


def tensor(array):
    return array


def array(value):
    return np.asarray(value)


def wait(result):
    return None


def compiled(mode, function, **options):
    return function
"""


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frameworks")
    for name in ("torch", "jax", "numpy"):
        (folder / f"{name}.py").write_text(FRAMEWORK.format(name=name))
    patch = pytest.MonkeyPatch()
    patch.setattr(registry, "FRAMEWORKS", ("torch", "jax", "numpy"))
    patch.setattr(registry, "framework_path", lambda name: folder / f"{name}.py")
    settings = run.Settings(
        frameworks=("torch", "jax", "numpy"), rounds=2, seconds=0.0005, patience=0, threads=1
    )
    made = run.Arena(settings, lambda line: None)
    made.start_all()
    yield made
    made.close()
    patch.undo()


def verdicts(arena, case):
    (row,) = [row for row in registry.rows([str(FILE)]) if row.case == case]
    return {entry["framework"]: entry for entry in arena.run(row)["entries"]}


@pytest.mark.parametrize("case", ["honest", "reuses_its_output"])
def test_honest_contestants_have_times(arena, case):
    for entry in verdicts(arena, case).values():
        assert entry["verdict"] == "right", entry["reason"]
        assert len(entry["times"]) == 2 and entry["median"] > 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("wrong_numbers", "result of step 1 differs"),
        ("returns_early", "result of step 1 differs"),
        ("caches_its_answer", "result of step 2 differs"),
        ("caches_after_the_check", "the same answer to different inputs"),
        ("wrong_after_the_check", "differs from the others'"),
        ("skips_the_update", "result of step 2 differs"),
        ("stops_updating_after_the_check", "did not move while it was timed"),
    ],
)
def test_a_cheat_is_caught_and_has_no_time(arena, fault, reason):
    found = verdicts(arena, fault)
    assert found["torch"]["verdict"] == "wrong" and reason in found["torch"]["reason"]
    assert "median" not in found["torch"]
    for honest in ("jax", "numpy"):
        assert found[honest]["verdict"] == "right", found[honest]["reason"]


def test_nobody_is_faster_than_the_machine(arena):
    for entry in verdicts(arena, "faster_than_possible").values():
        assert entry["verdict"] == "wrong" and "the work was not done" in entry["reason"]


def test_without_a_second_framework_nobody_has_a_time(arena):
    """Two modes of one framework are no witnesses for each other."""
    kept = arena.frameworks
    arena.frameworks = [entry for entry in kept if entry["framework"] == "numpy"]
    try:
        (entry,) = verdicts(arena, "honest").values()
    finally:
        arena.frameworks = kept
    assert entry["verdict"] == "unconfirmed" and "median" not in entry


def test_what_peers_agreed_on_is_a_witness_where_nobody_else_is(arena, tmp_path, monkeypatch):
    file = tmp_path / "agreed.json"
    monkeypatch.setattr(agreed, "witness", functools.partial(agreed.witness, file=file))
    monkeypatch.setattr(agreed, "record", functools.partial(agreed.record, file=file))
    kept = arena.frameworks, arena.settings
    arena.settings = arena.settings._replace(record=True)
    verdicts(arena, "honest")
    verdicts(arena, "wrong_numbers")
    arena.settings = kept[1]
    arena.frameworks = [entry for entry in kept[0] if entry["framework"] == "torch"]
    try:
        assert verdicts(arena, "honest")["torch"]["verdict"] == "right"
        assert verdicts(arena, "wrong_numbers")["torch"]["verdict"] == "unconfirmed"
    finally:
        arena.frameworks = kept[0]


def test_twofold_is_no_witness_for_what_is_recorded(tmp_path):
    (row,) = registry.rows(["mlp/b64"])
    check = {"results": [], "moves": [1.0]}
    checks = {"twofold/eager": check, "torch/eager": check, "torch/compile": check}
    file = tmp_path / "agreed.json"
    assert agreed.record(row, checks, file) == "" and not file.exists()
    assert agreed.record(row, checks | {"jax/jit": check}, file) == "torch/eager"
    assert agreed.witness(row, file)[agreed.WITNESS]["moves"] == [1.0]


def test_a_process_that_dies_is_told_and_another_takes_its_place(arena):
    arena.peers["torch/eager"].close()
    found = verdicts(arena, "honest")
    assert found["torch"]["verdict"] == "right"


def test_a_contestant_that_hangs_is_stopped(tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(FRAMEWORK.format(name="slow") + "\nimport time\ntime.sleep(60)\n")
    slow = peer.Peer(path, "eager", peer.interpreter("slow", ""), threads=1)
    try:
        with pytest.raises(peer.PeerError, match="stopped after 1 s"):
            slow.ask(1.0, "start", framework=str(path), mode="eager", threads=1)
        assert not slow.alive
    finally:
        slow.close()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system of Linux")
def test_nobody_outlives_the_arena(tmp_path):
    """Also when it is killed while a contestant is stopped."""
    program = (
        "import sys, time; from twofold.arena import peer, registry\n"
        "path = registry.framework_path('numpy')\n"
        "made = peer.Peer(path, 'numpy', sys.executable, 1)\n"
        "made.ask(60, 'start', framework=str(path), mode='numpy', threads=1)\n"
        "made.pause(); print(made.process.pid, flush=True); time.sleep(60)\n"
    )
    arena = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(arena.stdout.readline())
    arena.kill()
    arena.communicate()
    end = time.monotonic() + 10
    while time.monotonic() < end and alive(child):
        time.sleep(0.05)
    assert not alive(child)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
