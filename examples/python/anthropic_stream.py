"""Reads a message as it is made, from Anthropic's API.

Run:      python examples/python/anthropic_stream.py
Ask:      ANTHROPIC_API_KEY=... python examples/python/anthropic_stream.py https://api.anthropic.com/v1 claude-sonnet-5 "Hello"

Without arguments it asks a server of its own (llm_server.py) three times: for an answer, for one that fails in the
middle, and for one that is cut.
"""

import asyncio
import os
import sys

import llm_server

from ssehub import Event, EventSource, SSEHubError


class ApiError(Exception):
    """The API says, in the midst of a stream, that it has failed."""


def is_last(event: Event) -> bool:
    return event.event == "message_stop"


async def ask(base: str, model: str, prompt: str) -> None:
    source = EventSource(
        f"{base}/messages",
        method="POST",
        headers={
            "x-api-key": os.environ.get("ANTHROPIC_API_KEY", "none"),
            "anthropic-version": "2023-06-01",
        },
        json={
            "model": model,
            "stream": True,
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": prompt}],
        },
        # Half an answer is not an answer: without its last event the stream is an error. And a POST is not repeated.
        stop_on=is_last,
        timeout=60,
    )
    async with source:
        async for event in source:
            if event.event == "content_block_delta":
                print(event.json()["delta"].get("text", ""), end="", flush=True)
            elif event.event == "error":
                raise ApiError(event.json()["error"]["message"])
    print("(done)")


def main() -> None:
    if len(sys.argv) == 4:
        asyncio.run(ask(*sys.argv[1:]))
        return
    with llm_server.running() as base:
        for prompt in ("Hello, parrot", "You will fail", "You will be cut"):
            try:
                asyncio.run(ask(base, "parrot-1", prompt))
            except (ApiError, SSEHubError) as error:
                print(f"({type(error).__name__}: {error})")


if __name__ == "__main__":
    main()
