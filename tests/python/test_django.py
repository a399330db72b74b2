"""The response for Django, by real servers."""

from __future__ import annotations

import sys

import pytest

from handoff_servers import APPS, SSE, modes, no_complaints, refusals, wait_until_gone
from http_stream import Wire, post, stats
from processes import wait_for
from wsgi_servers import Server, serving

pytestmark = pytest.mark.timeout(120)

GUNICORN = ("gunicorn", "django_app:wsgi", "--chdir", APPS, "-b", "127.0.0.1:{port}", "-k")
SYNC = Server("gunicorn-sync", (*GUNICORN, "sync"))
GTHREAD = Server("gunicorn-gthread", (*GUNICORN, "gthread", "--threads", "4"))
RUNSERVER = Server("runserver", (sys.executable, f"{APPS}/django_app.py", "runserver", "{port}"))
WSGI = [SYNC, GTHREAD, RUNSERVER]
ASGI = Server("uvicorn", ("uvicorn", "django_app:asgi", "--app-dir", APPS, "--port", "{port}"))
ALL = [*WSGI, ASGI]


@pytest.mark.parametrize("server", WSGI, ids=str)
def test_detached(server: Server) -> None:
    with serving(server) as (child, address):
        with Wire(address, headers=SSE) as wire:
            assert wire.status == 200
            assert wire.headers["content-type"] == "text/event-stream"
            assert wire.headers["cache-control"] == "no-cache, no-transform"
            assert wire.headers["connection"] == "close"
            assert "content-length" not in wire.headers
            wire.until_body(b"\nid: ")
            # From the first request on, which is when Django loads the views.
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            assert stats(address)["finished"] == ["background"]
            first = post(address, "one")
            assert wire.next().data == "one"
        wait_until_gone(address)
        post(address, "missed")
        with Wire(address, "/events?key=k", headers={**SSE, "Last-Event-ID": first}) as wire:
            assert wire.next().data == "missed"
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            post(address, "", "/kick?key=k")
            assert wire.wait_end()
        assert refusals(address) == {}
        no_complaints(child)


@pytest.mark.parametrize("server", [GTHREAD, RUNSERVER], ids=str)
def test_held(server: Server) -> None:
    """Django is done with the request when the stream is over, and not before."""
    path = "/events?handoff=hold&key=k"
    with serving(server) as (child, address):
        for reason in ("kick", "client"):
            with Wire(address, path, headers=SSE) as wire:
                wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
                done = len(stats(address)["finished"])
                first = post(address, reason)
                event = wire.next()
                assert (event.data, event.id) == (reason, first)
                if reason == "kick":
                    post(address, "", "/kick?key=k")
                    assert wire.wait_end()
            wait_until_gone(address)
            wait_for(lambda done=done: len(stats(address)["finished"]) == done + 1, "the end")  # type: ignore[misc]
            assert stats(address)["closed"][reason] == 1
        assert refusals(address) == {}
        no_complaints(child)


@pytest.mark.parametrize("path", ["/events", "/async"])
def test_asgi(path: str) -> None:
    """By Django's own loop over the response."""
    with serving(ASGI) as (_, address):
        with Wire(address, path, headers=SSE) as wire:
            assert wire.headers["content-type"] == "text/event-stream"
            first = post(address, "one")
            assert wire.next().data == "one"
            assert modes(address) == {"in-loop": 1}
        wait_until_gone(address)
        post(address, "missed")
        with Wire(address, f"{path}?key=k", headers={**SSE, "Last-Event-ID": first}) as wire:
            assert wire.next().data == "missed"
            post(address, "", "/kick?key=k")
            assert wire.wait_end()
        assert refusals(address) == {"transport": 2}
        assert stats(address)["closed"]["client"] == 1
        with Wire(address, f"{path}?handoff=require", headers=SSE) as wire:
            assert wire.status == 500


def test_an_async_view_under_wsgi() -> None:
    """Django runs it in another thread, where nothing is to be seen of the server."""
    with serving(GTHREAD) as (child, address):
        with Wire(address, "/async", headers=SSE) as wire:
            post(address, "x")
            assert wire.next().data == "x"
            assert modes(address) == {"in-loop": 1}
        wait_until_gone(address)
        assert refusals(address) == {"transport": 1}
        no_complaints(child)


@pytest.mark.parametrize("server", [GTHREAD, ASGI], ids=str)
def test_a_snapshot(server: Server) -> None:
    with serving(server) as (child, address):
        with Wire(address, "/snapshot", headers=SSE) as wire:
            assert wire.next().data == "the state"
            post(address, "x")
            assert wire.next().data == "x"
        no_complaints(child)
    with serving(GTHREAD) as (_, address):
        with Wire(address, "/snapshot?fail", headers=SSE) as wire:
            assert wire.status == 500
        assert stats(address)["closed"]["error"] == 1


@pytest.mark.parametrize("server", ALL, ids=str)
def test_iterables(server: Server) -> None:
    with serving(server) as (child, address):
        path = "/items?async=1" if server is ASGI else "/items"
        with Wire(address, path, headers=SSE) as wire:
            assert [wire.next().data for _ in range(3)] == ['{"n":0}', '{"n":1}', '{"n":2}']
            assert wire.wait_end()
            mark = wire.last_event_id
        with Wire(address, path, headers={**SSE, "Last-Event-ID": mark}) as wire:
            assert wire.status == (200 if server is ASGI else 204)
            wire.wait_end()
            assert bytes(wire.body) == b""
        no_complaints(child)
        if server is not ASGI:
            with Wire(address, "/items?fail", headers=SSE) as wire:
                assert wire.status == 500


@pytest.mark.parametrize("server", ALL, ids=str)
def test_head_and_limits(server: Server) -> None:
    with serving(server) as (child, address):
        head = Wire(address, method="HEAD", headers={"Connection": "close"})
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
        head.close()
        wires = [Wire(address, headers=SSE) for _ in range(50)]
        wait_for(lambda: stats(address)["connections"] == 50, "all streams")
        with Wire(address, headers=SSE) as wire:
            assert wire.status == 200
            assert wire.wait_end()
            assert wire.body.startswith(b"retry: ")
        with Wire(address) as wire:
            assert wire.status == (200 if server is ASGI else 429)
        for wire in wires:
            wire.close()
        wait_until_gone(address)
        no_complaints(child)


def test_djangos_own_compression_is_a_reason() -> None:
    middleware = {"SSEHUB_TEST_DJANGO_MIDDLEWARE": "django.middleware.gzip.GZipMiddleware"}
    with serving(GTHREAD, env=middleware) as (_, address):
        with Wire(address, headers={**SSE, "Accept-Encoding": "gzip"}) as wire:
            assert wire.headers["content-encoding"] == "gzip"
            wait_for(lambda: refusals(address) == {"body": 1}, "the reason")
        # A client that does not ask for it is not troubled by it.
        with Wire(address, headers=SSE):
            wait_for(lambda: modes(address).get("detached") == 1, "the hand-off")
