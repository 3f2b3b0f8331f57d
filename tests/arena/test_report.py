"""What is made of a run: winners and shares, the table, the page, comparisons, advice."""

import copy
import importlib.util
import re
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from twofold.arena import charts, choose, habits, summary
from twofold.arena.compare import compare
from twofold.arena.page import page
from twofold.arena.table import table

spec = importlib.util.spec_from_file_location("sample", Path(__file__).with_name("sample.py"))
sample = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sample)


@pytest.fixture
def report():
    made = sample.report()
    seen = {name: {"good": True, "evidence": "<yes>"} for name in habits.BEHAVIOURS}
    made["behaviours"] = [
        {"framework": "twofold", "behaviours": seen},
        {"framework": "torch", "behaviours": {n: {"good": False, "evidence": "no"} for n in seen}},
    ]
    return made


@pytest.mark.parametrize(
    ("time", "text"),
    [(123.4, "123 s"), (1.5, "1.50 s"), (0.0123, "12.3 ms"), (2e-6, "2.00 us"), (3e-9, "3.00 ns"),
     (2e-10, "0.2 ns"), (None, "-")],
)  # fmt: skip
def test_times_have_three_digits_that_count(time, text):
    assert summary.seconds(time) == text


def test_numpy_is_the_floor_and_wins_nothing(report):
    assert summary.name(summary.winner(report["rows"][0])) == "twofold/compiled"


def test_shares_and_ratios(report):
    first, second = report["rows"]
    assert summary.share(first, summary.winner(first)) == pytest.approx(0.5)
    assert summary.against_best_peer(first) == pytest.approx(3.0)
    assert summary.against_best_peer(second) == pytest.approx(0.5)
    assert summary.share(second, summary.winner(second)) is None


def test_a_lost_row_is_told(report):
    said = summary.conclusion(report)
    assert "ahead of the best peer in 1 of 2 rows" in said and "1.22" in said


def test_the_table(report, golden):
    golden("arena/table", table(report))


def test_the_page_stands_alone_and_escapes(report):
    text = page(report)
    for foreign in ("<script", "http://", "https://", "<link", "@import", "src="):
        assert foreign not in text
    assert "MLP &amp; friends" in text and "differs by &lt;0.5&gt;" in text
    assert "return &#x27;&lt;eager&gt;&#x27;" in text
    assert "not installed (&lt;mlx&gt;)" in text and "&lt;yes&gt;" in text
    Balanced().check(text)


class Balanced(HTMLParser):
    """Every tag that is opened is closed, in order."""

    def check(self, text):
        self.open = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_charts_are_well_formed_and_inside_their_frame(report):
    drawings = re.findall(r"<svg.*?</svg>", page(report), re.DOTALL)
    assert len(drawings) >= 6
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        width, height = (float(x) for x in root.get("viewBox").split()[2:])
        for mark in root.iter("circle"):
            assert 0 < float(mark.get("cx")) < width and 0 < float(mark.get("cy")) < height
        for mark in root.iter("rect"):
            assert float(mark.get("x")) + float(mark.get("width")) <= width


def test_a_faster_contestant_stands_further_left():
    rows = [("row", [charts.Dot("twofold", 1.0, "a"), charts.Dot("torch", 10.0, "b")])]
    drawing = charts.dots(rows, str)
    diamond = float(re.search(r'class="dot twofold" d="M([\d.]+)', drawing).group(1)) + 8
    disc = float(re.search(r'cx="([\d.]+)"', drawing).group(1))
    assert diamond < disc


def test_a_bar_that_is_far_too_long_is_cut():
    times = (1.0, 1.1, 1000.0)
    drawing = charts.bars([charts.Bar("jax", "jax", t, t, t, str(t)) for t in times])
    assert drawing.count('class="cut"') == 1


def test_compare_tells_what_changed_by_more_than_it_spreads(report):
    new = copy.deepcopy(report)
    ours, theirs = new["rows"][0]["entries"][0], new["rows"][0]["entries"][2]
    ours |= {"times": [4e-3, 4e-3, 4e-3], "median": 4e-3}
    theirs |= {"times": [2.8e-3, 3.2e-3, 3.3e-3], "median": 3.2e-3}  # within the spread
    new["rows"][1]["entries"][2]["verdict"] = "right"
    said = compare(report, new)
    assert re.search(r"mlp/b64 +twofold/eager +2\.00x slower: 2\.00 ms -> 4\.00 ms", said)
    assert "torch" not in said and "error before, right now" in said
    assert compare(report, report) == "no time changed by more than it spreads"


def test_compare_warns_of_another_machine(report):
    new = copy.deepcopy(report)
    new["machine"]["cpu"] = "Another"
    new["floors"]["median"] = [1e11, 2e10, 1e10]
    said = compare(report, new)
    assert "other machine: cpu was A CPU" in said and "50%" in said


@pytest.mark.parametrize(
    ("found", "said", "warned"),
    [([48.0, 177.0], "48 to 177 ns", True), ([48.0, 52.0], "48 ns", False), ([], None, False)],
)
def test_how_far_the_threads_were_apart(report, found, said, warned):
    text = table({**report, "reach": found})
    assert ("reaches the other thread in" in text) == (said is not None)
    assert said is None or said in text
    assert ("two speeds" in text) == warned


def test_choose_asks_until_it_understands():
    given = iter(["cook", "1", "images", "no", "2"])
    said = []
    answers = choose.ask(lambda prompt: next(given), said.append)
    assert answers == ["train", "images", "no", "small"]
    assert any("one of train, serve, both" in line for line in said)
    made = choose.choice(answers)
    assert made.rows == ("lenet/b64", "resnet18/train") and made.small


def test_every_choice_has_rows_that_exist():
    from_registry = {row.name for row in choose_rows()}
    for rows in choose.ROWS.values():
        assert set(rows) <= from_registry


def choose_rows():
    from twofold.arena import registry

    return registry.rows(list(registry.WORKLOADS))


def test_advice_names_the_winner_and_the_reasons(report):
    report["rows"] = report["rows"][:1]
    said = choose.advise(report, choose.choice(["train", "small", "no", "small"]))
    assert said.startswith("For this work on this machine: twofold")
    assert "torch        3.00x the fastest's time" in said
    assert "first in mlp/b64; as compiled" in said and "where room is short: twofold 50 MB" in said


BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
def test_a_browser_shows_the_page(report, tmp_path):
    """The page is drawn, in one column that is no wider than the window, and has many colours."""
    path, picture = tmp_path / "page.html", tmp_path / "page.png"
    probe = "<script>document.title = document.documentElement.scrollWidth</script>"
    path.write_text(page(report).replace("</body>", probe + "</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command = [BROWSER, *options, "--window-size=1000,2000", f"--user-data-dir={tmp_path}/user"]
    shot = [*command, f"--screenshot={picture}", path.as_uri()]
    subprocess.run(shot, check=True, capture_output=True, timeout=120)
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG") and struct.unpack(">II", data[16:24]) == (1000, 2000)
    assert len(data) > 60_000, "an empty page compresses to less"
    dump = [*command, "--dump-dom", path.as_uri()]
    done = subprocess.run(dump, check=True, capture_output=True, text=True, timeout=120)
    assert "<title>1000</title>" in done.stdout
