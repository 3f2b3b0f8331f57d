"""What one does with parameters: clip, flatten, reparametrize, prune, fuse; packed sequences."""

from twofold.nn.utils import parametrizations as parametrizations
from twofold.nn.utils import parametrize as parametrize
from twofold.nn.utils import prune as prune
from twofold.nn.utils import rnn as rnn
from twofold.nn.utils.fusion import fuse_conv_bn_eval as fuse_conv_bn_eval
from twofold.nn.utils.fusion import fuse_conv_bn_weights as fuse_conv_bn_weights
from twofold.nn.utils.fusion import fuse_linear_bn_eval as fuse_linear_bn_eval
from twofold.nn.utils.gradients import clip_grad_norm_ as clip_grad_norm_
from twofold.nn.utils.gradients import clip_grad_value_ as clip_grad_value_
from twofold.nn.utils.gradients import clip_grads_with_norm_ as clip_grads_with_norm_
from twofold.nn.utils.gradients import get_total_norm as get_total_norm
from twofold.nn.utils.gradients import parameters_to_vector as parameters_to_vector
from twofold.nn.utils.gradients import vector_to_parameters as vector_to_parameters
from twofold.nn.utils.norms import old_weight_norm as weight_norm
from twofold.nn.utils.norms import remove_weight_norm as remove_weight_norm
from twofold.nn.utils.norms import spectral_norm as spectral_norm
