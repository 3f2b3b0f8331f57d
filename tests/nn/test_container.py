"""Containers, as PyTorch's: order, names, slices, texts."""

from collections import OrderedDict

import pytest

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, DTypeError


def linears(count):
    return [nn.Linear(i + 1, i + 2) for i in range(count)]


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_order(kind):
    a, b, c, d = linears(4)
    box = kind(a, b) if kind is nn.Sequential else kind([a, b])
    assert box.append(c) is box and box.insert(1, d) is box
    assert list(box) == [a, d, b, c] and len(box) == 4
    assert [n for n, _ in box.named_children()] == ["0", "1", "2", "3"]
    assert box[-1] is c and list(box[1:3]) == [d, b] and type(box[1:]) is kind
    box[0] = d
    del box[1]
    assert box.pop() is c and list(box) == [d, b]
    box += [a]
    assert list(box.extend([c])) == [d, b, a, c]
    assert list(box + kind(*[b] if kind is nn.Sequential else [[b]])) == [d, b, a, c, b]
    del box[:2]
    assert list(box) == [a, c] and [n for n, _ in box.named_children()] == ["0", "1"]
    with pytest.raises(IndexError, match="index 7 is out of range"):
        box[7]
    with pytest.raises(TypeError, match="not a Module"):
        box.append(3)
    with pytest.raises(TypeError, match="not a Module"):
        box[0] = 3


def test_sequential_with_names():
    m = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.ReLU(), last=nn.Linear(3, 1)))
    assert m.first is m[0]
    assert list(m.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert [n for n, _ in m[1:].named_children()] == ["act", "last"]
    assert m(twofold.ones(4, 2)).shape == (4, 1)
    assert nn.Sequential()(5) == 5


def test_texts_as_in_pytorch():
    torch = pytest.importorskip("torch")

    def texts(nn):
        same = [nn.Linear(2, 3), nn.Linear(2, 3), nn.ReLU(), nn.Linear(2, 3)]
        yield nn.ModuleList(same)
        yield nn.ModuleList([nn.Sequential(nn.Linear(1, 1)), nn.Sequential(nn.Linear(1, 1))])
        yield nn.ModuleList()
        yield nn.Sequential(*same)
        yield nn.Sequential()
        yield nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.ModuleDict()})
        yield nn.ModuleDict()

    for ours, theirs in zip(texts(nn), texts(torch.nn), strict=True):
        assert repr(ours) == repr(theirs)
    for count in range(3):
        box = repr(nn.ParameterList([twofold.ones(2, 3)] * count))
        wanted = repr(torch.nn.ParameterList([torch.ones(2, 3)] * count))
        assert box == wanted.replace("torch", "twofold")


def test_module_dict():
    a, b = linears(2)
    box = nn.ModuleDict({"a": a})
    box["b"] = b
    box.update([("c", a)])
    assert list(box) == list(box.keys()) == ["a", "b", "c"] and "b" in box and len(box) == 3
    assert box.pop("c") is a and dict(box.items()) == {"a": a, "b": b}
    del box["a"]
    assert list(box.values()) == [b] and list(box.state_dict()) == ["b.weight", "b.bias"]
    box.clear()
    assert not len(box)


def test_parameter_list_and_dict_keep_what_is_no_tensor():
    box = nn.ParameterList([nn.ParameterList([twofold.ones(1)]), 3, nn.Linear(2, 1, bias=False)])
    assert list(box.state_dict()) == ["0.0", "2.weight"] and len(box) == 3
    assert box[1] == 3 and [type(x) for x in box[:2]] == [nn.ParameterList, int]
    box[1] = 4
    table = nn.ParameterDict({"a": twofold.ones(1), "b": box})
    table["c"] = "text"
    assert [type(x) for x in table.values()] == [nn.Parameter, nn.ParameterList, str]
    assert table["b"][1] == 4 and table.pop("c") == "text" and list(table) == ["a", "b"]
    assert [name for name, _ in table.named_parameters()] == ["a", "b.0.0", "b.2.weight"]


def test_parameter_list_and_dict():
    box = nn.ParameterList([twofold.ones(1), nn.Parameter(twofold.ones(2))])
    box.append(twofold.ones(3)).extend([twofold.ones(4)])
    box[0] = twofold.zeros(5)
    box += [twofold.ones(6)]
    assert [p.numel() for p in box] == [5, 2, 3, 4, 6] and all(p.requires_grad for p in box)
    assert list(box.state_dict()) == ["0", "1", "2", "3", "4"]
    assert [p.numel() for p in box[1:3]] == [2, 3] and box[-1].numel() == 6
    table = nn.ParameterDict({"a": twofold.ones(1)})
    table["b"] = twofold.ones(2)
    table.update({"c": twofold.ones(3)})
    assert list(table) == ["a", "b", "c"] and "a" in table and table.get("z") is None
    assert table.pop("a").numel() == 1 and list(table.state_dict()) == ["b", "c"]
    del table["b"]
    assert [(k, v.numel()) for k, v in table.items()] == [("c", 3)]


def keys(values):
    return [(k, None if v is None else v.tolist()) for k, v in values.items()]


def dictionary(t):
    """What ParameterDict's methods give, and what is left in it."""
    a, b, c = (t.nn.Parameter(t.tensor([float(i)])) for i in range(3))
    values = t.nn.ParameterDict({"a": a, "b": b})
    found = [keys(values.copy()), keys(values.fromkeys(["x", "y"], c))]
    found += [values.setdefault("a", c).tolist(), values.setdefault("c", c).tolist()]
    found += [keys(values), values.popitem()[0], list(reversed(values))]
    other = t.nn.ParameterDict({"b": c, "z": b})
    found += [keys(values | other), keys(other | values)]
    values |= other
    found += [keys(values), [name for name, _ in values.named_parameters()]]
    values.clear()
    return [*found, len(values), list(values.parameters())]


def test_parameter_dictionaries_as_in_pytorch():
    torch = pytest.importorskip("torch")
    assert dictionary(twofold) == dictionary(torch)
    with pytest.raises(KeyError, match="nothing in it"):
        nn.ParameterDict().popitem()


def test_sequences_several_times_over():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert [name for name, _ in (net * 2).named_children()] == ["0", "1"]
    assert len(2 * net) == 4 and (net * 2)[2] is net[0]
    net *= 3
    assert len(net) == 6 and net[4] is net[0]
    assert len(net.extend(sequential=nn.Sequential(nn.Tanh()))) == 7
    assert isinstance(net.pop(key=-1), nn.Tanh)
    with pytest.raises(ArgumentError, match="0 times"):
        net * 0
    with pytest.raises(DTypeError, match="no number of times"):
        net * "2"
