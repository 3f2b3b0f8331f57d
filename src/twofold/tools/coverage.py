"""Which of PyTorch's operations there are, as docs/reference/coverage.md: python -m
twofold.tools.coverage [--write]. Floor 14.

The names are PyTorch's public ones that exist here, and all that the best known model libraries
call.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from twofold import nn
from twofold.ops.tensor import Tensor

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "coverage.md"
NAMES = {
    "twofold": """
_softmax_backward_data abs absolute acos acosh adaptive_avg_pool1d adaptive_max_pool1d add
addbmm addcdiv addcmul addmm addmv addr adjoint alias_copy all allclose alpha_dropout amax
amin aminmax angle any apply_ arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh
are_deterministic_algorithms_enabled argmax argmin argsort argwhere as_strided
as_strided_copy as_strided_scatter as_subclass as_tensor asarray asin asinh atan atan2 atanh
atleast_1d atleast_2d atleast_3d avg_pool1d backward baddbmm bartlett_window batch_norm
bernoulli bfloat16 bilinear binary_cross_entropy_with_logits bincount binomial bitwise_and
bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor blackman_window
block_diag bmm bool broadcast_shapes broadcast_tensors broadcast_to bucketize byte can_cast
cartesian_prod cat cauchy_ cdist cdouble ceil celu cfloat chain_matmul channel_shuffle char
cholesky cholesky_inverse cholesky_solve chunk clamp clamp_max clamp_min clip clone
column_stack combinations compile compiled_with_cxx11_abi complex concat concatenate cond
conj conj_physical constant_pad_nd contiguous conv1d conv2d conv3d conv_transpose1d
conv_transpose2d conv_transpose3d copy_ copysign corrcoef cos cosh cosine_embedding_loss
cosine_similarity count_nonzero cov cross ctc_loss cuda cummax cummin cumprod cumsum
cumulative_trapezoid data_ptr deg2rad det detach detach_copy diag diag_embed diagflat
diagonal diagonal_copy diagonal_scatter diff digamma dim dim_order dist div divide dot
double dropout dsplit dstack einsum element_size embedding empty empty_like empty_permuted
empty_strided eq equal erf erfc erfinv exp exp2 expand expand_as expand_copy expm1
exponential exponential_ eye feature_alpha_dropout fill fill_diagonal_ fix flatten flip
fliplr flipud float float_power floor floor_divide fmax fmin fmod frac frexp frobenius_norm
from_dlpack from_numpy frombuffer full full_like gather gcd ge geometric_ geqrf ger
get_autocast_cpu_dtype get_autocast_dtype get_default_device get_default_dtype
get_deterministic_debug_mode get_device get_float32_matmul_precision get_num_interop_threads
get_num_threads get_rng_state gradient greater greater_equal grid_sampler grid_sampler_2d
grid_sampler_3d group_norm gt half hamming_window hann_window hardshrink heaviside
hinge_embedding_loss histc histogram histogramdd hsplit hstack hypot i0 igamma igammac imag
index_add index_copy index_fill index_put index_reduce index_select initial_seed inner
instance_norm int inverse isclose isfinite isin isinf isnan isneginf isposinf isreal istft
item kaiser_window kl_div kron kthvalue layer_norm lcm ldexp le lerp less less_equal lgamma
linspace load log log10 log1p log2 log_normal_ log_softmax logaddexp logaddexp2 logcumsumexp
logdet logical_and logical_not logical_or logical_xor logit logspace logsumexp long lt lu
lu_solve lu_unpack manual_seed map2_ map_ margin_ranking_loss masked_fill masked_scatter
masked_select matmul matrix_exp matrix_power max max_pool1d max_pool2d max_pool3d maximum
mean median meshgrid min minimum mm mode moveaxis movedim msort mul multinomial multiply mv
mvlgamma nan_to_num nanmean nanmedian nanquantile nansum narrow narrow_copy
native_batch_norm native_dropout native_group_norm native_layer_norm ndimension ne neg
negative nelement new new_empty new_empty_strided new_full new_ones new_tensor new_zeros
nextafter nonzero nonzero_static norm norm_except_dim normal not_equal nuclear_norm numel
numpy ones ones_like orgqr ormqr outer pairwise_distance pca_lowrank pdist permute
permute_copy pin_memory pinverse pixel_shuffle pixel_unshuffle poisson poisson_nll_loss
polar polygamma positive pow prelu prod promote_types put qr quantile rad2deg rand rand_like
randint randint_like randn randn_like random_ randperm range ravel real reciprocal
register_hook register_post_accumulate_grad_hook relu remainder renorm repeat
repeat_interleave requires_grad_ reshape reshape_as resize_ resize_as_ resolve_conj
resolve_neg result_type retain_grad rms_norm roll rot90 round row_stack rrelu rsqrt rsub
save scalar_tensor scatter scatter_add scatter_reduce searchsorted seed select select_copy
select_scatter selu set_default_device set_default_dtype set_default_tensor_type
set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal
set_num_interop_threads set_num_threads set_printoptions set_rng_state set_warn_always sgn
share_memory_ short sigmoid sign signbit sin sinc sinh size slice_copy slice_scatter slogdet
softmax sort sparse_coo_tensor sparse_csr_tensor split split_copy split_with_sizes
split_with_sizes_copy spmm sqrt square squeeze squeeze_copy stack std std_mean stft
storage_offset stride sub subtract sum sum_to_size svd svd_lowrank swapaxes swapdims
sym_float sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum t t_copy take
take_along_dim tan tanh tensor tensor_split tensordot threshold tile to to_sparse
to_sparse_csr tolist topk trace transpose transpose_copy trapezoid trapz triangular_solve
tril tril_indices triplet_margin_loss triu triu_indices true_divide trunc type type_as
typename unbind unbind_copy unflatten unfold unfold_copy uniform uniform_ unique
unique_consecutive unravel_index unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze
unsqueeze_copy untyped_storage use_deterministic_algorithms vander var var_mean vdot view
view_as view_as_complex view_as_complex_copy view_as_real view_as_real_copy view_copy vmap
vsplit vstack where while_loop xlogy zero_ zeros zeros_like
    """,
    "twofold.nn.functional": """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
adaptive_max_pool2d adaptive_max_pool3d affine_grid alpha_dropout avg_pool1d avg_pool2d
avg_pool3d batch_norm bilinear binary_cross_entropy binary_cross_entropy_with_logits celu
celu_ channel_shuffle conv1d conv2d conv3d conv_transpose1d conv_transpose2d
conv_transpose3d cosine_embedding_loss cosine_similarity cross_entropy ctc_loss dropout
dropout1d dropout2d dropout3d elu elu_ embedding embedding_bag feature_alpha_dropout fold
fractional_max_pool2d fractional_max_pool3d gaussian_nll_loss gelu glu grid_sample
group_norm gumbel_softmax hardshrink hardsigmoid hardswish hardtanh hardtanh_
hinge_embedding_loss huber_loss instance_norm interpolate kl_div l1_loss layer_norm
leaky_relu leaky_relu_ linear linear_cross_entropy local_response_norm log_softmax
logsigmoid lp_pool1d lp_pool2d lp_pool3d margin_ranking_loss max_pool1d
max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d
max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d mish mse_loss
multi_head_attention_forward multi_margin_loss multilabel_margin_loss
multilabel_soft_margin_loss nll_loss normalize one_hot pad pairwise_distance pdist
pixel_shuffle pixel_unshuffle poisson_nll_loss prelu relu relu6 relu_ rms_norm rrelu rrelu_
scaled_dot_product_attention selu selu_ sigmoid silu smooth_l1_loss soft_margin_loss softmax
softmin softplus softshrink softsign tanh tanhshrink threshold threshold_
triplet_margin_loss triplet_margin_with_distance_loss unfold upsample upsample_bilinear
upsample_nearest
    """,
    "twofold.nn": """
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss
AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d
AvgPool3d BCELoss BCEWithLogitsLoss BatchNorm1d BatchNorm2d BatchNorm3d Bilinear Buffer CELU
CTCLoss ChannelShuffle CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d
ConstantPad3d Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss CrossMapLRN2d DataParallel Dropout
Dropout1d Dropout2d Dropout3d ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold
FractionalMaxPool2d FractionalMaxPool3d GELU GLU GRU GRUCell GaussianNLLLoss GroupNorm
Hardshrink Hardsigmoid Hardswish Hardtanh HingeEmbeddingLoss HuberLoss Identity
InstanceNorm1d InstanceNorm2d InstanceNorm3d KLDivLoss L1Loss LPPool1d LPPool2d LPPool3d
LSTM LSTMCell LayerNorm LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d
LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d
LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LazyLinear LeakyReLU Linear
LinearCrossEntropyLoss LinearCrossEntropyOptions LocalResponseNorm LogSigmoid LogSoftmax
MSELoss MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d
Mish Module ModuleDict ModuleList MultiLabelMarginLoss MultiLabelSoftMarginLoss
MultiMarginLoss MultiheadAttention NLLLoss NLLLoss2d PReLU PairwiseDistance Parameter
ParameterDict ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss RMSNorm RNN RNNBase
RNNCell RNNCellBase RReLU ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d
ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU Sequential SiLU Sigmoid SmoothL1Loss
SoftMarginLoss Softmax Softmax2d Softmin Softplus Softshrink Softsign SyncBatchNorm Tanh
Tanhshrink Threshold Transformer TransformerDecoder TransformerDecoderLayer
TransformerEncoder TransformerEncoderLayer TripletMarginLoss TripletMarginWithDistanceLoss
Unflatten Unfold UninitializedBuffer UninitializedParameter Upsample UpsamplingBilinear2d
UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
    """,
    "twofold.nn.grad": """
conv1d_input conv1d_weight conv2d_input conv2d_weight conv3d_input conv3d_weight
    """,
    "twofold.nn.init": """
calculate_gain constant constant_ dirac dirac_ eye eye_ kaiming_normal kaiming_normal_
kaiming_uniform kaiming_uniform_ normal normal_ ones_ orthogonal orthogonal_ sparse sparse_
trunc_normal_ uniform uniform_ xavier_normal xavier_normal_ xavier_uniform xavier_uniform_
zeros_
    """,
    "twofold.nn.utils": """
clip_grad_norm clip_grad_norm_ clip_grad_value_ clip_grads_with_norm_
convert_conv2d_weight_memory_format convert_conv3d_weight_memory_format fuse_conv_bn_eval
fuse_conv_bn_weights fuse_linear_bn_eval fuse_linear_bn_weights get_total_norm
parameters_to_vector parametrizations parametrize remove_spectral_norm remove_weight_norm
rnn skip_init spectral_norm stateless vector_to_parameters weight_norm
    """,
    "twofold.nn.utils.prune": """
BasePruningMethod CustomFromMask Identity L1Unstructured LnStructured PruningContainer
RandomStructured RandomUnstructured custom_from_mask global_unstructured identity is_pruned
l1_unstructured ln_structured random_structured random_unstructured remove
    """,
    "twofold.linalg": """
LinAlgError cholesky cholesky_ex cond cross det diagonal eig eigh eigvals eigvalsh
householder_product inv inv_ex ldl_factor ldl_factor_ex ldl_solve lstsq lu lu_factor
lu_factor_ex lu_solve matmul matrix_exp matrix_norm matrix_power matrix_rank multi_dot norm
pinv qr slogdet solve solve_ex solve_triangular svd svdvals tensorinv tensorsolve vander
vecdot vector_norm
    """,
    "twofold.fft": """
fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn
rfft rfft2 rfftfreq rfftn
    """,
    "twofold.special": """
airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t
chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w digamma entr erf erfc
erfcx erfinv exp2 expit expm1 gammainc gammaincc gammaln hermite_polynomial_h
hermite_polynomial_he i0 i0e i1 i1e laguerre_polynomial_l legendre_polynomial_p log1p
log_ndtr log_softmax logit logsumexp modified_bessel_i0 modified_bessel_i1
modified_bessel_k0 modified_bessel_k1 multigammaln ndtr ndtri polygamma psi round
scaled_modified_bessel_k0 scaled_modified_bessel_k1 shifted_chebyshev_polynomial_t
shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
sinc softmax spherical_bessel_j0 xlog1py xlogy zeta
    """,
    "twofold.optim": """
ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam Optimizer RAdam RMSprop
Rprop SGD SparseAdam lr_scheduler swa_utils
    """,
    "twofold.distributions": """
AbsTransform AffineTransform Bernoulli Beta Binomial CatTransform Categorical Cauchy Chi2
ComposeTransform ContinuousBernoulli CorrCholeskyTransform CumulativeDistributionTransform
Dirichlet Distribution ExpTransform Exponential ExponentialFamily FisherSnedecor Gamma
GeneralizedPareto Geometric Gumbel HalfCauchy HalfNormal Independent IndependentTransform
InverseGamma Kumaraswamy LKJCholesky Laplace LogNormal LogisticNormal
LowRankMultivariateNormal LowerCholeskyTransform MixtureSameFamily Multinomial
MultivariateNormal NegativeBinomial Normal OneHotCategorical
OneHotCategoricalStraightThrough Pareto Poisson PositiveDefiniteTransform PowerTransform
RelaxedBernoulli RelaxedOneHotCategorical ReshapeTransform SigmoidTransform SoftmaxTransform
SoftplusTransform StackTransform StickBreakingTransform StudentT TanhTransform Transform
TransformedDistribution Uniform VonMises Weibull Wishart biject_to identity_transform
kl_divergence register_kl transform_to
    """,
    "twofold.testing": """
assert_allclose assert_close make_tensor
    """,
    "twofold.nn.modules.module": """
register_module_backward_hook register_module_buffer_registration_hook
register_module_forward_hook register_module_forward_pre_hook
register_module_full_backward_hook register_module_full_backward_pre_hook
register_module_module_registration_hook register_module_parameter_registration_hook
    """,
}
HEADER = """# Operations

Operations, layers and tools by PyTorch's names, and the forms in which they exist here: as a
function of the module, as a method of Tensor, and as the method that writes in place.
Written by `python -m twofold.tools.coverage --write`.
"""


class Row(NamedTuple):
    """One operation, and the forms in which it exists."""

    name: str
    function: bool
    method: bool
    in_place: bool


def module_of(path: str) -> object:
    """The module that a heading names."""
    return nn.functional if path == "twofold.nn.functional" else importlib.import_module(path)


def rows(path: str) -> list[Row]:
    """The operations under one heading."""
    module = module_of(path)
    methods = Tensor if path == "twofold" else None
    made = []
    for name in NAMES[path].split():
        in_place = name if name.endswith("_") else f"{name}_"
        made.append(
            Row(
                name,
                hasattr(module, name),
                methods is not None and hasattr(methods, name),
                methods is not None and hasattr(methods, in_place),
            )
        )
    return made


def render() -> Iterator[str]:
    """The page, line by line."""
    yield HEADER
    for path in NAMES:
        yield f"\n## {path}\n\n"
        wide = path == "twofold"
        yield "| operation | function |" + (" method | in place |" if wide else "") + "\n"
        yield "|---|---|" + ("---|---|" if wide else "") + "\n"
        for row in rows(path):
            forms = row[1:] if wide else row[1:2]
            yield f"| `{row.name}` | " + " | ".join("yes" if f else "" for f in forms) + " |\n"


def main(arguments: list[str]) -> int:
    text = "".join(render())
    if arguments == ["--write"]:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
