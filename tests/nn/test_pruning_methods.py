"""Methods of pruning as classes, the user's own too."""

import pytest

import twofold
from twofold import nn
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
    with pytest.raises(TypeError, match="compute_mask"):
        prune.BasePruningMethod.apply(net, "weight")
