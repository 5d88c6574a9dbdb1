"""Any server that speaks OpenAI's protocol: vLLM's own, or a hosted one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from harness.adapters.backends import Answer, Backend, Sampling
from harness.adapters.generator_settings import GeneratorMachine, GeneratorSettings
from harness.adapters.prompts import Prompt
from harness.adapters.weights import EMBEDDED_PREFIX

from harness.errors import ServerError

_NO_KEY = "none"  # what servers without keys are sent
_FIRST = 3  # retries until a server must have said which model it serves
_NONSENSE = (AttributeError, TypeError, ValueError, LookupError)  # what answers of another kind lead to


class OpenAI(Backend):
    """Concurrent requests; each is tried again with growing pauses, as long as a server's `Retry-After` asks for.

    `complete` raises ServerError when that does not help; answers that are under way then are still given.
    """

    @classmethod
    def missing(cls, settings: GeneratorSettings) -> str:
        machine = settings.machine
        variable = _key_variable(machine)
        if machine.url or os.environ.get(variable):
            return ""
        return (
            f"The backend openai needs a server: --set machine.url=http://HOST:PORT/v1, or a key in the environment "
            f"variable {variable} for OpenAI's own (--set machine.key_variable=NAME for another variable)."
        )

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        from openai import OpenAIError

        limit = self.settings.machine.concurrency
        waiting = iter(enumerate(prompts))
        running: dict[Future[Answer], int] = {}
        failure: Exception | None = None
        with self._client() as client, ThreadPoolExecutor(limit) as pool:
            try:
                model = self._model(client.with_options(max_retries=min(_FIRST, client.max_retries)))
            except (OpenAIError, *_NONSENSE) as error:
                raise ServerError(self._explained(error)) from error
            while True:
                while not failure and len(running) < limit and (following := next(waiting, None)):
                    running[pool.submit(_ask, client, model, following[1], sampling)] = following[0]
                if not running:
                    break
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(done)
                    try:
                        answer = done.result()
                    except (OpenAIError, *_NONSENSE) as error:
                        failure = failure or error
                        continue
                    yield index, answer
        if failure:  # after all answers under way were kept
            raise ServerError(self._explained(failure)) from failure

    def _client(self) -> Any:
        from openai import OpenAI as Client

        machine = self.settings.machine
        return Client(
            base_url=machine.url or None,
            api_key=os.environ.get(_key_variable(machine)) or _NO_KEY,
            max_retries=machine.retries,
            timeout=machine.timeout_seconds,
        )

    def _model(self, client: Any) -> str:
        """The name by which the server knows the model: the one it serves, where it serves one."""
        if self.settings.served_model or self.folder is None:
            return self.settings.served_model or self.settings.model.path
        served = [str(model.id) for model in client.models.list()]
        known = [name for name in served if self._is_ours(name)]
        if len(known) != 1:
            raise ServerError(
                f"{self._where()} serves {', '.join(served) or 'no model'}; if one of them is "
                f"{self.settings.model.path}, say --set served_model=NAME."
            )
        return known[0]

    def _is_ours(self, name: str) -> bool:
        """Whether a server's name for a model says that it is the one that is here: its path, or the last part."""
        assert self.folder is not None
        path = self.settings.model.path.removeprefix(EMBEDDED_PREFIX)
        return Path(name).name in (Path(path).name, self.folder.name)

    def _where(self) -> str:
        return self.settings.machine.url or "OpenAI's server"

    def _explained(self, error: Exception) -> str:
        from openai import AuthenticationError, BadRequestError, NotFoundError, PermissionDeniedError

        if isinstance(error, (AuthenticationError, PermissionDeniedError)):
            variable = _key_variable(self.settings.machine)
            key = f"the key in {variable}" if variable else "requests without a key: --set machine.key_variable=NAME"
            return f"{self._where()} does not take {key} ({error})."
        if isinstance(error, _NONSENSE):
            return f"{self._where()} answers, but not as OpenAI's protocol has it ({type(error).__name__}: {error})."
        if isinstance(error, BadRequestError):
            return f"{self._where()} refuses the request ({error})."
        if isinstance(error, NotFoundError):
            return (
                f"{self._where()} does not know the model, or not this way of asking it ({error}). Name the model with "
                "--set served_model=NAME; a server of chats alone needs --set prompt.style=chat."
            )
        return (
            f"{self._where()} does not answer ({type(error).__name__}: {error}). Its answers so far are kept: the same "
            "command goes on from there. More patience: --set machine.retries=N, machine.timeout_seconds=N."
        )


def _key_variable(machine: GeneratorMachine) -> str:
    """The environment variable whose value is sent as a key; none to a server that is not OpenAI's, unless named."""
    return machine.key_variable or ("" if machine.url else "OPENAI_API_KEY")


def _ask(client: Any, model: str, prompt: Prompt, sampling: Sampling) -> Answer:
    from openai import BadRequestError

    asked: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed if sampling.temperature else None,
        "stop": list(sampling.stop) or None,
    }
    try:
        return _ask_chat(client, prompt, sampling, asked) if prompt.chat else _ask_text(client, prompt, sampling, asked)
    except BadRequestError as error:  # this prompt: too long, or not to the server's liking
        return Answer("", 0, 0, refused=str(error))


def _ask_chat(client: Any, prompt: Prompt, sampling: Sampling, asked: dict[str, Any]) -> Answer:
    if sampling.schema:
        whole = {"type": "object", "properties": {"mentions": sampling.schema}, "required": ["mentions"]}
        held = {"name": "mentions", "schema": {**whole, "additionalProperties": False}, "strict": False}
        asked["response_format"] = {"type": "json_schema", "json_schema": held}
    found = client.chat.completions.create(messages=prompt.messages, max_completion_tokens=sampling.max_tokens, **asked)
    return _answer(found, found.choices[0].message.content)


def _ask_text(client: Any, prompt: Prompt, sampling: Sampling, asked: dict[str, Any]) -> Answer:
    if sampling.schema:
        asked["extra_body"] = {"structured_outputs": {"json": sampling.schema}}
    found = client.completions.create(prompt=prompt.turns[0], max_tokens=sampling.max_tokens, **asked)
    return _answer(found, found.choices[0].text)


def _answer(found: Any, text: str | None) -> Answer:
    usage = found.usage
    read, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return Answer(text or "", read, written, found.choices[0].finish_reason == "length")
