"""Which version this is, and of what it has none: CUDA, ROCm. Floor 0."""

__version__ = "0.1.0"
cuda: None = None
hip: None = None
debug = False
git_version = ""
