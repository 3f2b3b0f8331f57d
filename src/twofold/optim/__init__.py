"""Floor 11: optimizers and schedules."""

from twofold.base.files import also_as as _also_as
from twofold.optim import lr_scheduler as lr_scheduler
from twofold.optim import swa_utils as swa_utils
from twofold.optim.adafactor import Adafactor as Adafactor
from twofold.optim.adam import Adam as Adam
from twofold.optim.adam import AdamW as AdamW
from twofold.optim.adam_kin import Adamax as Adamax
from twofold.optim.adam_kin import NAdam as NAdam
from twofold.optim.adam_kin import RAdam as RAdam
from twofold.optim.adaptive import ASGD as ASGD
from twofold.optim.adaptive import Adadelta as Adadelta
from twofold.optim.adaptive import Adagrad as Adagrad
from twofold.optim.adaptive import Lion as Lion
from twofold.optim.adaptive import RMSprop as RMSprop
from twofold.optim.adaptive import Rprop as Rprop
from twofold.optim.lbfgs import LBFGS as LBFGS
from twofold.optim.muon import Muon as Muon
from twofold.optim.optimizer import Optimizer as Optimizer
from twofold.optim.sgd import SGD as SGD
from twofold.optim.sparse_adam import SparseAdam as SparseAdam

# Each optimizer is found in the file that PyTorch has it in.
_also_as(__name__, "adadelta adagrad adamax adamw asgd nadam radam rmsprop rprop")
