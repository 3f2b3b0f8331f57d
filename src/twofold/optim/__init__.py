"""Floor 11: optimizers and schedules."""

from twofold.optim import lr_scheduler as lr_scheduler
from twofold.optim.adam import Adam as Adam
from twofold.optim.adam import AdamW as AdamW
from twofold.optim.optimizer import Optimizer as Optimizer
from twofold.optim.sgd import SGD as SGD
