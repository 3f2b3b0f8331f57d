"""The texts of errors, those that Python prints included: golden, the same in every tier."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import mistakes
import pytest

import twofold
from twofold.base import errors
from twofold.base.errors import MissingNameError, ShapeError, TwofoldError

SOURCE = Path(__file__).resolve().parent.parent / "src"


def run(program, *args, **variables):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), **variables}
    return subprocess.run(
        [sys.executable, *args, program], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("subject", mistakes.SUBJECTS)
def test_texts(subject, golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = []
    for name, program in mistakes.programs(subject).items():
        parts.append(f"# {name}\n{program}\n{mistakes.text_of(program)}\n")
    golden(f"errors/{subject}", "\n".join(parts))


@pytest.mark.parametrize("subject", mistakes.SUBJECTS)
def test_each_says_where_and_what_to_try(subject, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, program in mistakes.programs(subject).items():
        lines = mistakes.text_of(program).splitlines()
        assert any(line.startswith("  at  train.py:") for line in lines), name
        assert any(line.startswith("  try ") for line in lines), name


def test_there_are_many():
    assert sum(len(mistakes.programs(subject)) for subject in mistakes.SUBJECTS) > 150


@pytest.mark.parametrize("tier", ["1", "2"])
def test_the_same_without_the_tiers_in_machine_code(tier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run(str(Path(mistakes.__file__)), TWOFOLD_TIER=tier)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == mistakes.all_texts()


# ---- what Python prints

NESTED = """
import twofold
from twofold import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(x)


def train():
    Net()(twofold.zeros(2, 3))


START
"""
DIRECT = "train()"
THREAD = """
import threading
thread = threading.Thread(target=train)
thread.start()
thread.join()
"""
LATER = """
try:
    train()
except twofold.TwofoldError:
    twofold.zeros(2) @ twofold.zeros(3)
"""


def printed(tmp_path, start, **variables):
    program = tmp_path / "train.py"
    program.write_text(NESTED.replace("START", start))
    return run(str(program), **variables).stderr


@pytest.mark.parametrize("start", [DIRECT, THREAD, LATER])
def test_tracebacks_hold_the_users_frames_alone(start, tmp_path):
    text = printed(tmp_path, start)
    assert str(SOURCE) not in text
    assert "return self.fc(x)" in text and "Net()(twofold.zeros(2, 3))" in text
    assert "  in  Net.fc\n" in text and "linear: inner sizes differ" in text


@pytest.mark.parametrize("start", [DIRECT, THREAD])
def test_a_flag_shows_all_frames(start, tmp_path):
    assert str(SOURCE) in printed(tmp_path, start, TWOFOLD_DEBUG="1")


def test_other_errors_keep_their_frames(tmp_path):
    assert str(SOURCE) in printed(tmp_path, "Net().apply(lambda module: 1 / 0)")


def test_python_offers_the_methods_of_tensors(tmp_path):
    assert "Did you mean: 'softmax'?" in printed(tmp_path, "twofold.zeros(2).sofmax(0)")
    assert "Did you mean: 'Linear'?" in printed(tmp_path, "nn.Liner(2, 3)")


# ---- the classes


def test_frames_of_pythons_library_are_not_the_users():
    import copy

    w = twofold.ones(3, requires_grad=True) * 2
    with pytest.raises(TwofoldError, match=r"test_errors.py:\d+ +copy.deepcopy") as caught:
        copy.deepcopy({"w": w})
    assert "copy.py" not in caught.value.where


def test_errors_can_be_pickled():
    error = ShapeError("matmul", "inner sizes differ", hint="x @ w.T", x="f32[2, 3]")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ShapeError and str(again) == str(error)
    error = MissingNameError("Net", "fc3", lambda: ["fc1"])
    assert "try fc1" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_names_that_are_not_there():
    assert not hasattr(twofold, "nothing_like_this")
    assert not hasattr(twofold.nn.Linear(2, 2), "nothing_like_this")
    with pytest.raises(MissingNameError, match="try cross, if that was meant"):
        twofold.cros  # noqa: B018
    with pytest.raises(AttributeError, match="try weight, if that was meant"):
        twofold.nn.Linear(2, 2).wieght  # noqa: B018


def test_a_traceback_without_other_frames_stays():
    try:
        raise ShapeError("x", "y")
    except ShapeError as error:
        trace = error.__traceback__
    assert errors.without_ours(trace) is trace
    assert errors.without_ours(None) is None


def test_keywords_that_were_probably_meant(tmp_path):
    # Python says it itself from 3.13 on, of functions that are not behind machine code
    calls = {"bias": "Linear(4, 2, biass=False)", "inplace": "ReLU(in_place=True)"}
    for name, call in calls.items():
        text = printed(tmp_path, f"nn.{call}")
        assert f"try {name}=, if that was meant" in text or f"Did you mean '{name}'?" in text
    text = printed(tmp_path, "twofold.zeros(2).sum(dims=0)")
    assert "try dim=, if that was meant" in text or "Did you mean 'dim'?" in text
    assert "it takes p, inplace" in printed(tmp_path, "nn.Dropout(rate=0.1)")


def test_keywords_of_the_users_functions_are_left_to_python(tmp_path):
    text = printed(tmp_path, "def mine(x): ...\nmine(y=1)")
    assert "got an unexpected keyword argument 'y'" in text and "  try" not in text


def test_what_is_no_tensor_is_named(tmp_path):
    text = printed(tmp_path, "twofold.zeros(2, 3).gather(1, None)")
    assert "gather: index is None, not a tensor" in text
    text = printed(tmp_path, "nn.Dropout()([1.0])")
    assert "dropout: input is a list, not a tensor" in text


def test_what_users_ask_of_none_is_left_to_python(tmp_path):
    assert "not a tensor" not in printed(tmp_path, "None.shape")
    assert "not a tensor" not in printed(tmp_path, "nn.Linear(2, 2).apply(lambda m: None.shape)")
