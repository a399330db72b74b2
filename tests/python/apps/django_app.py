"""A Django project in one file, for the tests: `wsgi`, `asgi`, and `python django_app.py runserver PORT`."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from ssehub import Event, Hub, Limits

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        *filter(None, os.environ.get("SSEHUB_TEST_DJANGO_MIDDLEWARE", "").split(",")),
    ],
)
django.setup()

from ssehub.django import EventSourceResponse  # noqa: E402 - views are loaded by a project that is set up

hub = Hub(retry=1000, limits=Limits(connections=50))
finished: list[str] = []


def events(request: HttpRequest) -> HttpResponse:
    return EventSourceResponse(
        hub.subscribe("t"),
        request=request,
        key=request.GET.get("key"),
        handoff=request.GET.get("handoff", "detach"),
        heartbeat=0.5,
        background=lambda: finished.append("background"),
    )


async def async_events(request: HttpRequest) -> HttpResponse:
    return events(request)


def snapshot(request: HttpRequest) -> HttpResponse:
    def state() -> Event:
        if "fail" in request.GET:
            raise ValueError("no state")
        return Event("the state", event="snapshot")

    return EventSourceResponse(hub.subscribe("t"), request=request, snapshot=state)


def items(request: HttpRequest) -> HttpResponse:
    def source() -> Iterator[dict[str, int]]:
        if "fail" in request.GET:
            raise ValueError("no items")
        for n in range(3):
            yield {"n": n}

    async def asource() -> AsyncIterator[dict[str, int]]:
        for item in source():
            yield item

    return EventSourceResponse(asource() if "async" in request.GET else source(), request=request)


def publish(request: HttpRequest) -> HttpResponse:
    return HttpResponse(hub.publish_wait("t", request.body.decode()))


def kick(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(hub.disconnect(key=request.GET["key"])))


def stats(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            **dataclasses.asdict(hub.stats()),
            "finished": finished,
            "threads": threading.active_count(),
            "pid": os.getpid(),
        }
    )


urlpatterns = [
    path("", lambda request: HttpResponse("ok")),
    path("events", events),
    path("async", async_events),
    path("snapshot", snapshot),
    path("items", items),
    path("publish", publish),
    path("kick", kick),
    path("stats", stats),
]

if sys.argv[1:2] == ["runserver"]:
    from django.core.management import execute_from_command_line
    from django.utils.autoreload import file_changed

    # Its own words need a configuration of the logging.
    file_changed.connect(lambda **_: print("a file has changed", flush=True), weak=False)
    reload = [] if "SSEHUB_TEST_RELOAD" in os.environ else ["--noreload"]
    execute_from_command_line([*sys.argv, *reload])
else:
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    wsgi = get_wsgi_application()
    asgi = get_asgi_application()
