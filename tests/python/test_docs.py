"""The README's Python code runs.

A block that imports what it needs is a program: it is run as it stands. Others are fragments, and run on a stage with
the names that a reader has in mind: see `stage`. Endless loops come to an end since the hub is closed after a while.
Where a block adds routes to an application, each of them has to answer.

A line `<!-- not run -->` before a block lets it off: it is only compiled.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

import ssehub
import ssehub.fastapi
from processes import ROOT
from scripted import Peer, answer, scripted, stream
from ssehub.testing import connect

BLOCK = re.compile(
    r"^(?P<off><!-- not run -->\n+)?```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
# A body that every POST route in a README takes.
BODY = json.dumps({"title": "hello", "body": "", "prompt": "hello"}).encode()
JSON = {"Content-Type": "application/json"}


@dataclass
class Block:
    """One block of code, and the line it begins at."""

    line: int
    code: str
    runs: bool

    def __str__(self) -> str:
        return f"line {self.line}"


def blocks(text: str) -> list[Block]:
    return [
        Block(text.count("\n", 0, found.start("code")) + 1, found["code"], found["off"] is None)
        for found in BLOCK.finditer(text)
    ]


class Query(BaseModel):
    """What a client asks a model."""

    prompt: str


async def llm(prompt: str) -> AsyncIterator[str]:
    """A model that is quick and cheap."""
    for word in prompt.split():
        yield word


def stage() -> dict[str, Any]:
    """What fragments may use without saying where it is from."""
    hub = ssehub.Hub()
    return {
        **{name: getattr(ssehub, name) for name in ssehub.__all__},
        "EventSourceResponse": ssehub.fastapi.EventSourceResponse,
        "hub": hub,
        "app": FastAPI(lifespan=hub.lifespan),
        "user": SimpleNamespace(id=7),
        "load_board": lambda number: {"board": number},
        "saved": hub.last_event_id,
        "llm": llm,
        "Query": Query,
    }


def other_server(peer: Peer) -> None:
    """What clients on the stage read: an answer for a POST; a stream that is followed by nothing."""
    if peer.method == "POST":
        chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "hello"}}]})
        stream(f"data: {chunk}\n\ndata: [DONE]\n\n")(peer)
    elif "last-event-id" in peer.headers:
        answer(204)(peer)
    else:
        stream('id: 1\ndata: {"title": "hello"}\n\n')(peer)


@contextmanager
def publishing(hub: ssehub.Hub) -> Iterator[None]:
    """Something happens on the stage: for a while there are events, then the hub is closed."""
    left = threading.Event()

    def publish() -> None:
        for number in range(20):
            hub.publish(["news", "orders.new", "user:7"], {"number": number}, event="posted")
            if left.wait(0.02):
                return
        hub.close()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


def statements(block: Block) -> list[Any]:
    """The code of each statement outside of functions; `await` is allowed in them."""
    tree = ast.parse(block.code)
    # As if it stood alone in a file, so that tracebacks point into the README.
    ast.increment_lineno(tree, block.line - 1)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return [
        compile(ast.Module([statement], []), "README.md", "exec", flags, dont_inherit=True)
        for statement in tree.body
    ]


async def finish(coroutine: Any) -> None:
    await coroutine


async def ask(app: Any, path: str, method: str) -> int:
    body = b"" if method == "GET" else BODY
    async with connect(app, path, method=method, headers=JSON if body else None, body=body) as got:
        return got.status


def routes(app: Any) -> set[tuple[str, str]]:
    """The paths and methods of an application, as far as they have no parameters."""
    if hasattr(app, "url_map"):
        found = [(rule.rule, rule.methods) for rule in app.url_map.iter_rules()]
    else:
        found = [(route.path, getattr(route, "methods", None) or ()) for route in app.routes]
    return {
        (path, method)
        for path, methods in found
        for method in methods
        if method in ("GET", "POST") and not re.search("[{<]", path)
    }


def execute(block: Block) -> None:
    code = statements(block)
    if not block.runs:
        return
    fragment = re.search(r"^(import|from) ", block.code, re.MULTILINE) is None
    module = ModuleType("readme")
    names = module.__dict__
    names.update(stage() if fragment else {})
    known = routes(names["app"]) if fragment else set()
    # Pydantic and dataclasses look their module up there.
    sys.modules["readme"] = module
    try:
        hub = names["hub"] if fragment else ssehub.Hub()
        with publishing(hub), scripted(other_server) as server:
            if fragment:
                names["url"] = server.url
            for statement in code:
                # Each by itself: a fragment may show both, what blocks and what is awaited.
                result = eval(statement, names)
                if inspect.iscoroutine(result):
                    asyncio.run(finish(result))
            app = names.get("app")
            for path, method in sorted(routes(app) - known if app is not None else ()):
                status = asyncio.run(ask(app, path, method))
                assert status < 400, f"{method} {path} answers {status}"
    finally:
        del sys.modules["readme"]


README = blocks((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("block", README, ids=str)
def test_readme(block: Block) -> None:
    execute(block)


def test_the_readme_has_programs_and_they_run() -> None:
    assert any(block.runs and "import" in block.code for block in README)


# Of this module itself.

SAMPLE = """
```python
for event in hub.subscribe("news"):
    assert event.event == "posted"
assert [event.json() for event in EventSource(url)] == [{"title": "hello"}]
await hub.drain()
```

<!-- not run -->
```python
no_such_name
```

```python
from fastapi import FastAPI
app = FastAPI()

@app.post("/broken")
def broken(item: dict):
    raise ValueError("broken")
```

```python
from flask import Flask, abort
app = Flask("readme")

@app.get("/broken")
def broken():
    abort(503)
```

```python

hub.no_such_method()
```
"""


def test_a_sample_of_blocks() -> None:
    endless, not_run, broken, refusing, wrong = blocks(SAMPLE)
    execute(endless)
    execute(not_run)
    with pytest.raises(AssertionError, match="POST /broken answers 500"):
        execute(broken)
    with pytest.raises(AssertionError, match="GET /broken answers 503"):
        execute(refusing)
    with pytest.raises(AttributeError, match="no_such_method") as failure:
        execute(wrong)
    assert SAMPLE.splitlines()[failure.traceback[-1].lineno] == "hub.no_such_method()"
