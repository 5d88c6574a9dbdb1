"""The backend openai against a server that is busy, breaks, and then answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness.adapters.backends import Sampling
from harness.adapters.backends.openai import OpenAI
from harness.adapters.generator import Generator
from harness.adapters.generator_settings import GeneratorSettings
from harness.adapters.prompts import Prompt

from harness.errors import ServerError
from harness.settings import build, merged

SECRET = "sk-not-to-be-written-down"


class Busy(ThreadingHTTPServer):
    """Refuses each request once (too many, then broken), and notes what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.refused: dict[str, int] = {}
        self.under_way = self.most = 0
        self.met, self.patience = threading.Event(), 0.0  # how long a request waits for another, in seconds
        self.always = 0
        self.dies_after = 10**9
        self.nonsense = False
        self.serves = "hosted"
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    server: Busy

    def do_GET(self) -> None:
        if self.server.nonsense:
            self.answer(200, "hello")
            return
        self.answer(200, {"object": "list", "data": [{"id": self.server.serves, "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = json.dumps(body)
        server = self.server
        with server.lock:
            server.keys.add(self.headers["Authorization"])
            server.under_way += 1
            server.most = max(server.most, server.under_way)
            if server.under_way > 1:
                server.met.set()
            turn = server.refused[content] = server.refused.get(content, 0) + 1
        server.met.wait(server.patience)
        time.sleep(0.02)  # so that requests meet
        try:
            if server.nonsense:
                self.answer(200, ["hello"])
                return
            if "too long" in content:
                self.answer(400, {"error": {"message": "too long"}})
                return
            dead = server.always or (503 if len(server.asked) >= server.dies_after else 0)
            if dead or turn <= 2:
                self.answer(dead or (429, 500)[turn - 1], {"error": {"message": "busy"}}, {"Retry-After": "0"})
                return
            with server.lock:
                server.asked.append(body)
            self.answer(200, self.completion(body))
        finally:
            with server.lock:
                server.under_way -= 1

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        answer = {"id": "1", "created": 0, "model": "served", "usage": usage}
        if self.path.endswith("/chat/completions"):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "chat:x"}}
            return {**answer, "object": "chat.completion", "choices": [choice]}
        choice = {"index": 0, "finish_reason": "length", "text": f"{body['prompt']}:x"}
        return {**answer, "object": "text_completion", "choices": [choice]}

    def answer(self, code: int, content: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[Busy]:
    server = Busy()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def backend(server: Busy, **machine: Any) -> OpenAI:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    values = {
        "model": {"path": "hosted"},
        "backend": "openai",
        "machine": merged({"url": url, "concurrency": 3, "retries": 4}, machine),
    }
    return OpenAI(build(GeneratorSettings, values, "test"), Path())


def test_requests_are_tried_again_and_answers_keep_their_places(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    busy.patience = 30
    made = backend(busy, key_variable="OPENAI_API_KEY")
    prompts = [Prompt((f"p{i}",), False) for i in range(10)]
    found = dict(made.complete(prompts, Sampling(7, stop=("\n",))))
    assert {index: answer.text for index, answer in found.items()} == {i: f"p{i}:x" for i in range(10)}
    assert (found[0].prompt_tokens, found[0].completion_tokens, found[0].cut) == (5, 3, True)
    assert len(busy.asked) == 10
    assert 1 < busy.most <= 3
    assert busy.keys == {f"Bearer {SECRET}"}
    assert busy.asked[0]["model"] == "hosted"
    assert (busy.asked[0]["max_tokens"], busy.asked[0]["stop"]) == (7, ["\n"])


def test_a_key_goes_to_no_server_that_it_was_not_named_for(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    list(backend(busy).complete([Prompt(("p",), False)], Sampling(7)))
    assert busy.keys == {"Bearer none"}


@pytest.mark.parametrize("serves", ["/somewhere/hosted", "hosted"])
def test_a_server_may_call_the_model_by_its_path(busy: Busy, serves: str) -> None:
    busy.serves = serves
    list(backend(busy).complete([Prompt(("p",), False)], Sampling(7)))
    assert busy.asked[0]["model"] == serves


def test_a_server_of_another_model_is_refused(busy: Busy) -> None:
    busy.serves = "another"
    with pytest.raises(ServerError, match=r"serves another; if one of them is hosted, say --set served_model=NAME"):
        list(backend(busy).complete([Prompt(("p",), False)], Sampling(7)))
    assert not busy.asked


def test_what_servers_answer_is_kept_apart(busy: Busy) -> None:
    ours, theirs = (backend(busy, url=url).settings for url in ("http://ours:1/v1", "http://theirs:1/v1"))
    assert Generator.fingerprint(ours) != Generator.fingerprint(theirs)


def test_chats_and_schemas(busy: Busy) -> None:
    schema = {"type": "array"}
    made = backend(busy)
    [(_, chat)] = made.complete([Prompt(("ask",), True)], Sampling(7, schema=schema))
    [(_, plain)] = made.complete([Prompt(("ask",), False)], Sampling(7, schema=schema))
    assert (chat.text, chat.cut, plain.text) == ("chat:x", False, "ask:x")
    assert busy.asked[0]["messages"] == [{"role": "user", "content": "ask"}]
    assert busy.asked[0]["response_format"]["json_schema"]["schema"]["properties"] == {"mentions": schema}
    assert busy.asked[1]["structured_outputs"] == {"json": schema}


def test_a_server_that_never_answers_is_one_clear_paragraph(busy: Busy, tmp_path: Path) -> None:
    busy.always = 500
    made = backend(busy, retries=1)
    with pytest.raises(ServerError, match=r"does not answer .*machine\.retries"):
        list(made.complete([Prompt(("p",), False)] * 5, Sampling(7)))


def test_a_refused_prompt_costs_itself_alone(busy: Busy) -> None:
    found = dict(backend(busy).complete([Prompt((text,), False) for text in ("p", "too long", "q")], Sampling(7)))
    assert [bool(found[i].refused) for i in range(3)] == [False, True, False]
    assert "too long" in found[1].refused


def test_a_wrong_key_and_an_unknown_model_are_said(busy: Busy) -> None:
    refused = [(401, "", "requests without a key: --set machine.key_variable"), (404, "", "served_model=NAME")]
    for code, variable, says in [*refused, (401, "SECRET", "does not take the key in SECRET")]:
        busy.always = code
        with pytest.raises(ServerError, match=says):
            list(backend(busy, key_variable=variable).complete([Prompt(("p",), False)], Sampling(7)))


def test_a_server_that_refuses_every_prompt_makes_no_run(
    harness: Callable[..., Any], busy: Busy, tmp_path: Path
) -> None:
    busy.always, busy.serves = 400, "smollm2"
    command = ["run", "-s", "smollm2-0shot", "--task", "lookright", "--limit", "3", "--runs", tmp_path]
    command += ["--set", "backend=openai", "--set", f"machine.url=http://127.0.0.1:{busy.server_port}/v1"]
    for _ in range(3):
        failed = harness(*command)
        assert failed.code == 2
        assert "refused every prompt" in failed.err
        assert "busy" in failed.err
    assert not list(tmp_path.rglob("record.json"))


def test_a_server_of_something_else_is_told_from_one_that_is_down(
    harness: Callable[..., Any], busy: Busy, tmp_path: Path
) -> None:
    busy.nonsense = True
    command = ["run", "-s", "smollm2-0shot", "--task", "lookright", "--limit", "3", "--runs", tmp_path]
    command += ["--set", "backend=openai", "--set"]
    url = f"http://127.0.0.1:{busy.server_port}/v1"
    for more in ([], ["--set", "served_model=x"]):
        failed = harness(*command, f"machine.url={url}", *more)
        assert failed.code == 2
        assert "not as OpenAI's protocol has it" in failed.err
    assert "must be http://" in harness(*command, f"machine.url=127.0.0.1:{busy.server_port}").err
    busy.server_close()


def test_the_next_command_asks_only_what_was_not_answered(
    harness: Callable[..., Any], busy: Busy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a server that stayed away; and the key is written nowhere."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    busy.dies_after, busy.serves = 9, "smollm2"
    command = ["run", "-s", "smollm2-0shot", "--task", "lookright", "--limit", "10", "--runs", tmp_path]
    command += ["--set", "prompt.style=sections", "--set", "backend=openai"]
    command += ["--set", f"machine.url=http://127.0.0.1:{busy.server_port}/v1", "--set", "machine.concurrency=2"]
    command += ["--set", "machine.key_variable=OPENAI_API_KEY"]
    failed = harness(*command, "--set", "machine.retries=3")
    assert (failed.code, "answers so far are kept" in failed.err) == (2, True), failed.err
    busy.dies_after = 10**9
    done = harness(*command, "--set", "machine.retries=3")
    assert done.code == 0, done.err
    prompts = [body["prompt"] for body in busy.asked]
    assert len(prompts) == len(set(prompts)) == 20
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
