"""What a client has to do: the behaviours that LaunchDarkly's sse-contract-tests (2.3.0) name, told anew."""

from __future__ import annotations

import http_behaviour  # noqa: F401 - adds its behaviours to the list
import parsing  # noqa: F401
from stage import BEHAVIOURS, Behaviour, Stage

__all__ = ["BEHAVIOURS", "Behaviour", "Stage"]
