"""Any server that speaks OpenAI's protocol: vLLM's own, or a hosted one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from harness.adapters.backends import Answer, Backend, Sampling
from harness.adapters.generator_settings import GeneratorSettings
from harness.adapters.prompts import Prompt

from harness.errors import MissingModel

_NO_KEY = "none"  # what servers without keys are sent


class OpenAI(Backend):
    """Concurrent requests; each is tried again with growing pauses, as long as a server's `Retry-After` asks for."""

    @classmethod
    def missing(cls, settings: GeneratorSettings) -> str:
        machine = settings.machine
        if machine.url or os.environ.get(machine.key_variable):
            return ""
        return (
            f"The backend openai needs a server: --set machine.url=http://HOST:PORT/v1, or a key in the environment "
            f"variable {machine.key_variable} for OpenAI's own (--set machine.key_variable=NAME for another variable)."
        )

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        from openai import OpenAIError

        limit = self.settings.machine.concurrency
        waiting = iter(enumerate(prompts))
        running: dict[Future[Answer], int] = {}
        with self._client() as client, ThreadPoolExecutor(limit) as pool:
            try:
                model = self._model(client)
                while True:
                    while len(running) < limit and (following := next(waiting, None)):
                        running[pool.submit(_ask, client, model, following[1], sampling)] = following[0]
                    if not running:
                        return
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(done), done.result()
            except OpenAIError as error:
                raise MissingModel(self._explained(error)) from error
            finally:
                for future in running:
                    future.cancel()

    def _client(self) -> Any:
        from openai import OpenAI as Client

        machine = self.settings.machine
        return Client(
            base_url=machine.url or None,
            api_key=os.environ.get(machine.key_variable) or _NO_KEY,
            max_retries=machine.retries,
            timeout=machine.timeout_seconds,
        )

    def _model(self, client: Any) -> str:
        """The name by which the server knows the model: the one it serves, where it serves one."""
        machine = self.settings.machine
        if machine.served_model or not machine.url:
            return machine.served_model or self.settings.model.path
        served = [model.id for model in client.models.list()]
        return str(served[0]) if len(served) == 1 else self.settings.model.path

    def _explained(self, error: Exception) -> str:
        where = self.settings.machine.url or "OpenAI's server"
        return (
            f"{where} does not answer ({type(error).__name__}: {error}). Its answers are kept: the same command "
            "goes on from there. More patience: --set machine.retries=N, machine.timeout_seconds=N."
        )


def _ask(client: Any, model: str, prompt: Prompt, sampling: Sampling) -> Answer:
    common: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed if sampling.temperature else None,
        "stop": list(sampling.stop) or None,
    }
    if prompt.chat:
        if sampling.schema:
            held = {"name": "mentions", "schema": sampling.schema, "strict": False}
            common["response_format"] = {"type": "json_schema", "json_schema": held}
        chat = client.chat.completions.create(
            messages=prompt.messages, max_completion_tokens=sampling.max_tokens, **common
        )
        choice, text = chat.choices[0], chat.choices[0].message.content or ""
        usage = chat.usage
    else:
        if sampling.schema:
            common["extra_body"] = {"structured_outputs": {"json": sampling.schema}}
        plain = client.completions.create(prompt=prompt.turns[0], max_tokens=sampling.max_tokens, **common)
        choice, text, usage = plain.choices[0], plain.choices[0].text, plain.usage
    read, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return Answer(text, read, written, choice.finish_reason == "length")
