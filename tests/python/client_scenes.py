"""What the tests of the client's policies share: servers that play scenes, and sources that read them."""

from __future__ import annotations

from typing import Any

import pytest

from scripted import Scene, Script, answer, scripted, stream
from ssehub import (
    EventSource,
    Reconnect,
)

A, B = "data: a\n\n", "data: b\n\n"
OK = stream(A)
DONE = answer(204)
QUICK = Reconnect(when="always", delay=0.01, max_delay=0.02)


def data(source: EventSource) -> list[str | None]:
    return [event.data for event in source]


def read(*scenes: Scene, **options: Any) -> tuple[list[str | None], Script]:
    """All that a source yields of a server that plays these scenes."""
    with scripted(*scenes) as script, EventSource(script.url, **options) as source:
        return data(source), script


def failure(kind: type[Exception], *scenes: Scene, **options: Any) -> Any:
    """The error at the end of a source."""
    with pytest.raises(kind) as caught:
        read(*scenes, **options)
    assert type(caught.value) is kind
    return caught.value
