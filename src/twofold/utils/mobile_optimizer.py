"""Programs for phones, under PyTorch's names. Floor 13."""

from __future__ import annotations

import enum
from typing import Any

from twofold.frontends import decorator

__all__ = ["LintCode", "MobileOptimizerType", "optimize_for_mobile"]


class LintCode(enum.Enum):
    """What is looked for in modules that go to a phone."""

    BUNDLED_INPUT = 1
    REQUIRES_GRAD = 2
    DROPOUT = 3
    BATCHNORM = 4


class MobileOptimizerType(enum.Enum):
    """What PyTorch's optimizer does; programs take single ones out. The passes here are one set."""

    CONV_BN_FUSION = 1
    INSERT_FOLD_PREPACK_OPS = 2
    REMOVE_DROPOUT = 3
    FUSE_ADD_RELU = 4
    HOIST_CONV_PACKED_PARAMS = 5
    CONV_1D_TO_2D = 6
    VULKAN_AUTOMATIC_GPU_TRANSFER = 7


def optimize_for_mobile(script_module: Any, *args: Any, **options: Any) -> Any:
    """The module, compiled in evaluation mode with frozen weights: the bits of the module's own."""
    return decorator.compile(script_module.eval(), freeze=True)


def generate_mobile_module_lints(script_module: Any) -> list[dict[str, str]]:
    """What would be better otherwise on a phone: [{"name", "message"}]."""
    found = [
        {"name": LintCode.REQUIRES_GRAD.name, "message": f"Param {name} requires grad"}
        for name, x in script_module.named_parameters()
        if x.requires_grad
    ]
    for name, module in script_module.named_modules():
        kind = type(module).__name__
        if kind.startswith("Dropout") and module.training:
            message = f"{name} drops elements: call model.eval() first"
            found.append({"name": LintCode.DROPOUT.name, "message": message})
        if kind.startswith("BatchNorm") and module.training:
            message = f"{name} is in training mode: call model.eval() first"
            found.append({"name": LintCode.BATCHNORM.name, "message": message})
    return found
