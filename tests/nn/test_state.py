"""Modules whose state has another form in files: hooks and methods that rename what is loaded."""

import pytest

import twofold
from twofold import nn
from twofold.base.errors import StateError


class Renamed(nn.Linear):
    """A layer that older files knew by other names."""

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        for name in ("weight", "bias"):
            if prefix + "old_" + name in state_dict:
                state_dict[prefix + name] = state_dict.pop(prefix + "old_" + name)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def test_a_module_renames_what_older_files_hold():
    net = nn.Sequential(nn.Linear(2, 2), Renamed(2, 1))
    state = {k.replace("1.", "1.old_"): v + 1 for k, v in net.state_dict().items()}
    names = list(state)
    wanted = (net[1].weight + 1).tolist()
    assert str(net.load_state_dict(state)) == "<All keys matched successfully>"
    assert net[1].weight.tolist() == wanted
    assert list(state) == names  # the caller's dictionary is left as it was


def test_nothing_is_written_where_a_part_does_not_fit():
    net = nn.Sequential(nn.Linear(2, 2), Renamed(2, 1))
    before = net[0].weight.tolist()
    state = {k: v + 1 for k, v in net.state_dict().items()}
    state["1.weight"] = twofold.ones(3, 3)
    with pytest.raises(StateError, match=r"1\.weight"):
        net.load_state_dict(state)
    assert net[0].weight.tolist() == before


class Own(nn.Module):
    """A module that keeps a state of another kind."""

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[prefix + "a.b"] = 3

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self.found = state_dict[prefix + "a.b"]


def test_a_module_saves_and_loads_in_its_own_way():
    net = nn.Sequential(Own(), nn.Linear(1, 1))
    state = net.state_dict()
    assert list(state) == ["0.a.b", "1.weight", "1.bias"]
    net.load_state_dict(state)
    assert net[0].found == 3
    with pytest.raises(StateError, match=r"2\.a"):
        net.load_state_dict({**state, "2.a": 1})


def test_hooks_around_loading_and_saving():
    net, seen = nn.Linear(1, 1), []

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        seen.append((module is net, prefix, metadata["version"]))
        state["weight"] = state.pop("w")

    one = net.register_load_state_dict_pre_hook(rename)
    two = net._register_load_state_dict_pre_hook(lambda state, *_: seen.append(sorted(state)))
    three = net.register_load_state_dict_post_hook(lambda m, r: r.missing_keys.remove("bias"))
    net.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append("saving"))
    net._register_state_dict_hook(lambda m, state, prefix, _: {"w": state["weight"]})
    state = net.state_dict()
    assert list(state) == ["w"]
    assert str(net.load_state_dict(state)) == "<All keys matched successfully>"
    assert seen == ["saving", (True, "", 1), ["weight"]]
    for handle in (one, two, three):
        handle.remove()
    with pytest.raises(StateError, match="missing"):
        net.load_state_dict(state)


def test_names_that_differ_by_a_prefix_alone():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = net.state_dict()
    for prefix in ("module.", "_orig_mod.", "model.net."):
        wrapped = {prefix + name: value for name, value in state.items()}
        with pytest.raises(StateError) as error:
            net.load_state_dict(wrapped)
        advice = str(error.value).rpartition("try ")[2]
        net.load_state_dict(eval(advice, {"state": wrapped}))
    inner = nn.Sequential()
    inner.add_module("module", net)
    with pytest.raises(StateError) as error:
        inner.load_state_dict(state)
    inner.load_state_dict(eval(str(error.value).rpartition("try ")[2], {"state": state}))
    for other in ({}, {"x": state["0.weight"]}, wrapped | {"x": state["0.weight"]}):
        with pytest.raises(StateError, match="try the same architecture"):
            net.load_state_dict(other)


def test_a_state_knows_the_versions_of_modules(tmp_path):
    seen = []

    class Old(nn.Linear):
        _version = 3

        def _load_from_state_dict(self, state, prefix, metadata, *rest):
            seen.append(metadata.get("version"))
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    net = nn.Sequential(Old(2, 2), nn.BatchNorm1d(2))
    state = net.state_dict()
    assert state._metadata["0"] == {"version": 3} and list(state._metadata) == ["", "0", "1"]
    state._metadata["0"] = {"version": 2}
    net.load_state_dict(state)
    net.load_state_dict(dict(state))  # without versions: as they are now
    del state._metadata["0"]
    net.load_state_dict(state)
    assert seen == [2, 3, None]
