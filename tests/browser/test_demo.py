"""The demo, by both of its servers, in Chromium with its own EventSource."""

from __future__ import annotations

from itertools import pairwise

import httpx
import pytest

from pages import Page

FEED = "window.ssehubDemo.feed"


@pytest.fixture(params=["FastAPI", "Express"])
def url(request: pytest.FixtureRequest, demo: dict[str, str]) -> str:
    return demo[request.param]


def publish(url: str, *titles: str) -> None:
    with httpx.Client(base_url=url) as client:
        for title in titles:
            answer = client.post("notifications", json={"title": title, "body": "by the test"})
            assert answer.status_code == 202


def titles(page: Page) -> list[str]:
    """The titles in the list, oldest first."""
    query = "[...document.querySelectorAll('.item-title')].map(node => node.textContent).reverse()"
    return list(page.js(query))


def assert_each_came_once_and_in_order(page: Page, *, holes: int = 0) -> None:
    feed = page.js(FEED)
    assert (feed["duplicates"], feed["holes"], feed["unannounced"]) == (0, holes, 0)
    epochs = {id.rsplit("-", 1)[0] for id in feed["ids"]}
    assert len(epochs) == 1
    places = [int(id.rsplit("-", 1)[1]) for id in feed["ids"]]
    assert all(a < b for a, b in pairwise(places))
    steps = [b - a for a, b in pairwise(feed["ns"])]
    assert sum(step - 1 for step in steps) == holes
    assert all(step == 1 for step in steps) or holes


def test_named_events_arrive_on_all_streams(page: Page, url: str) -> None:
    page.open(url)
    page.until("document.querySelector('[data-testid=connection-state]').dataset.state === 'live'")
    before = int(page.data("ticker-events")["count"])
    page.until(lambda: int(page.data("ticker-events")["count"]) >= before + 4)
    assert float(page.text("ticker-price")) > 1
    count = page.js(f"{FEED}.ns.length")
    page.until(f"{FEED}.ns.length > {count}")
    assert_each_came_once_and_in_order(page)


def test_a_post_comes_back_over_the_stream(page: Page, url: str) -> None:
    page.open(url)
    page.until(f"{FEED}.ns.length > 0")
    page.type("feed-form", "title", "Straße & <b>Größe</b>")
    page.submit("feed-form")
    page.until(lambda: "Straße & <b>Größe</b>" in titles(page))
    assert_each_came_once_and_in_order(page)


def test_after_a_cut_what_was_missed_comes_once(page: Page, url: str) -> None:
    page.open(url)
    page.until(f"{FEED}.ns.length > 0")
    for words in (["one", "two", "three"], ["four"]):
        page.click("feed-cut")
        page.until(
            "document.querySelector('[data-testid=connection-state]').dataset.state === 'cut'"
        )
        publish(url, *words)
        assert words[0] not in titles(page)
        page.click("feed-reconnect")
        page.until(f"{FEED}.proof?.final === true")
        proof = page.js(f"{FEED}.proof")
        assert proof["missed"] == proof["got"] >= len(words)
        assert (proof["duplicates"], proof["holes"], proof["gap"]) == (0, 0, False)
        page.js(f"{FEED}.proof = null")
    assert [t for t in titles(page) if t in ("one", "two", "three", "four")] == [
        "one",
        "two",
        "three",
        "four",
    ]
    assert page.js(f"{FEED}.gaps") == 0
    assert_each_came_once_and_in_order(page)


def test_a_long_cut_is_told_as_a_gap(page: Page, url: str) -> None:
    page.open(f"{url}?long-cut=2")
    page.until(f"{FEED}.ns.length > 0")
    page.click("feed-long-cut")
    page.until("document.querySelector('[data-testid=connection-state]').dataset.state === 'cut'")
    # The server keeps the last 20.
    publish(url, *[f"missed {n}" for n in range(30)])
    page.until(f"{FEED}.proof?.final === true", timeout=15)
    gap = page.js(f"{FEED}.gapEvents")
    assert [(g["reason"], bool(g["last_event_id"]), bool(g["id"])) for g in gap] == [
        ("expired", True, True)
    ]
    proof = page.js(f"{FEED}.proof")
    assert proof["gap"] is True
    assert proof["holes"] == proof["missed"] - proof["got"] >= 10
    assert page.js("!document.querySelector('[data-testid=feed-gap]').hidden")
    assert f"({proof['holes']} lost)" in page.text("feed-gap")
    assert_each_came_once_and_in_order(page, holes=proof["holes"])
    assert "missed 29" in titles(page)


def test_an_answer_streams_to_its_end(page: Page, url: str) -> None:
    page.open(url)
    page.type("chat-form", "prompt", "Is this a test?")
    page.click("chat-send")
    page.until("document.querySelector('[data-testid=chat-output]').dataset.state === 'streaming'")
    page.until(lambda: 0 < int(page.text("chat-tokens")) < 100)
    page.until(
        "document.querySelector('[data-testid=chat-output]').dataset.state === 'done'", timeout=20
    )
    tokens = int(page.text("chat-tokens"))
    assert tokens > 100
    assert f"the server says {tokens} tokens" in page.js(
        "document.querySelector('[data-slot=chat-status]').textContent"
    )
    assert page.text("chat-output").startswith("You asked: “Is this a test?”\n\nServer-Sent Events")


def test_an_answer_can_be_stopped(page: Page, url: str) -> None:
    page.open(url)
    page.click("chat-send")
    page.until(lambda: int(page.text("chat-tokens")) >= 5)
    page.click("chat-stop")
    page.until("document.querySelector('[data-testid=chat-output]').dataset.state === 'stopped'")
    status = page.js("document.querySelector('[data-slot=chat-status]').textContent")
    assert status.startswith("Stopped after")
    # Another can follow.
    page.click("chat-send")
    page.until("document.querySelector('[data-testid=chat-output]').dataset.state === 'streaming'")
    page.until(lambda: int(page.text("chat-tokens")) >= 5)


def test_the_counters_are_those_of_the_hub(page: Page, url: str) -> None:
    def counter(key: str) -> int:
        selector = f'[data-testid=stats-list] [data-key="{key}"] dd'
        text = page.js(f"document.querySelector('{selector}')?.firstChild.textContent")
        return int((text or "0").replace(",", ""))

    page.open(url)
    # Ticker, notifications and counters of this tab.
    page.until(lambda: counter("connections") == 3)
    published = counter("published")
    page.until(lambda: counter("published") > published > 0)
    assert counter("topics") == 3
    assert counter("delivered") > 0


def test_each_page_leads_to_the_other(page: Page, demo: dict[str, str]) -> None:
    page.open(demo["FastAPI"])
    for here, there in (("FastAPI", "Express"), ("Express", "FastAPI")):
        page.until(f"document.title === 'ssehub demo on {here}'")
        page.until("document.querySelector('[data-testid=peer-link]').href")
        assert page.js("document.querySelector('[data-testid=peer-link]').href") == demo[there]
        page.click("peer-link")
        page.until(f"location.href === '{demo[there]}'")
