"""Answers in the shapes of OpenAI's and Anthropic's APIs, word by word: something to try clients with.

Run:      uvicorn --app-dir examples/python llm_server:app --port 8000
OpenAI:   curl -N http://localhost:8000/v1/chat/completions -d '{"messages": [{"role": "user", "content": "Hello"}]}'
Claude:   curl -N http://localhost:8000/v1/messages -d '{"messages": [{"role": "user", "content": "Hello"}]}'

It repeats the prompt. One with "fail" in it breaks off with an error, as those APIs tell it; one with "cut" ends
without a mark, as it happens when something on the way gives up.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from ssehub import Event
from ssehub.fastapi import EventSourceResponse

app = FastAPI()


async def words(prompt: str) -> AsyncIterator[str]:
    for word in prompt.split():
        await asyncio.sleep(0.02)
        yield f"{word} "


async def prompt_of(request: Request) -> str:
    # Whatever the type of the body: curl says that it sends a form.
    body = await request.json()
    prompt: str = body["messages"][-1]["content"]
    return prompt


@app.post("/v1/chat/completions")
async def chat_completions(request: Request) -> EventSourceResponse:
    return EventSourceResponse(openai(await prompt_of(request)))


async def openai(prompt: str) -> AsyncIterator[dict[str, Any] | str]:
    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": "parrot-1",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        }

    yield chunk({"role": "assistant", "content": ""})
    async for word in words(prompt):
        yield chunk({"content": word})
    if "fail" in prompt:
        yield {"error": {"message": "The parrot is tired", "type": "server_error", "code": None}}
    elif "cut" not in prompt:
        yield chunk({}, "stop")
        yield "[DONE]"


@app.post("/v1/messages")
async def messages(request: Request) -> EventSourceResponse:
    return EventSourceResponse(anthropic(await prompt_of(request)))


async def anthropic(prompt: str) -> AsyncIterator[Event]:
    def event(name: str, **fields: Any) -> Event:
        return Event({"type": name, **fields}, event=name)

    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "parrot-1",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    yield event("message_start", message=message)
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield event("ping")
    async for word in words(prompt):
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    if "fail" in prompt:
        problem = {"type": "overloaded_error", "message": "The parrot is tired"}
        yield event("error", error=problem)
    elif "cut" not in prompt:
        yield event("content_block_stop", index=0)
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        yield event("message_delta", delta=end, usage=usage)
        yield event("message_stop")


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The server, in a thread of this process, at a free port. Its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join()
