"""Operations counted: totals that PyTorch's counter gives for the same programs."""

import twofold
from twofold import nn
from twofold.utils.flop_counter import FlopCounterMode


def test_products_and_convolutions_with_their_gradients():
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Conv1d(1, 2, 3))
    with FlopCounterMode(net, display=False) as counter:
        x = net[0](twofold.ones(4, 8, requires_grad=True))
        net[2](x[:, None]).sum().backward()
    assert counter.get_total_flops() == 5088
    by_module = counter.get_flop_counts()
    assert by_module["Sequential.0"] == {"linear": 1024}
    assert by_module["Sequential.2"] == {"conv": 672}
    assert "Sequential.0" in counter.get_table() and "5,088" in counter.get_table(depth=1)
    assert "Sequential.0" not in counter.get_table(depth=1)
    assert not net[0]._forward_hooks


def test_attention_both_ways():
    q, k, v = (twofold.randn(2, 3, n, 8, requires_grad=True) for n in (5, 7, 7))
    with FlopCounterMode(display=False) as counter:
        nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    forward, product = 2 * 2 * 6 * 5 * 7 * 8, 2 * 6 * 5 * 7 * 8
    counts = counter.get_flop_counts()["Global"]
    assert counts == {"attention": forward, "attention_backward": 5 * product}


def test_a_counter_starts_again_and_counts_without_data():
    counter = FlopCounterMode(display=False)
    for _ in range(2):
        with counter:
            twofold.empty(10**5, 10**5, device="meta").mm(twofold.empty(10**5, 3, device="meta"))
        assert counter.get_total_flops() == 2 * 3 * 10**10
