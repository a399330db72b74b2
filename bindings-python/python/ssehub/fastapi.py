"""Server-Sent Events for FastAPI.

`EventSourceResponse` is Starlette's; as `response_class=` it also takes endpoints that `yield`.
"""

from __future__ import annotations

from ssehub.starlette import EventSourceResponse

__all__ = ["EventSourceResponse"]
