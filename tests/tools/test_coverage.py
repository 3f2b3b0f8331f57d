"""docs/reference/coverage.md is up to date, and lacks nothing that PyTorch has."""

import importlib

import pytest

from twofold.tools.coverage import NAMES, PAGE, main, render, rows

torch = pytest.importorskip("torch")


def test_the_page_is_what_the_tool_writes(capsys):
    assert PAGE.read_text(encoding="utf-8") == "".join(render())
    main([])
    assert capsys.readouterr().out == "".join(render())


@pytest.mark.parametrize("path", NAMES)
def test_every_form_that_pytorch_has_exists(path):
    theirs = importlib.import_module(path.replace("twofold", "torch", 1))
    missing = []
    for row in rows(path):
        in_place = row.name if row.name.endswith("_") else f"{row.name}_"
        if hasattr(theirs, row.name) and not row.function:
            missing.append(row.name)
        if path == "twofold":
            if hasattr(torch.Tensor, row.name) and not row.method:
                missing.append(f"Tensor.{row.name}")
            if hasattr(torch.Tensor, in_place) and not row.in_place:
                missing.append(f"Tensor.{in_place}")
    assert not missing
