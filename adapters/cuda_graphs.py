"""Training's passes through blocks recorded as CUDA graphs, one for each size, and replayed when it comes again.

A GPU is done with a small model's kernels before Python has said what the next ones are; a recorded pass is started
as a whole. It reads and writes the same memory whenever it is replayed: what it is given is copied there.
Suffixes: N subwords, D width.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch

_MOST = 64  # sizes that are recorded, since each takes memory

Run = Callable[..., torch.Tensor]


class Recorder:
    """Runs passes and replays those of a size that was there before; one has to end before the next begins."""

    def __init__(self, trained: Sequence[torch.Tensor]) -> None:
        self.trained = list(trained)
        self.seen: set[Any] = set()
        self.recorded: dict[Any, _Recorded] = {}
        self.pool: Any = torch.cuda.graph_pool_handle()  # of memory, one for all
        self.passes = 0

    def __call__(self, run: Run, key: Any, hidden_ND: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        """What `run(hidden_ND, *given)` returns, of shape [N, D], with gradients of `hidden_ND` and what is `trained`.

        The next pass overwrites it. `key` tells runs apart that compute something else at the same sizes.
        """
        size = key, *(tensor.shape for tensor in (hidden_ND, *given))
        if size in self.seen and size not in self.recorded and len(self.recorded) < _MOST:
            self.recorded[size] = _Recorded(run, (hidden_ND, *given), self.trained, self.pool)
        self.seen.add(size)
        if size not in self.recorded:
            return run(hidden_ND, *given)
        self.passes += 1
        out_ND: torch.Tensor
        out_ND = _Replay.apply(self, size, given, hidden_ND, *self.trained)  # type: ignore[no-untyped-call]
        return out_ND


class _Recorded:
    """A pass of one size, ahead and back. What it is given, and its gradients, lie in the same memory every time."""

    def __init__(self, run: Run, given: Sequence[torch.Tensor], trained: Sequence[torch.Tensor], pool: Any) -> None:
        self.given = [tensor.detach().clone() for tensor in given]
        wanted = [self.given[0].requires_grad_(), *trained]
        self.shapes = [tensor.shape for tensor in trained]
        gc.collect()  # what is left of passes before would be written to from the wrong stream
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # what libraries prepare when they are first called cannot be recorded
            out_ND = run(*self.given)
            torch.autograd.grad(out_ND, wanted, torch.zeros_like(out_ND))
            del out_ND
        torch.cuda.current_stream().wait_stream(aside)
        self.ahead, self.back = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.ahead, pool):
            out_ND = run(*self.given)
        self.out_ND, self.grad_ND = out_ND.detach(), torch.zeros_like(out_ND)
        with torch.cuda.graph(self.back, pool):
            self.grad_of_hidden_ND, *grads = torch.autograd.grad(out_ND, wanted, self.grad_ND)
            self.grads = torch.cat([grad.flatten() for grad in grads])

    def run_ahead(self, *given: torch.Tensor) -> torch.Tensor:
        """Shape [N, D]: what the run returns, which the next overwrites."""
        for place, tensor in zip(self.given, given, strict=True):
            place.copy_(tensor)
        self.ahead.replay()
        return self.out_ND.detach()

    def run_back(self, grad_ND: torch.Tensor) -> list[torch.Tensor]:
        """The gradients of the hidden states and of all that is trained, which stay."""
        self.grad_ND.copy_(grad_ND)
        self.back.replay()
        parts = torch.split(self.grads.clone(), [shape.numel() for shape in self.shapes])
        return [
            self.grad_of_hidden_ND.clone(),
            *(part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)),
        ]


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, recorder: Recorder, size: Any, given: Sequence[torch.Tensor], hidden_ND: torch.Tensor, *_: torch.Tensor
    ) -> torch.Tensor:
        ctx.recorder, ctx.size, ctx.number = recorder, size, recorder.passes
        return recorder.recorded[size].run_ahead(hidden_ND, *given)

    @staticmethod
    def backward(ctx, grad_ND: torch.Tensor) -> Any:  # type: ignore[no-untyped-def]
        assert ctx.number == ctx.recorder.passes, "a pass has begun before the one before had ended"
        return None, None, None, *ctx.recorder.recorded[ctx.size].run_back(grad_ND)
