"""The tables of README.md and docs/performance.md are those of the arena's last run."""

import json

import pytest
from write_arena import COLUMNS, PAGES, REPORT, parts, result, standing, table, written


def row(title, **times):
    entries = [
        {"framework": f, "mode": mode, "verdict": "right", "median": time}
        for f, modes in times.items()
        for mode, time in modes.items()
    ]
    return {"title": title, "workload": "mlp", "entries": entries, "repeats": 1}


@pytest.fixture
def report():
    return {
        "rows": [
            row("fast", twofold={"eager": 2.0, "fast_math": 1.0}, torch={"eager": 1.5}),
            row("slow", twofold={"compiled": 3.0}, jax={"jit": 1.5}, numpy={"floor": 0.1}),
        ]
    }


def test_the_best_is_bold_and_the_exact_time_stands_behind_a_stroke(report):
    lines = list(table(report["rows"]))
    assert lines[2] == "| fast | **1.00 s** / 2.00 s | 1.50 s | - | - | - |  |"
    assert lines[3] == "| slow | 3.00 s | - | **1.50 s** | - | - |  |"
    assert lines[0].count("|") == len(COLUMNS) + 3


def test_the_text_says_who_is_first_and_where_twofold_is_not(report):
    assert standing(report, exact=False) == (1, pytest.approx(0.75**0.5))
    assert standing(report, exact=True) == (0, pytest.approx(0.375**0.5))
    text = "\n".join(result(report))
    assert text.startswith("Twofold is first in 1 of 2 rows")
    assert text.endswith("- slow: 3.00 s, JAX 1.50 s (2.00 times)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_the_last_run(page):
    text = page.read_text(encoding="utf-8")
    assert "<!-- arena " in text
    made = parts(json.loads(REPORT.read_text(encoding="utf-8")))
    assert text == written(text, made), "run `make tables`"
