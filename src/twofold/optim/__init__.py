"""Floor 11: optimizers and schedules."""

from twofold.optim import lr_scheduler as lr_scheduler
from twofold.optim.optimizer import Optimizer as Optimizer
