"""Floor 10: layers, losses and their initialisation."""

import importlib as _importlib

from twofold.exec import tensors as _tensors
from twofold.nn import attention as attention
from twofold.nn import functional as functional
from twofold.nn import init as init
from twofold.nn import parallel as parallel
from twofold.nn import parameter as parameter
from twofold.nn import utils as utils
from twofold.nn.activation import *
from twofold.nn.adaptive import *
from twofold.nn.bags import *
from twofold.nn.buffer import Buffer as Buffer
from twofold.nn.container import ModuleDict as ModuleDict
from twofold.nn.container import ModuleList as ModuleList
from twofold.nn.container import ParameterDict as ParameterDict
from twofold.nn.container import ParameterList as ParameterList
from twofold.nn.container import Sequential as Sequential
from twofold.nn.convolution import *
from twofold.nn.layers import *
from twofold.nn.lazy import *
from twofold.nn.linear_cross_entropy import LinearCrossEntropyLoss as LinearCrossEntropyLoss
from twofold.nn.linear_cross_entropy import LinearCrossEntropyOptions as LinearCrossEntropyOptions
from twofold.nn.losses import *
from twofold.nn.module import Module as Module
from twofold.nn.multihead import MultiheadAttention as MultiheadAttention
from twofold.nn.multihead import TransformerEncoder as TransformerEncoder
from twofold.nn.multihead import TransformerEncoderLayer as TransformerEncoderLayer
from twofold.nn.norm import *
from twofold.nn.padding import *
from twofold.nn.parallel import DataParallel as DataParallel
from twofold.nn.pooling import *
from twofold.nn.recurrent import *
from twofold.nn.resizing import *
from twofold.nn.summary import summary as summary
from twofold.nn.transformer import *
from twofold.ops.tensor import Parameter as Parameter

_tensors.cover()

from twofold.nn import modules as modules  # noqa: E402  # it holds what stands above


def __getattr__(name: str) -> object:
    """`nn.grad`, which few programs use, is imported when it is first asked for."""
    if name == "grad":
        return _importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
