"""`compile(backend=..., mode=...)`: names, and functions of the user's own."""

import collections

import numpy as np
import pytest

import twofold
from twofold import _dynamo, nn
from twofold.base.errors import ArgumentError, DTypeError
from twofold.fx.backed import BackendCompilerFailed
from twofold.fx.proxy import TraceError


def net():
    twofold.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 2))


def test_names_of_backends_and_modes():
    x = twofold.randn(3, 4)
    for name in (*_dynamo.list_backends(), *_dynamo.list_backends(())):
        assert twofold.compile(twofold.sin, backend=name)(x).equal(x.sin())
    for name in twofold._inductor.list_mode_options():
        assert twofold.compile(twofold.sin, mode=name)(x).equal(x.sin())
    with pytest.raises(RuntimeError, match=r"no backend is called 'foo'[^~]*inductor"):
        twofold.compile(backend="foo")
    with pytest.raises(_dynamo.exc.InvalidBackend):
        twofold.compile(net(), backend="foo")
    with pytest.raises(RuntimeError, match=r"no mode is called 'foo'[^~]*reduce-overhead"):
        twofold.compile(net(), mode="foo")
    with pytest.raises(ArgumentError, match="of which one can be"):
        twofold.compile(net(), mode="default", options={"max_autotune": True})
    with pytest.raises(DTypeError, match="is no backend"):
        twofold.compile(net(), backend=3)


def test_a_backend_of_ones_own_is_called_once_for_each_kind_of_arguments():
    model, calls = net(), []

    def backend(gm, example_inputs):
        calls.append(([node.op for node in gm.graph.nodes], [x.shape for x in example_inputs]))
        return gm.forward

    compiled = twofold.compile(model, backend=backend)
    x, y = twofold.randn(5, 4), twofold.randn(7, 4)
    model.eval()
    assert compiled(x).equal(model(x)) and compiled(y).equal(model(y))
    assert len(calls) == 1 and calls[0][0] == ["placeholder", *["call_module"] * 4, "output"]
    model.train()
    twin = net()
    compiled(x).sum().backward()
    twin(x).sum().backward()
    assert len(calls) == 2
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert p.grad.equal(q.grad)
    assert model[2].running_mean.equal(twin[2].running_mean)


def test_a_backend_sees_functions_with_layers_from_outside_and_nested_results():
    layer = nn.Linear(3, 3)
    counter = _dynamo.testing.CompileCounter()

    @twofold.compile(backend=counter)
    def f(x, *, scale, more):
        return {"a": layer(x) * scale + more[0], "b": [x.relu()]}

    x = twofold.randn(2, 3)
    made = f(x, scale=2.0, more=(x,))
    assert made["a"].equal(layer(x) * 2.0 + x) and made["b"][0].equal(x.relu())
    assert (counter.frame_count, counter.op_count) == (1, 4)
    assert f(x, scale=3.0, more=(x,))["a"].equal(layer(x) * 3.0 + x)
    assert counter.frame_count == 2


def test_a_backend_may_rewrite_the_graph():
    def backend(gm, _):
        for node in gm.graph.nodes:
            if node.target is twofold.sin:
                node.target = twofold.cos
        gm.recompile()
        return gm

    x = twofold.randn(3)
    assert twofold.compile(lambda x: twofold.sin(x) + 1, backend=backend)(x).equal(x.cos() + 1)


def test_what_a_backend_cannot_have_is_refused():
    def f(x):
        return x if x.sum() > 0 else -x

    with pytest.raises(TraceError, match="needs a graph"):
        twofold.compile(f, backend=lambda gm, _: gm)(twofold.ones(2))
    with pytest.raises(BackendCompilerFailed, match="cannot be called"):
        twofold.compile(net(), backend=lambda gm, _: 3)(twofold.ones(2, 4))


def test_a_registered_backend_has_a_name():
    @_dynamo.register_backend(name="of_the_test")
    def backend(gm, _):
        return lambda *tensors: tuple(2 * t for t in gm(*tensors))

    assert "of_the_test" in _dynamo.list_backends()
    assert _dynamo.lookup_backend("of_the_test") is backend
    x = twofold.ones(2)
    assert twofold.compile(twofold.exp, backend="of_the_test")(x).equal(2 * x.exp())


def test_a_compiled_module_knows_the_module():
    model = net()
    compiled = twofold.compile(model)
    assert compiled._orig_mod is model and not hasattr(model, "_orig_mod")
    assert isinstance(compiled, _dynamo.eval_frame.OptimizedModule)
    assert not isinstance(model, _dynamo.OptimizedModule)
    assert twofold.compile(compiled)._orig_mod is model
    other = net()
    with twofold.no_grad():
        other[0].weight.fill_(0.25)
    state = {f"_orig_mod.{name}": value for name, value in other.state_dict().items()}
    compiled.load_state_dict(state)
    assert np.all(model[0].weight.detach().numpy() == 0.25)
    compiled.load_state_dict(other.state_dict())


def test_explain_under_pytorchs_name():
    model, x = net(), twofold.randn(3, 4)
    told = _dynamo.explain(model)(x)
    assert (told.graph_count, told.graph_break_count) == (1, 0)
    assert told.op_count == len(told.ops_per_graph[0]) > 0
    assert "Graph Count: 1" in str(told) and "linear" in str(told)
    assert _dynamo.optimize("eager", nopython=True)(model)(x).shape == (3, 2)
    assert isinstance(_dynamo.utils.counters["stats"], collections.Counter)
    _dynamo.reset()
