"""The SDKs of OpenAI and Anthropic, pointed at a server that is built with ssehub; and our client at the same."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import anthropic
import openai
import pytest
from fastapi import FastAPI

from app_thread import serving_here
from processes import ROOT, wait_for
from ssehub import EventSource, Hub, StatusError, UnfinishedError
from ssehub.fastapi import EventSourceResponse

EXAMPLES = str(ROOT / "examples" / "python")
HELLO = [{"role": "user", "content": "Hello, dear parrot"}]
FAIL = [{"role": "user", "content": "You will fail"}]
CUT = [{"role": "user", "content": "You will be cut"}]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """The server of the examples."""
    sys.path.insert(0, EXAMPLES)
    try:
        server: ModuleType = importlib.import_module("llm_server")
    finally:
        sys.path.remove(EXAMPLES)
    with server.running() as url:
        yield url


# OpenAI.


def ask_openai(base: str, messages: Any) -> str:
    with openai.OpenAI(base_url=base, api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model="parrot-1", messages=messages, stream=True)
        with stream:
            return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_openai(base: str) -> None:
    assert ask_openai(base, HELLO) == "Hello, dear parrot "


async def test_openai_async(base: str) -> None:
    async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
        messages: Any = HELLO
        stream = await client.chat.completions.create(
            model="parrot-1", messages=messages, stream=True
        )
        async with stream:
            words = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert words == ["", "Hello, ", "dear ", "parrot ", ""]


def test_openai_is_told_of_an_error(base: str) -> None:
    with pytest.raises(openai.APIError, match="The parrot is tired"):
        ask_openai(base, FAIL)


# Anthropic.


def anthropic_base(base: str) -> str:
    # It adds the version itself.
    return base.removesuffix("/v1")


def ask_anthropic(base: str, messages: Any) -> str:
    with (
        anthropic.Anthropic(base_url=anthropic_base(base), api_key="none", max_retries=0) as client,
        client.messages.stream(model="parrot-1", max_tokens=10, messages=messages) as stream,
    ):
        text = "".join(stream.text_stream)
        assert stream.get_final_message().stop_reason == "end_turn"
        return text


def test_anthropic(base: str) -> None:
    assert ask_anthropic(base, HELLO) == "Hello, dear parrot "


async def test_anthropic_async(base: str) -> None:
    client = anthropic.AsyncAnthropic(base_url=anthropic_base(base), api_key="none", max_retries=0)
    messages: Any = HELLO
    async with (
        client,
        client.messages.stream(model="parrot-1", max_tokens=10, messages=messages) as stream,
    ):
        assert [text async for text in stream.text_stream] == ["Hello, ", "dear ", "parrot "]


def test_anthropic_is_told_of_an_error(base: str) -> None:
    with pytest.raises(anthropic.APIError, match="The parrot is tired"):
        ask_anthropic(base, FAIL)


# A hub's stream, which many can follow.


@pytest.fixture
def hub_base() -> Iterator[tuple[str, Hub]]:
    hub = Hub()
    app = FastAPI(lifespan=hub.lifespan)

    @app.post("/v1/chat/completions")
    async def completions() -> EventSourceResponse:
        # Their decoders take the opening block, which has an id and no data, for an event.
        return EventSourceResponse(hub.subscribe("chat"), announce_position=False)

    with serving_here(app) as url:
        yield f"{url}/v1", hub


def test_openai_follows_a_hub(hub_base: tuple[str, Hub]) -> None:
    base, hub = hub_base

    def publish() -> None:
        wait_for(lambda: hub.subscribers("chat"), "a reader")
        for n in range(50):
            choice = {"index": 0, "delta": {"content": f"{n} "}, "finish_reason": None}
            hub.publish("chat", {"id": "1", "model": "m", "choices": [choice]})
        hub.publish("chat", "[DONE]")

    thread = threading.Thread(target=publish)
    thread.start()
    assert ask_openai(base, HELLO) == "".join(f"{n} " for n in range(50))
    thread.join()


# The same with our client.


def chat(base: str, messages: Any) -> EventSource:
    return EventSource(
        f"{base}/chat/completions",
        method="POST",
        auth="none",
        json={"model": "parrot-1", "stream": True, "messages": messages},
        stop_on="[DONE]",
    )


def test_our_client_reads_completions(base: str) -> None:
    source = chat(base, HELLO)
    chunks = [event.json() for event in source]
    words = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert words == ["", "Hello, ", "dear ", "parrot ", None]
    assert source.finished


def test_our_client_reads_messages(base: str) -> None:
    source = EventSource(
        f"{base}/messages",
        method="POST",
        json={"messages": HELLO},
        stop_on=lambda event: event.event == "message_stop",
    )
    kinds = [event.event for event in source]
    assert kinds == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert source.finished


async def test_a_cut_stream_is_no_success(base: str) -> None:
    source = chat(base, CUT)
    words = [(await anext(source)).json()["choices"][0]["delta"]["content"] for _ in range(5)]
    assert words == ["", "You ", "will ", "be ", "cut "]
    with pytest.raises(UnfinishedError):
        await anext(source)


def test_an_error_in_the_middle_can_be_read(base: str) -> None:
    source = chat(base, FAIL)
    chunks = [next(source).json() for _ in range(5)]
    assert chunks[-1]["error"]["message"] == "The parrot is tired"
    with pytest.raises(UnfinishedError):
        next(source)


def test_a_refusal_says_why(base: str) -> None:
    source = EventSource(f"{base}/nothing", method="POST", json={})
    with pytest.raises(StatusError) as caught:
        next(source)
    assert caught.value.status == 404
    assert caught.value.body == b'{"detail":"Not Found"}'
