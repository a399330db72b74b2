"""Reads a chat completion as it is made, from OpenAI or anything that speaks its API.

Run:      python examples/python/openai_stream.py
Ask:      OPENAI_API_KEY=... python examples/python/openai_stream.py https://api.openai.com/v1 gpt-5-mini "Hello"

Without arguments it asks a server of its own (llm_server.py) three times: for an answer, for one that fails in the
middle, and for one that is cut.
"""

import os
import sys

import llm_server

from ssehub import EventSource, SSEHubError


class ApiError(Exception):
    """The API says, in the midst of a stream, that it has failed."""


def ask(base: str, model: str, prompt: str) -> None:
    source = EventSource(
        f"{base}/chat/completions",
        method="POST",
        auth=os.environ.get("OPENAI_API_KEY", "none"),
        json={
            "model": model,
            "stream": True,
            "messages": [{"role": "user", "content": prompt}],
        },
        # Half an answer is not an answer: without its mark the stream is an error. And a POST is not repeated.
        stop_on="[DONE]",
        timeout=60,
    )
    with source:
        for event in source:
            chunk = event.json()
            if "error" in chunk:
                raise ApiError(chunk["error"]["message"])
            for choice in chunk["choices"]:
                print(choice["delta"].get("content") or "", end="", flush=True)
    print("(done)")


def main() -> None:
    if len(sys.argv) == 4:
        ask(*sys.argv[1:])
        return
    with llm_server.running() as base:
        for prompt in ("Hello, parrot", "You will fail", "You will be cut"):
            try:
                ask(base, "parrot-1", prompt)
            except (ApiError, SSEHubError) as error:
                print(f"({type(error).__name__}: {error})")


if __name__ == "__main__":
    main()
