"""Experiment trackers (tensorboard, wandb, ...) beside the run's own log, through accelerate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from harness.contracts import Context

Log = Callable[[Mapping[str, float]], None]


def missing(names: Sequence[str]) -> str:
    """Which of these trackers cannot be used here, or an empty text."""
    if not names:
        return ""
    from accelerate.tracking import get_available_trackers

    known = {tracker.value for tracker in get_available_trackers()}
    absent = [name for name in names if name not in known]
    if not absent:
        return ""
    return (
        f"machine.report_to names {', '.join(absent)}, which accelerate does not know or whose package is not "
        f"installed. Available: {', '.join(sorted(known)) or 'none'}; install its package or leave it out."
    )


@contextmanager
def reporting(names: Sequence[str], context: Context) -> Iterator[Log]:
    """What to call with each row of training progress: the run's log, and the trackers where any are named."""
    if not names:
        yield context.log
        return
    from accelerate import Accelerator

    accelerator = Accelerator(log_with=list(names), project_dir=context.folder / "trackers")
    accelerator.init_trackers("harness")

    def log(row: Mapping[str, float]) -> None:
        context.log(row)
        accelerator.log(dict(row), step=int(row["update"]))

    try:
        yield log
    finally:
        accelerator.end_training()
