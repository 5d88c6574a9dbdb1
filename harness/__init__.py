"""Systems produce, the harness judges: one protocol for every way to label a sequence."""

from harness.version import VERSION as __version__

__all__ = ["__version__"]
