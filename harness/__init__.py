"""Systems produce, the harness judges: one protocol for every way to label a sequence."""

from harness import version

__version__ = version.VERSION
__all__ = ["__version__"]
