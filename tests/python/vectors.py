"""The vectors of tests/vectors, as parametrized cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).resolve().parents[1] / "vectors"


def cases(name: str) -> list[Any]:
    """All cases of one file, each with its name as test id."""
    found = _join_parts(json.loads((_FOLDER / f"{name}.json").read_text("ascii"))["cases"])
    return [pytest.param(case, id=case["name"]) for case in found]


def _join_parts(value: Any) -> Any:
    """Replaces every `x_parts: [[text, times], ...]` by `x: text`, at any depth."""
    if isinstance(value, list):
        return [_join_parts(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key.removesuffix("_parts"): "".join(text * times for text, times in item)
        if key.endswith("_parts")
        else _join_parts(item)
        for key, item in value.items()
    }


def stream_of(case: dict[str, Any]) -> bytes:
    """The bytes that a parser case feeds."""
    return bytes.fromhex(case["input_hex"]) if "input_hex" in case else case["input"].encode()
