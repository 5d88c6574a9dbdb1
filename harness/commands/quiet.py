"""How other packages behave in a process of ours: what they print, and how their threads wait."""

from __future__ import annotations

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Keep other packages' bars and advice out of our output; their warnings of trouble stay."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)


def wait_briefly() -> None:
    """Have OpenMP's threads sleep soon while they wait for one another, before torch is imported.

    Waiting busily, as libgomp has them for long, they take the cores from another process: two runs on all cores side
    by side take many times as long as one. What the user set goes before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # turns of a loop
