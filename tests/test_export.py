"""torch.export's names: programs of modules, their sizes, files, graphs."""

import io

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, DTypeError, ShapeError, StateError
from twofold.export import Dim, dims, export


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("shift", twofold.ones(4))

    def forward(self, x, y=None, *, scale=1.0):
        h = self.norm(self.linear(x)) + self.shift
        if y is not None:
            h = h * y
        return {"h": h.relu(), "sum": h.sum(-1)}


def given(n):
    return twofold.randn(n, 3), twofold.randn(n, 4)


@pytest.fixture
def net():
    return Net().eval()


def exported(net, **options):
    batch = Dim("batch", min=2, max=10)
    return export(net, given(5), dynamic_shapes={"x": {0: batch}, "y": {0: batch}}, **options)


def same(found, wanted):
    assert list(found) == list(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name].detach().numpy(), wanted[name].detach().numpy())


@pytest.mark.parametrize("n", [2, 5, 10])
def test_a_program_has_the_bits_of_its_module(net, n):
    program, args = exported(net), given(n)
    same(program.module()(*args), net(*args))
    with twofold.no_grad():
        same(program.module()(*args), net(*args))


def test_a_size_is_within_its_range_and_of_one_dim_the_same(net):
    run = exported(net).module()
    with pytest.raises(ShapeError, match="batch = 11"):
        run(*given(11))
    with pytest.raises(ShapeError, match="'batch'"):
        run(given(3)[0], given(4)[1])
    with pytest.raises(ArgumentError, match="it takes"):
        run(given(3)[0])
    assert exported(net).range_constraints == {"batch": (2, 10)}


def test_dims_that_follow_from_others():
    class Halves(nn.Module):
        def forward(self, x, y):
            return x[: y.shape[0]] + y

    half = Dim("half", max=8)
    program = export(
        Halves(), (twofold.ones(6), twofold.ones(3)), dynamic_shapes=({0: 2 * half}, {0: half})
    )
    assert program.module()(twofold.ones(4), twofold.ones(2)).shape == (2,)
    with pytest.raises(ShapeError, match="half"):
        program.module()(twofold.ones(5), twofold.ones(2))
    assert [d.__name__ for d in dims("a", "b", max=3)] == ["a", "b"] and (half + 1).max == 9


def test_a_size_that_may_not_change(net):
    program = export(net, (given(5)[0],), dynamic_shapes={"x": {0: Dim.STATIC, 1: Dim.AUTO}})
    with pytest.raises(ShapeError, match="takes 5"):
        program.module()(given(4)[0])


@pytest.mark.parametrize(
    ("shapes", "error", "text"),
    [
        ({"z": {0: Dim.AUTO}}, ArgumentError, "'z'"),
        (({0: Dim.AUTO},), ArgumentError, "for 1 arguments"),
        ({"x": {2: Dim.AUTO}}, ShapeError, "axis 2"),
        ({"x": {0: "batch"}}, DTypeError, "no Dim"),
        ({"x": {0: Dim("n", min=6)}}, ShapeError, "n = 5"),
    ],
)
def test_wrong_dynamic_shapes(net, shapes, error, text):
    with pytest.raises(error, match=text):
        export(net, given(5), dynamic_shapes=shapes)


def test_what_is_no_module_or_no_tuple(net):
    with pytest.raises(DTypeError, match="no Module"):
        export(lambda x: x, given(5))
    with pytest.raises(DTypeError, match="a tuple"):
        export(net, list(given(5)))
    with pytest.raises(ArgumentError, match="not a name"):
        Dim("2 words")
    with pytest.raises(StateError, match="eval mode"):
        exported(net).module().train()


def test_gradients_reach_the_parameters(net):
    args = given(5)
    net(*args)["h"].sum().backward()
    wanted = [p.grad for p in net.parameters()]
    net.zero_grad()
    exported(net).module()(*args)["h"].sum().backward()
    for p, grad in zip(net.parameters(), wanted, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), grad.numpy())


def test_a_file_gives_the_program_back(net, tmp_path):
    program, args = exported(net), given(7)
    twofold.export.save(program, tmp_path / "net.pt2", extra_files={"note": "of today"})
    files = {"note": ""}
    found = twofold.export.load(tmp_path / "net.pt2", extra_files=files)
    same(found.module()(*args), net(*args))
    assert files == {"note": "of today"}
    assert list(found.state_dict) == list(program.state_dict) == list(net.state_dict())
    assert [n for n, _ in found.named_parameters()] == [n for n, _ in net.named_parameters()]
    assert [n for n, _ in found.named_buffers()] == [n for n, _ in net.named_buffers()]
    with pytest.raises(ShapeError, match="batch"):
        found.module()(*given(1))
    run = found.module()
    run(*args)["h"].sum().backward()
    assert all(p.grad is not None for p in run.parameters())
    other = io.BytesIO()
    twofold.save({"a": 1}, other)
    other.seek(0)
    with pytest.raises(StateError, match="no exported program"):
        twofold.export.load(other)
    with pytest.raises(DTypeError, match="no ExportedProgram"):
        twofold.export.save(net, tmp_path / "no.pt2")


def test_the_graph_can_be_read(net):
    program = exported(net)
    nodes = list(program.graph.nodes)
    assert {n.op for n in nodes} == {"placeholder", "get_attr", "call_function", "output"}
    assert [n.name for n in nodes if n.op == "placeholder"] == ["x", "y"]
    assert "linear" in [n.target.__name__ for n in nodes if n.op == "call_function"]
    assert "self.linear.weight" in program.graph_module.code
    assert program.graph_signature.user_inputs == ["x", "y"]
    same(
        dict(zip(("h", "sum"), program.graph_module(*(args := given(5))), strict=True)), net(*args)
    )
    assert "linear(args" in str(program)


def test_the_module_is_still_the_function(tmp_path):
    twofold.export(lambda x: x * 2, twofold.ones(3), path=tmp_path / "f")
    assert twofold.load(tmp_path / "f")(twofold.ones(3)).tolist() == [2.0] * 3
