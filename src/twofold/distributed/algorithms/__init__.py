"""Ways to train with several processes, under PyTorch's names, for one process. Floor 13."""

from twofold.distributed.algorithms import ddp_comm_hooks, join
from twofold.distributed.algorithms.join import Join as Join
from twofold.distributed.algorithms.join import Joinable as Joinable
from twofold.distributed.algorithms.join import JoinHook as JoinHook
