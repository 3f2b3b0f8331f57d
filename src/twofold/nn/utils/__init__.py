"""What one does with parameters: clip, flatten, reparametrize, prune, fuse; packed sequences."""

from twofold.nn.utils import rnn as rnn
from twofold.nn.utils.gradients import clip_grad_norm_ as clip_grad_norm_
from twofold.nn.utils.gradients import clip_grad_value_ as clip_grad_value_
from twofold.nn.utils.gradients import clip_grads_with_norm_ as clip_grads_with_norm_
from twofold.nn.utils.gradients import get_total_norm as get_total_norm
from twofold.nn.utils.gradients import parameters_to_vector as parameters_to_vector
from twofold.nn.utils.gradients import vector_to_parameters as vector_to_parameters
