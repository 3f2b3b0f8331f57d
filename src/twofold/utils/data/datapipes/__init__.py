"""Data as pipes: streams and maps built upon each other, under PyTorch names. Floor 13."""

from twofold.utils.data.datapipes import iter as iter
from twofold.utils.data.datapipes import map as map
from twofold.utils.data.datapipes.datapipe import IterDataPipe as IterDataPipe
from twofold.utils.data.datapipes.datapipe import MapDataPipe as MapDataPipe
from twofold.utils.data.datapipes.datapipe import functional_datapipe as functional_datapipe
