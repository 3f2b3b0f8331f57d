"""PyTorch's first name for ao.quantization. Floor 13."""

from twofold.ao import DeQuantStub, QuantStub, convert, prepare, prepare_qat, quantize_dynamic

__all__ = ["DeQuantStub", "QuantStub", "convert", "prepare", "prepare_qat", "quantize_dynamic"]
