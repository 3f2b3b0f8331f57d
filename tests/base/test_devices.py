"""Devices: names of what may be there, and the one that is."""

import pytest

import twofold
from twofold.base.errors import DeviceError


def test_devices_are_names_until_something_is_put_there():
    assert twofold.device("cuda", 1) == "cuda:1" and twofold.device("cuda").type == "cuda"
    assert twofold.device("cuda:0") != twofold.device("cuda:1") != twofold.device("cpu")
    assert twofold.ones(1).device == twofold.device("cpu:0") and twofold.ones(1).device != "meta"
    assert repr(twofold.device("mps:0")) == "device(type='mps', index=0)"
    for wrong in ("gpu", "cuda:x"):
        with pytest.raises(DeviceError, match=f"no device '{wrong}'"):
            twofold.device(wrong)
    with pytest.raises(DeviceError, match="cuda"), twofold.device("cuda"):
        pass
