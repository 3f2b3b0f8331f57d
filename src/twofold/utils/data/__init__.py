"""`twofold.data` under PyTorch's name. Floor 13."""

from twofold.base.files import also_as as _also_as
from twofold.data import *
from twofold.data.collate import default_convert, np_str_obj_array_pattern
from twofold.data.sampler import DistributedSampler
from twofold.data.seeds import _generate_state
from twofold.data.workers import get_worker_info
from twofold.utils.data import dataloader, datapipes, dataset, sampler
from twofold.utils.data.datapipes.datapipe import IterDataPipe, MapDataPipe, functional_datapipe

_also_as(__name__, "_utils _utils.collate _utils.worker")
