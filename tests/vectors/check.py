"""Checks parse.json and encode.json against a naive parser and encoder.

Run: python3 tests/vectors/check.py    (standard library only; exit status 1 on any disagreement)
Both work on the whole byte string at once, follow the text of the standard step by step, and are not meant to be fast.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
MAX_RETRY = 2**53 - 1
END_OF_LINE = re.compile("\r\n|\n|\r")


class Stream:
    """What WHATWG HTML 9.2.6 makes of `stream`, plus ssehub's size limit."""

    def __init__(self, stream: bytes, limit: int | None = None):
        self.events, self.last_event_id, self.retry, self.error = [], "", None, None
        text = stream.decode("utf-8", "replace").removeprefix(
            "\ufeff"
        )  # one U+FFFD per maximal subpart; one BOM
        *lines, unfinished = END_OF_LINE.split(text)
        data, event, id_buffer, own_id = [], "", "", ""
        for number, line in enumerate([*lines, unfinished]):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if limit is not None and name in ("data", "event", "id", "retry"):
                fields = {"data": "\n".join(data), "event": event, "id": own_id, "retry": ""}
                fields[name] = "\n".join([*data, value]) if name == "data" else value
                if sum(len(f.encode()) for f in fields.values()) > limit:
                    self.error = "event_too_large"
                    return
            if number == len(lines):
                return  # the unfinished line takes no other part
            if line == "":
                self.last_event_id = id_buffer
                if data:
                    self.events.append(
                        {"event": event or "message", "data": "\n".join(data), "id": id_buffer}
                    )
                data, event, own_id = [], "", ""
            elif name == "data":  # a comment has the empty name and matches nothing
                data.append(value)
            elif name == "event":
                event = value
            elif name == "id" and "\0" not in value:
                id_buffer = own_id = value
            elif name == "retry" and re.fullmatch("[0-9]+", value):
                self.retry = min(int(value), MAX_RETRY)


def encode(e: dict):
    """The wire text, or the name of the field at fault in a list."""
    event, id_, retry = e.get("event"), e.get("id"), e.get("retry")
    if not e:
        return ["data"]
    if event is not None and (re.search("[\r\n]", event) or event.startswith("ssehub:")):
        return ["event"]
    if id_ is not None and re.search("[\r\n\0]", id_):
        return ["id"]
    if retry is not None and not (isinstance(retry, int) and 0 <= retry <= MAX_RETRY):
        return ["retry"]
    lines = [f": {c}" for c in END_OF_LINE.split(e["comment"])] if "comment" in e else []
    lines += [f"{k}: {e[k]}" for k in ("id", "event", "retry") if k in e]
    lines += [f"data: {d}" for d in END_OF_LINE.split(e["data"])] if "data" in e else []
    return "".join(line + "\n" for line in lines) + "\n"


def join_parts(value):
    """Replaces every `x_parts: [[text, times], ...]` by `x: text`, at any depth."""
    if isinstance(value, list):
        return [join_parts(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {
        k.removesuffix("_parts"): "".join(t * n for t, n in v)
        if k.endswith("_parts")
        else join_parts(v)
        for k, v in value.items()
    }


def check_parse(case: dict):
    stream = bytes.fromhex(case["input_hex"]) if "input_hex" in case else case["input"].encode()
    limit = case.get("max_event_size")
    got = vars(Stream(stream, limit))
    for key in ("events", "last_event_id", "retry", "error"):
        yield key, case.get(key), got[key]
    chunks = case.get("chunks", [len(stream)])
    yield "sum of chunks", sum(chunks), len(stream)
    ends = [sum(chunks[: i + 1]) for i in range(len(chunks))]
    counts = [len(Stream(stream[:end], limit).events) for end in ends]
    yield "events_after_chunk", case.get("events_after_chunk", counts), counts
    for end in range(
        len(stream) if len(stream) < 1500 else 0
    ):  # what came out never changes by what comes later
        early = Stream(stream[:end], limit)
        yield f"events of the first {end} bytes", got["events"][: len(early.events)], early.events
        if early.error:
            yield "error, as seen early", got["error"], early.error


def check_encode(case: dict):
    wire = encode(case["event"])
    yield "wire", case.get("wire", [case.get("field")]), wire
    yield "error", case.get("error"), "invalid_argument" if isinstance(wire, list) else None
    if isinstance(wire, str):  # and it parses back to itself
        e, back = case["event"], Stream(wire.encode())
        data = [END_OF_LINE.sub("\n", e["data"])] if "data" in e else []
        yield (
            "round trip",
            [
                {"event": e.get("event") or "message", "data": d, "id": e.get("id", "")}
                for d in data
            ],
            back.events,
        )
        yield (
            "round trip, id and retry",
            (e.get("id", ""), e.get("retry")),
            (back.last_event_id, back.retry),
        )


def main() -> int:
    failures = 0
    for file, check in (("parse.json", check_parse), ("encode.json", check_encode)):
        cases = [join_parts(c) for c in json.loads((HERE / file).read_text("utf-8"))["cases"]]
        names, seen = set(), {}
        for case in cases:
            name = case["name"]
            same = seen.setdefault(
                json.dumps(
                    {
                        k: case.get(k)
                        for k in ("input", "input_hex", "chunks", "max_event_size", "event")
                    }
                ),
                name,
            )
            found = [
                (
                    "name and source",
                    True,
                    bool(
                        re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name)
                        and case["source"]
                        and name not in names
                    ),
                ),
                ("distinct", name, same),
            ]
            names.add(name)
            for what, want, got in [*found, *check(case)]:
                if want != got:
                    failures += 1
                    print(f"{file}: {name}: {what}:\n  file   {want!r:.300}\n  oracle {got!r:.300}")
        print(f"{file}: {len(cases)} cases, {sum('error' in c for c in cases)} of them errors")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
