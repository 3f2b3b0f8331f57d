"""Sequences of unequal lengths without padding: NestedTensor."""

import numpy as np
import pytest

import twofold
from twofold import nested, nn
from twofold.exec import tensors
from twofold.nn import functional


def sequences(requires_grad=False):
    twofold.manual_seed(0)
    return [twofold.randn(n, 4, requires_grad=requires_grad) for n in (3, 0, 5)]


def close(a, b):
    pairs = [(x.detach().numpy(), y.detach().numpy()) for x, y in zip(a, b, strict=True)]
    return all(np.allclose(x, y, atol=1e-6) for x, y in pairs)


def test_forms():
    parts = sequences()
    batch = nested.nested_tensor(parts, layout=twofold.jagged)
    assert batch.is_nested and batch.layout is twofold.jagged and len(batch) == 3
    assert batch.offsets().tolist() == [0, 3, 3, 8] and batch.lengths().tolist() == [3, 0, 5]
    assert batch.values().shape == (8, 4) and batch.shape == (3, None, 4) and batch.size(-1) == 4
    assert batch.ndim == batch.dim() == 3 and batch.numel() == 32
    assert close(batch.unbind(), parts) and close([batch[2], *batch[:2]], [parts[2], *parts[:2]])
    assert "size=(3, j, 4)" in repr(batch)
    again = nested.nested_tensor_from_jagged(batch.values(), batch.offsets())
    assert close(again, parts)
    assert close(nested.nested_tensor_from_jagged(batch.values(), lengths=batch.lengths()), parts)
    cut = nested.narrow(twofold.arange(12).reshape(3, 4), 1, twofold.tensor([0, 1, 2]), 2)
    assert [x.tolist() for x in cut] == [[0, 1], [5, 6], [10, 11]]


def test_padding():
    parts = sequences()
    batch = nested.nested_tensor(parts)
    padded = batch.to_padded_tensor(-1.0)
    assert padded.shape == (3, 5, 4) and (padded[1] == -1).all() and (padded[0, 3:] == -1).all()
    assert twofold.equal(padded[0, :3], parts[0]) and twofold.equal(padded[2], parts[2])
    wide = nested.to_padded_tensor(batch, 0.0, (3, 6, 4))
    assert wide.shape == (3, 6, 4) and not wide[:, 5].any() and twofold.equal(wide[2, :5], parts[2])
    turned = batch.transpose(1, 2).to_padded_tensor(-1.0)
    assert twofold.equal(turned, padded.transpose(1, 2))


def test_operators_ask_once_machine_code_has_come():
    batch = nested.as_nested_tensor(sequences())
    weights = twofold.rand(4)
    assert close(batch * weights, [x * weights for x in batch.unbind()])  # fills the tables
    machine_code = tensors.installed()
    try:
        for change in (tensors.install, tensors.remove):
            change()
            assert close(weights * batch, [x * weights for x in batch.unbind()])
    finally:
        if machine_code:
            tensors.install()


def test_functions_of_rows():
    parts = sequences()
    batch = nested.as_nested_tensor(parts)
    linear, norm = nn.Linear(4, 6), nn.LayerNorm(6)
    made = functional.gelu(norm(linear(batch)))
    assert close(made, [functional.gelu(norm(linear(x))) for x in parts])
    assert close(twofold.exp(batch), [x.exp() for x in parts])
    assert close(functional.softmax(batch, -1), [x.softmax(-1) for x in parts])
    assert close(twofold.softmax(batch[::2], 1), [x.softmax(0) for x in parts[::2]])
    assert close(batch * 2 + batch / 3 - 1, [x * 2 + x / 3 - 1 for x in parts])
    assert close(1 - batch.relu() ** 2, [1 - x.relu() ** 2 for x in parts])
    weights = twofold.rand(4)
    assert close(batch * weights, [x * weights for x in parts])
    assert close(weights * batch, [x * weights for x in parts])
    assert close(batch @ linear.weight.T, [x @ linear.weight.T for x in parts])
    assert [x.dtype for x in (batch > 0).unbind()] == [twofold.bool] * 3
    assert (
        batch.double().dtype is twofold.float64
        and batch.to(twofold.float16).values().dtype.kind == "f"
    )


def test_sums():
    parts = sequences()
    batch = nested.as_nested_tensor(parts)
    assert close([batch.sum(1)], [twofold.stack([x.sum(0) for x in parts])])
    assert close(batch.sum(-1), [x.sum(-1) for x in parts])
    assert close([twofold.mean(batch[::2], 1)], [twofold.stack([x.mean(0) for x in parts[::2]])])
    assert close([batch.sum(), batch.mean()], [batch.values().sum(), batch.values().mean()])
    assert batch.sum(1, keepdim=True).shape == (3, 1, 4)


def test_attention_is_of_each_sequence():
    parts = [x for x in sequences() if len(x)]
    batch = nested.as_nested_tensor(parts)
    heads = batch.unflatten(-1, (2, 2)).transpose(1, 2)
    assert heads.shape == (2, 2, None, 2)
    made = functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    made = made.transpose(1, 2).flatten(2)
    for x, y in zip(parts, made, strict=True):
        q = x.reshape(-1, 2, 2).transpose(0, 1)
        wanted = functional.scaled_dot_product_attention(q, q, q, is_causal=True)
        assert close([y], [wanted.transpose(0, 1).reshape(-1, 4)])


def test_gradients():
    parts = sequences(requires_grad=True)
    batch = nested.as_nested_tensor(parts)
    (batch * batch).to_padded_tensor(7.0).sum().backward()
    assert close([x.grad for x in parts], [2 * x for x in parts])
    leaf = nested.nested_tensor(parts, requires_grad=True)
    leaf.sum(1).pow(2).sum().backward()
    wanted = [(2 * x.sum(0)).expand_as(x) for x in parts]
    assert close(leaf.grad, wanted) and leaf.requires_grad


def test_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    parts = [np.random.default_rng(n).normal(size=(n, 4)) for n in (2, 3)]
    theirs = torch.nested.nested_tensor([torch.from_numpy(x) for x in parts], layout=torch.jagged)
    ours = nested.nested_tensor([twofold.tensor(x) for x in parts], layout=twofold.jagged)
    assert theirs.offsets().tolist() == ours.offsets().tolist()
    assert theirs.values().tolist() == ours.values().tolist()
    wanted = torch.nested.to_padded_tensor(theirs, 0.5)
    assert wanted.tolist() == nested.to_padded_tensor(ours, 0.5).tolist()
    wanted = torch.nn.functional.silu(theirs).sum(1)
    assert np.allclose(wanted.numpy(), functional.silu(ours).sum(1).numpy())


def test_errors():
    batch = nested.as_nested_tensor(sequences())
    other = nested.as_nested_tensor(sequences()[::-1])
    wrong = [
        (lambda: batch + other, "other lengths"),
        (lambda: batch + twofold.ones(8, 4), "no sequences"),
        (lambda: twofold.add(batch, twofold.ones(3, 5, 4)), "no sequences"),
        (lambda: batch.size(1), "lengths"),
        (lambda: batch.unbind(1), "dim=1"),
        (lambda: batch.transpose(0, 1), "axis 0"),
        (lambda: batch.unflatten(1, (2, 2)), "differ on axis 1"),
        (lambda: batch.to_padded_tensor(0, (3, 2, 4)), "smaller"),
        (lambda: batch.sum(0), "axis 0"),
        (lambda: nested.nested_tensor([]), "no sequences"),
        (lambda: nested.nested_tensor([twofold.ones(1, 2), twofold.ones(1, 3)]), "first axis"),
        (lambda: nested.nested_tensor_from_jagged(batch.values()), "neither"),
        (lambda: nested.nested_tensor_from_jagged(batch.values(), twofold.tensor([0, 3])), "cut"),
        (lambda: nested.narrow(twofold.ones(2, 3), 0, 0, 1), "dim=0"),
    ]
    for call, says in wrong:
        with pytest.raises(twofold.TwofoldError, match=says):
            call()
    with pytest.raises(TypeError, match="NestedTensor gave NotImplemented"):
        twofold.linalg.inv(batch)
