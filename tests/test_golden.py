"""The golden fixture compares, rewrites only when asked, and says how to."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("fixtures", Path(__file__).parent / "conftest.py")
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)


def test_rewrites_then_compares(tmp_path):
    fixtures.compare("a/b", "one\ntwo", rewrite=True, folder=tmp_path)
    assert (tmp_path / "a" / "b.txt").read_text() == "one\ntwo\n"
    fixtures.compare("a/b", "one\ntwo\n", rewrite=False, folder=tmp_path)


def test_a_difference_fails_and_shows_the_lines(tmp_path):
    fixtures.compare("a", "one\ntwo", rewrite=True, folder=tmp_path)
    with pytest.raises(pytest.fail.Exception, match=r"-two\n\+three"):
        fixtures.compare("a", "one\nthree", rewrite=False, folder=tmp_path)
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"


def test_a_missing_text_fails(tmp_path):
    with pytest.raises(pytest.fail.Exception, match="make golden"):
        fixtures.compare("none", "one", rewrite=False, folder=tmp_path)
