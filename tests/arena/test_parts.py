"""The parts: floors, noise, registry, the command line."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from twofold import cli
from twofold.arena import agreed, command, machine, peer, registry, worker
from twofold.arena.floors import Meter
from twofold.arena.reach import reach
from twofold.base.errors import ArgumentError
from twofold.codegen.native import core

DOCS = Path(__file__).resolve().parents[2] / "docs" / "guide" / "arena.md"


def test_the_machines_limits_are_rates_that_a_machine_can_have():
    meter = Meter(threads=1)
    try:
        found = meter.measure()
    finally:
        meter.close()
    assert 1e8 < found.flops < 1e13
    assert 1e8 < found.read < 1e12 and 1e8 < found.copy < 1e12
    assert found.bytes == max(found.read, found.copy)


def test_a_line_reaches_another_thread_in_a_time_that_caches_have():
    with ThreadPoolExecutor(2) as pool:
        assert 1 < reach(pool) < 1e5


@pytest.mark.skipif(machine.ticks() is None, reason="no /proc/stat here")
def test_a_watch_sees_others_at_work():
    others = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        watch = machine.Watch()
        end = watch.start + 1.0
        while machine.time.perf_counter() < end:
            machine.time.sleep(0.05)
        noise = watch.noise(own=0.0)
    finally:
        others.kill()
        others.wait()
    assert noise.others > 0.1 and noise.share == noise.others + noise.stolen


def test_a_checkout_is_measured_as_it_would_be_installed(tmp_path, monkeypatch):
    (tmp_path / "twofold").mkdir()
    (tmp_path / "twofold" / "part.py").write_text("x = 1\n")
    monkeypatch.setattr(peer, "SOURCE", tmp_path)
    peer.as_installed()
    assert list(tmp_path.glob("twofold/__pycache__/part.*.pyc"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in peer.environment("twofold", 1, "")


def test_facts_name_the_machine():
    facts = machine.facts()
    assert facts["cpu"] and facts["cpus"] >= 1 and facts["python"] and facts["memory"] > 1e8


def test_the_source_of_a_contestant_has_what_it_uses_and_no_more():
    (row,) = registry.rows(["mlp/b64"])
    code = row.code("twofold")
    assert "def program(" in code and "RATE = 1e-3" in code and "def twofold(" in code
    assert "def jax(" not in code and "def inputs(" not in code
    compile(code, "code", "exec")


@pytest.mark.parametrize(
    ("word", "problem"),
    [("nobody", "no workload 'nobody'"), ("mlp/b1", "mlp has no case 'b1'")],
)
def test_unknown_work_is_refused_with_what_is_known(word, problem):
    with pytest.raises(ArgumentError, match=problem):
        registry.rows([word])


def test_the_quick_set_is_small_and_has_one_of_each_kind():
    rows = registry.quick_rows()
    assert len(rows) <= 14
    assert {"training", "inference", "overhead", "kernels", "seed"} <= {row.group for row in rows}


def test_a_file_without_inputs_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def twofold(weights, mode): return None\n")
    with pytest.raises(ArgumentError, match="no function `inputs"):
        registry.rows([str(path)])


def test_the_guides_own_workload_runs(tmp_path, capsys):
    """The file that docs/guide/arena.md shows, as a user would run it."""
    text = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL).group(1)
    path, html, data = (tmp_path / name for name in ("mine.py", "page.html", "out.json"))
    path.write_text(text.replace('"points": 1000', '"points": 20'))
    words = [str(path), "--rounds", "2", "--seconds", "0.001", "--patience", "0"]
    words += ["--with", "numpy", "--html", str(html), "--json", str(data), "--threads", "1"]
    assert cli.main(["arena", *words]) == 0
    shown = capsys.readouterr().out
    assert "Distances of all pairs" in shown and "twofold/" in shown
    assert "Distances of all pairs" in html.read_text()
    report = command.read(data)
    verdicts = {e["framework"]: e["verdict"] for e in report["rows"][0]["entries"]}
    assert verdicts["twofold"] == verdicts["numpy"] == "right"
    assert cli.main(["arena", *words, "--compare", str(data)]) == 0
    assert f"since {data}" in capsys.readouterr().out


def test_the_quick_set_leaves_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "quick_rows", lambda: registry.rows(["seed/define_by_run"]))
    words = ["--with", "numpy", "--rounds", "1", "--seconds", "0.001", "--patience", "0"]
    assert cli.main(["arena", *words, "--threads", "1"]) == 0
    assert "arena.html: open it in a browser" in capsys.readouterr().out
    assert "y.backward(), define-by-run" in (tmp_path / "arena.html").read_text()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["arena", "nobody"], "no workload 'nobody'"),
        (["arena", "--with", "theano"], "no framework 'theano'"),
        (["arena", "--with", "jax/fast"], "no mode 'jax/fast'"),
        (["arena", "choose", "--answers", "cook,small,no,here"], "--answers"),
        (["arena", "--compare", "/nonexistent.json"], "cannot read /nonexistent.json"),
    ],
)
def test_a_word_that_it_does_not_know_is_an_error_without_a_traceback(words, problem, capsys):
    assert cli.main(words) == 2
    assert problem in capsys.readouterr().err


def test_help_and_flags(golden, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    texts = []
    for words in (["--help"], ["arena", "--help"]):
        with pytest.raises(SystemExit):
            cli.main(words)
        texts.append(capsys.readouterr().out)
    golden("arena/help", "\n".join(texts))
    assert cli.main(["flags"]) == 0
    assert "TWOFOLD_THREADS" in capsys.readouterr().out


def test_the_list_names_every_workload(capsys):
    assert cli.main(["arena", "--list"]) == 0
    shown = capsys.readouterr().out
    for name in registry.WORKLOADS + registry.FRAMEWORKS:
        assert name in shown


def test_what_peers_agreed_on_is_there_for_every_row_of_these_sizes():
    for row in registry.rows(list(registry.WORKLOADS)):
        witness = agreed.witness(row)
        assert witness, f"{row.name}: run `twofold arena {row.name} --record` beside the peers"


def test_fast_math_takes_part_where_it_changes_something():
    framework = worker.load(str(registry.framework_path("twofold")))
    assert "changes nothing" in framework.refuses("fast_math", "mlp")
    assert framework.refuses("fast_math", "resnet18") is None
    assert framework.refuses("fast_math", "a_work_of_the_users") is None
    assert framework.refuses("compiled", "mlp") is None


@pytest.mark.parametrize("fresh", [False, True])
def test_a_long_turn_has_several_calls_but_of_what_begins_with_nothing(fresh, tmp_path):
    path = tmp_path / "row.py"
    path.write_text(
        f"FRESH = {fresh}\n"
        "def inputs(rng): return (rng.standard_normal(4),)\n"
        "def numpy(w, mode): return lambda x: x + x\n"
    )
    work = worker.Worker()
    work.start(str(registry.framework_path("numpy")), "numpy", 1)
    work.build(str(path), "numpy", {})
    work.check()
    work.once = 100.0
    assert len(work.turn(0, 0.2)["times"]) == (1 if fresh else worker.LEAST)


@pytest.mark.parametrize("fresh", [False, True])
def test_what_is_compiled_beside_a_program_is_there_before_its_turn(fresh, tmp_path):
    """But for rows that begin with nothing, where that is what is measured."""
    program = f"""
import sys
from twofold.arena.worker import Worker
from twofold.exec import tensors
work = Worker()
work.start({str(registry.framework_path("twofold"))!r}, "eager", 1)
work.build({str(tmp_path / "row.py")!r}, "twofold", {{}})
work.check()
print(tensors.installed())
work.turn(0, 0.0)
print(tensors.installed())
"""
    (tmp_path / "row.py").write_text(
        f"FRESH = {fresh}\n"
        "def inputs(rng): return (rng.standard_normal(4),)\n"
        "def twofold(w, mode): return lambda x: x + x\n"
    )
    here = {k: v for k, v in os.environ.items() if k != "TWOFOLD_TIER"}
    here |= {"PYTHONPATH": os.pathsep.join(sys.path), "TWOFOLD_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=here)
    native = core.start().tier == 3
    assert ran.stdout.split() == ["False", str(native and not fresh)], ran.stderr
