"""`iter_events` and `aiter_events` over what other libraries have opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from scripted import Script, scripted, stream
from ssehub import Event, aiter_events, iter_events

EVENTS = [Event(f"{n} €豆腐", event="tick", id=str(n)) for n in range(500)]


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted(stream(b"".join(event.encode() for event in EVENTS))) as script:
        yield script


def with_httpx(url: str) -> Iterator[Event]:
    with httpx.stream("GET", url) as response:
        yield from iter_events(response.iter_bytes())


def with_requests(url: str) -> Iterator[Event]:
    with requests.get(url, stream=True, timeout=5) as response:
        yield from iter_events(response.iter_content(None))


def with_urllib3(url: str) -> Iterator[Event]:
    with urllib3.PoolManager() as pool:
        response = pool.request("GET", url, preload_content=False)
        yield from iter_events(response.stream(100))
        response.release_conn()


@pytest.mark.parametrize("read", [with_httpx, with_requests, with_urllib3])
def test_sync_bodies(script: Script, read: Callable[[str], Iterator[Event]]) -> None:
    assert list(read(script.url)) == EVENTS


async def with_async_httpx(url: str) -> AsyncIterator[Event]:
    async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
        async for event in aiter_events(response.aiter_bytes()):
            yield event


async def with_aiohttp(url: str) -> AsyncIterator[Event]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        async for event in aiter_events(response.content.iter_any()):
            yield event


@pytest.mark.parametrize("read", [with_async_httpx, with_aiohttp])
async def test_async_bodies(script: Script, read: Callable[[str], Any]) -> None:
    assert [event async for event in read(script.url)] == EVENTS
