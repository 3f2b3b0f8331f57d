"""Anomaly mode, where PyTorch's `autograd.anomaly_mode` has it. Floor 8."""

from twofold.autograd.modes import detect_anomaly, set_detect_anomaly

__all__ = ["detect_anomaly", "set_detect_anomaly"]
