"""What is shown of compiling: pages, printed graphs, kernels and rewrites."""

import html.parser
import itertools
import json

import twofold
from twofold.base.flags import flags


def curve(x):
    y = x.exp()
    z = x.exp() + 1
    unused = x.sin()  # noqa: F841
    return (y * z).sum()


class Balanced(html.parser.HTMLParser):
    """Reads a page, and knows which elements are open."""

    VOID = ("meta",)

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        assert tag not in ("script", "link", "img"), "the page holds all that it needs"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_page_shows_every_pass(tmp_path):
    with flags.override(view=str(tmp_path)):
        twofold.compile(curve)(twofold.randn(3))
    pages = sorted(tmp_path.glob("*-curve.html"))
    assert len(pages) == 1
    reader = Balanced()
    text = pages[0].read_text()
    reader.feed(text)
    assert reader.open == []
    shown = "".join(reader.text)
    assert "prune: 1 rows went, 0 came" in shown and "common: " in shown and "fuse: " in shown
    assert "y = x.exp()" in shown and "unused = x.sin()" in shown and "fused(" in shown
    assert 'class="went"' in text and 'class="came"' in text
    assert pages[0].name in (tmp_path / "index.html").read_text()


def test_debug_prints_more_by_level(capsys):
    x = twofold.randn(3)
    shown = {}
    for level in (0, 1, 2, 3, 7):
        with flags.override(debug=level):
            f = twofold.compile(curve)
            f(x)
            f(x)
        shown[level] = capsys.readouterr().err
    assert shown[0] == shown[1] == ""
    assert shown[2].count("curve: ") == 2 and " us " in shown[2] and "bytes  fused" in shown[2]
    assert "y * z" in shown[2] and "captured:" not in shown[2]
    assert "captured:\ngraph curve(" in shown[3] and "after the passes:" in shown[3]
    assert "prune: - " in shown[7] and "sin(x)" in shown[7] and "fuse: + " in shown[7]


def test_debug_tells_of_code(capsys, tmp_path):
    x = twofold.randn(3, 7)
    with flags.override(debug=6, cache=str(tmp_path)):
        twofold.compile(lambda x: (x * 3.0).exp() - 0.123456)(x)
    shown = capsys.readouterr().err
    assert "compiled in" in shown or "from the cache in" in shown
    assert "define " in shown and "ret" in shown and ".text" in shown


def test_the_results_are_the_same():
    x = twofold.randn(30)
    with flags.override(debug=2):
        told = twofold.compile(curve)(x)
    assert told.item() == twofold.compile(curve)(x).item() == curve(x).item()


def test_a_trace_has_rows_for_kernels_lines_and_modules(tmp_path):
    model = twofold.nn.Sequential(twofold.nn.Linear(4, 4), twofold.nn.Tanh())

    @twofold.compile
    def f(x):
        return model(x).sum(1)

    path = tmp_path / "trace.json"
    table = twofold.profile(f, twofold.randn(6, 4), trace=path)
    events = json.loads(path.read_text())["traceEvents"]
    names = {e["args"]["name"]: e["tid"] for e in events if e["ph"] == "M"}
    assert set(names) == {"kernels", "lines", "modules"}
    kernels = [e for e in events if e["ph"] == "X" and e["tid"] == names["kernels"]]
    assert len(kernels) == int(table.split(" us in ")[1].split()[0])
    first = kernels[0]
    assert first["name"] == "linear_then" and "return model(x).sum(1)" in first["args"]["line"]
    assert first["args"]["module"].endswith("0") and first["args"]["bytes"] == 4 * (
        24 + 16 + 4 + 24
    )
    assert all(a["ts"] + a["dur"] <= b["ts"] + 1e-6 for a, b in itertools.pairwise(kernels))
    assert [e for e in events if e["ph"] == "X" and e["tid"] == names["modules"]]
