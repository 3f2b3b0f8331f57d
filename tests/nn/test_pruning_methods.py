"""Methods of pruning as classes, the user's own too."""

import pytest

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, DTypeError, UndefinedError
from twofold.nn.utils import prune


def test_methods_are_the_functions_of_their_names():
    for method, function, rest in [
        (prune.L1Unstructured, prune.l1_unstructured, (3,)),
        (prune.LnStructured, prune.ln_structured, (1, 2, 0)),
    ]:
        one, other = nn.Linear(4, 3), nn.Linear(4, 3)
        other.load_state_dict(one.state_dict())
        method.apply(one, "weight", *rest)
        function(other, "weight", *rest)
        assert twofold.equal(one.weight_mask, other.weight_mask)
        assert 0 < int(one.weight_mask.sum()) < 12
    for method in (prune.RandomUnstructured, prune.RandomStructured):
        net = nn.Linear(4, 3)
        method.apply(net, "weight", 0.5)
        assert prune.is_pruned(net) and 0 < int(net.weight_mask.sum()) < 12


def test_a_method_of_ones_own_sees_what_is_left():
    class EveryOther(prune.BasePruningMethod):
        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    net = nn.Linear(4, 3)
    EveryOther.apply(net, "weight")
    assert net.weight_mask.view(-1).tolist() == [0, 1] * 6
    prune.remove(net, "weight")
    assert (net.weight.view(-1)[::2] == 0).all()
    with pytest.raises(UndefinedError, match="compute_mask"):
        prune.BasePruningMethod.apply(net, "weight")


def test_methods_that_have_pruned_a_parameter_are_a_container():
    net = nn.Linear(8, 6)
    first = prune.L1Unstructured.apply(net, "weight", 0.25)
    assert first is next(iter(net._forward_pre_hooks.values()))
    second = prune.ln_structured(net, "weight", 1, n=2, dim=0)
    assert second is net
    (hook,) = net._forward_pre_hooks.values()
    assert isinstance(hook, prune.PruningContainer) and hook._tensor_name == "weight"
    assert [type(one) for one in hook] == [prune.L1Unstructured, prune.LnStructured]
    assert list(net._buffers) == ["weight_mask"] and prune.is_pruned(net)
    hook.remove(net)
    assert sorted(net.state_dict()) == ["bias", "weight"]
    method = prune.L1Unstructured(2)
    x = twofold.tensor([3.0, -1.0, 2.0, 0.5])
    assert method.prune(x).tolist() == [3, 0, 2, 0]
    assert method.prune(x, importance_scores=-x).tolist() == [3, 0, 2, 0]
    with pytest.raises(DTypeError, match="no method of pruning"):
        hook.add_pruning_method(3)
    with pytest.raises(ArgumentError, match="4 of 3 cannot"):
        prune.l1_unstructured(nn.Linear(3, 1), "weight", 4)


def numbers(net):
    return {k: v.detach().numpy().copy() for k, v in net.state_dict().items()}


CHANGES = [
    lambda p, m, t: p.ln_structured(p.l1_unstructured(m, "weight", 0.3), "weight", 0.5, 2, 0),
    lambda p, m, t: p.l1_unstructured(p.ln_structured(m, "weight", 2, 1, 1), "weight", 0.5),
    lambda p, m, t: p.l1_unstructured(m, "weight", 7, importance_scores=t.arange(48.0).view(6, 8)),
    lambda p, m, t: p.global_unstructured(
        [(m, "weight"), (m, "bias")], pruning_method=p.L1Unstructured, amount=0.4
    ),
    lambda p, m, t: [
        p.custom_from_mask(m, "weight", t.arange(48).view(6, 8) % k > 0) for k in (2, 3)
    ],
]


@pytest.mark.parametrize("change", CHANGES)
def test_masks_as_in_pytorch(change):
    torch = pytest.importorskip("torch")
    theirs_too = pytest.importorskip("torch.nn.utils.prune")
    ours, theirs = nn.Linear(8, 6), torch.nn.Linear(8, 6)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in numbers(ours).items()})
    change(prune, ours, twofold)
    change(theirs_too, theirs, torch)
    mine, other = numbers(ours), numbers(theirs)
    assert list(mine) == list(other)
    assert all((mine[name] == other[name]).all() for name in other)
