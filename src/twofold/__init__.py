"""Twofold: one engine, two philosophies. Define-by-run Python and the static graph over the same
primitives.
"""

import gc as _gc
import importlib as _importlib
from math import e, inf, nan, pi

# Looking for garbage among what an import makes, which is there to stay, takes a tenth of it.
_collecting = _gc.isenabled()
_gc.disable()

from twofold import autograd
from twofold.autograd.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from twofold.base.devices import Device as DeviceObjType
from twofold.base.devices import Device as device
from twofold.base.dtypes import (
    DType as dtype,
)
from twofold.base.dtypes import (
    bfloat16,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from twofold.base.dtypes import bool_ as bool
from twofold.base.dtypes import complex64 as cfloat
from twofold.base.dtypes import complex128 as cdouble
from twofold.base.dtypes import default_dtype as get_default_dtype
from twofold.base.dtypes import float16 as half
from twofold.base.dtypes import float32 as float
from twofold.base.dtypes import float64 as double
from twofold.base.dtypes import int16 as short
from twofold.base.dtypes import int32 as int
from twofold.base.dtypes import int64 as long
from twofold.base.dtypes import promote as promote_types
from twofold.base.errors import MissingNameError as _MissingNameError
from twofold.base.errors import TwofoldError
from twofold.base.errors import trim_tracebacks as _trim_tracebacks
from twofold.base.flags import flags
from twofold.base.layouts import (
    Layout as layout,
)
from twofold.base.layouts import (
    MemoryFormat as memory_format,
)
from twofold.base.layouts import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    legacy_contiguous_format,
    preserve_format,
    strided,
)
from twofold.exec import eager as _eager
from twofold.exec import tensors as _tensors
from twofold.ops import NAMESPACES as _NAMESPACES
from twofold.ops.assigning import *
from twofold.ops.bind import LATE as _LATE_CALLS
from twofold.ops.bitwise import *
from twofold.ops.compare import *
from twofold.ops.complexes import *
from twofold.ops.composite import *
from twofold.ops.convert import *
from twofold.ops.counting import *
from twofold.ops.creation import *
from twofold.ops.creation_like import *
from twofold.ops.distances import *
from twofold.ops.einsum import *
from twofold.ops.elementwise import *
from twofold.ops.gather import *
from twofold.ops.generators import *
from twofold.ops.in_place import *
from twofold.ops.joining import *
from twofold.ops.linalg import *
from twofold.ops.methods import detach
from twofold.ops.more_special import gammainc as igamma
from twofold.ops.more_special import gammaincc as igammac
from twofold.ops.more_special import i0
from twofold.ops.more_special import multigammaln as mvlgamma
from twofold.ops.movement import *
from twofold.ops.normalize import *
from twofold.ops.older import *
from twofold.ops.padding import *
from twofold.ops.printing import set_printoptions
from twofold.ops.products import *
from twofold.ops.quantiles import *
from twofold.ops.random import *
from twofold.ops.reduce import *
from twofold.ops.replacing import *
from twofold.ops.replacing import _softmax_backward_data
from twofold.ops.rms_norm import *
from twofold.ops.rounding import *
from twofold.ops.rules import result_dtype as result_type
from twofold.ops.sampling import *
from twofold.ops.selecting import *
from twofold.ops.sorting import *
from twofold.ops.spectral import *
from twofold.ops.splitting import *
from twofold.ops.statistics import *
from twofold.ops.storage import *
from twofold.ops.tensor import Parameter as _Parameter
from twofold.ops.tensor import Size, Tensor
from twofold.ops.tensor import subclassed as _CLASSES
from twofold.ops.transcendental import *
from twofold.ops.triangles import *
from twofold.ops.views import *
from twofold.ops.with_out import *  # last: what does not take out= itself
from twofold.runtime import memory
from twofold.runtime.threads import get_num_threads, set_num_threads
from twofold.saving.openers import OPENERS as _OPENERS
from twofold.saving.openers import READERS as _READERS

__version__ = "0.1.0"
__array_api_version__ = "2025.12"
newaxis = None

# Wings that a program may not need are imported when their name is first used.
_LATE = {
    "_C": "twofold._C",
    "__config__": "twofold.__config__",
    "_custom_ops": "twofold._custom_ops",
    "_dynamo": "twofold._dynamo",
    "_functorch": "twofold._functorch",
    "_higher_order_ops": "twofold._higher_order_ops",
    "_subclasses": "twofold._subclasses",
    "_utils": "twofold._utils",
    "amp": "twofold.amp",
    "ao": "twofold.ao",
    "array_api": "twofold.array_api",
    "aten": "twofold.aten",
    "backends": "twofold.backends",
    "compiler": "twofold.compiler",
    "cpu": "twofold.cpu",
    "cuda": "twofold.cuda",
    "data": "twofold.data",
    "datasets": "twofold.data.datasets",
    "distributed": "twofold.distributed",
    "distributions": "twofold.distributions",
    "export": "twofold.export",
    "fft": "twofold.fft",
    "func": "twofold.func",
    "functional": "twofold.functional",
    "futures": "twofold.futures",
    "fx": "twofold.fx",
    "hub": "twofold.hub",
    "jit": "twofold.jit",
    "library": "twofold.library",
    "linalg": "twofold.linalg",
    "masked": "twofold.masked",
    "multiprocessing": "twofold.multiprocessing",
    "quantization": "twofold.quantization",
    "quasirandom": "twofold.quasirandom",
    "random": "twofold.random",
    "nn": "twofold.nn",
    "profiler": "twofold.profiler",
    "onnx": "twofold.onnx",
    "optim": "twofold.optim",
    "overrides": "twofold.overrides",
    "signal": "twofold.signal",
    "nested": "twofold.nested",
    "sparse": "twofold.sparse",
    "serialization": "twofold.serialization",
    "special": "twofold.special",
    "storage": "twofold.storage",
    "return_types": "twofold.return_types",
    "package": "twofold.package",
    "monitor": "twofold.monitor",
    "torch_version": "twofold.torch_version",
    "_inductor": "twofold._inductor",
    "v1": "twofold.v1",
    "testing": "twofold.testing",
    "utils": "twofold.utils",
    "types": "twofold.types",
    "version": "twofold.version",
}
_LATE_NAMES = {
    name: module
    for module, names in {
        "twofold.absent": "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz "
        "float8_e8m0fnu float4_e2m1fn_x2 complex32 qint8 quint8 qint32 quint4x2",
        "twofold.accelerators": "Event Stream accelerator get_device_module mps mtia xpu",
        "twofold.torch_name": "as_torch",
        "twofold.amp": "GradScaler autocast clear_autocast_cache get_autocast_cpu_dtype "
        "get_autocast_dtype is_autocast_available is_autocast_cache_enabled "
        "is_autocast_cpu_enabled is_autocast_enabled",
        "twofold.array_api": "bitwise_invert",
        "twofold.array_api.info": "astype isdtype __array_namespace_info__",
        "twofold.array_api.linalg": "matrix_transpose vecdot",
        "twofold.array_api.reductions": "cumulative_prod cumulative_sum",
        "twofold.array_api.shape": "broadcast_arrays expand_dims permute_dims repeat "
        "take_along_axis unique_all unique_counts unique_inverse unique_values unstack",
        "twofold.autograd.modes": "is_anomaly_check_nan_enabled is_anomaly_enabled "
        "is_inference_mode_enabled set_anomaly_enabled",
        "twofold.autograd.vmap": "vmap",
        "twofold.futures": "Future",
        "twofold._C": "PyTorchFileReader",
        "twofold.jit": "ScriptFunction ScriptModule",
        "twofold.base.symbols": "SymFloat SymInt",
        "twofold.base.limits": "can_cast finfo iinfo",
        "twofold.frontends.decorator": "compile script",
        "twofold.frontends.control": "cond scan while_loop",
        "twofold.frontends.effects": "callback print",
        "twofold.frontends.checks": "_assert _assert_async _check _check_index _check_is_size "
        "_check_tensor_all _check_type _check_value",
        "twofold.frontends.debug": "debug",
        "twofold.frontends.explain": "explain profile",
        "twofold.frontends.stepper": "nan_watch",
        "twofold.frontends.export": "open_graph",
        "twofold.frontends.session": "Graph Session Variable gradients placeholder",
        "twofold.frontends.tape": "GradientTape",
        "twofold.ops.histograms": "histogramdd",
        "twofold.ops.reflections": "geqrf orgqr",
        "twofold.ops.segments": "segment_reduce",
        "twofold.ops.fake_quantize": "fake_quantize_per_channel_affine "
        "fake_quantize_per_tensor_affine",
        "twofold.ops.copies": "alias_copy as_strided_copy detach_copy diagonal_copy expand_copy "
        "narrow_copy permute_copy select_copy slice_copy split_copy split_with_sizes_copy "
        "squeeze_copy t_copy transpose_copy unbind_copy unfold_copy unsqueeze_copy "
        "view_as_complex_copy view_as_real_copy view_copy",
        "twofold.ops.numerical": "gradient pca_lowrank svd_lowrank",
        "twofold.ops.typed": "BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor "
        "FloatTensor HalfTensor IntTensor LongTensor ShortTensor",
        "twofold.storage": "TypedStorage UntypedStorage BFloat16Storage BoolStorage ByteStorage "
        "CharStorage ComplexDoubleStorage ComplexFloatStorage DoubleStorage FloatStorage "
        "HalfStorage IntStorage LongStorage ShortStorage",
        "twofold.saving.torch_files": "load_torch",
        "twofold.nested": "jagged",
        "twofold.sparse_rows": "sparse_csr sparse_csr_tensor",
        "twofold.sparse": "sparse_coo sparse_coo_tensor spmm",
        "twofold.switches": "are_deterministic_algorithms_enabled compiled_with_cxx11_abi "
        "get_default_device get_deterministic_debug_mode get_float32_matmul_precision "
        "get_num_interop_threads is_deterministic_algorithms_warn_only_enabled is_storage "
        "is_warn_always_enabled set_default_device set_default_tensor_type "
        "set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal "
        "set_num_interop_threads set_warn_always typename use_deterministic_algorithms",
        "twofold.nn.grid_functions": "grid_sampler grid_sampler_2d grid_sampler_3d",
        "twofold.ops.odds": "frobenius_norm get_device is_conj is_distributed is_inference is_neg "
        "is_signed norm_except_dim nuclear_norm range sym_float sym_int sym_ite sym_max sym_min "
        "sym_not sym_sqrt sym_sum vander",
        "twofold.nn.flat_functions": "alpha_dropout_ batch_norm binary_cross_entropy_with_logits "
        "cosine_embedding_loss ctc_loss dropout_ embedding feature_alpha_dropout_ "
        "hinge_embedding_loss instance_norm kaiser_window kl_div margin_ranking_loss "
        "poisson_nll_loss triplet_margin_loss",
        "twofold.nn.functional": """
            adaptive_max_pool1d celu_ rrelu rrelu_ selu_ threshold_
            adaptive_avg_pool1d alpha_dropout avg_pool1d bilinear channel_shuffle conv1d
            conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
            cosine_similarity dropout feature_alpha_dropout group_norm max_pool1d max_pool2d
            max_pool3d pairwise_distance pixel_shuffle pixel_unshuffle
        """,
        "twofold.nn.native_functions": "native_batch_norm native_dropout native_group_norm "
        "native_layer_norm",
        "twofold.saving.files": "load save",
    }.items()
    for name in names.split()
}

_LATE_FAMILIES = {"_foreach_": "twofold.ops.lists"}  # by what the names begin with


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE, *_LATE_NAMES})


def __getattr__(name: str) -> object:
    if name in _LATE:
        return _importlib.import_module(_LATE[name])
    if name in _LATE_NAMES:
        found = globals()[name] = getattr(_importlib.import_module(_LATE_NAMES[name]), name)
        return found  # type: ignore[no-any-return]
    for beginning, module in _LATE_FAMILIES.items():
        if name.startswith(beginning):
            return getattr(_importlib.import_module(module), name)  # type: ignore[no-any-return]
    raise _MissingNameError("twofold", name, lambda: globals())


# What programs written to the Array API standard ask an array for.
def _array_namespace(self: Tensor, /, *, api_version: str | None = None) -> object:
    namespace = __getattr__("array_api")
    namespace.info.check_version(api_version)  # type: ignore[attr-defined]
    return namespace


# A public function is of this package, whichever file it is written in: pickle finds it here.
for _name, _value in list(globals().items()):
    if type(_value) is type(_array_namespace) and _value.__name__ == _name:
        _value.__module__, _value.__qualname__ = __name__, _name
Tensor.__array_namespace__ = _array_namespace  # type: ignore[attr-defined]
Tensor.to_sparse_csr = lambda self: __getattr__("sparse").from_dense(self).to_sparse_csr()  # type: ignore[attr-defined]
Tensor.to_sparse = lambda self, sparse_dim=None: __getattr__("sparse").from_dense(self, sparse_dim)  # type: ignore[attr-defined]


def _subclassed(cls: type) -> None:
    """A class of tensors may take functions over, unless it is one of parameters."""
    ours = cls.__module__.startswith("twofold.")
    if not ours and (not issubclass(cls, _Parameter) or hasattr(cls, "__torch_function__")):
        __getattr__("overrides").prepare(cls)  # type: ignore[attr-defined]


_CLASSES.append(_subclassed)
Tensor.as_subclass = lambda self, cls: __getattr__("overrides").as_subclass(self, cls)  # type: ignore[attr-defined]
# A file that holds a graph, or one of torch.save's: its reader is imported when there is one.
_OPENERS["twofold.graph"] = lambda saved: __getattr__("open_graph")(saved)
_READERS[b"PK\x03\x04"] = lambda file: __getattr__("load_torch")(file)
_LATE_CALLS["backed"] = lambda function, backend: __getattr__("fx").Backed(function, backend)
_NAMESPACES["aten"] = lambda: __getattr__("aten").aten  # type: ignore[attr-defined]
_trim_tracebacks(lambda: flags.debug > 0)
if _collecting:
    # All that is there grows old at once, unlooked at: the next collection has none of it to walk.
    _gc.freeze()
    _gc.unfreeze()
    _gc.enable()
