"""Signal processing under PyTorch's names: windows. Floor 9."""

from twofold.signal import windows as windows
