"""What `EventSource` keeps from other origins when it is redirected."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from client_scenes import OK, data
from scripted import Peer, answer, scripted, stream
from ssehub import EventSource, RedirectError
from tls import Certificates, issue


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("certificates"))


def test_never_from_https_to_http(certificates: Certificates) -> None:
    with (
        scripted(OK) as plain,
        scripted(answer(302, Location=plain.url), tls=certificates.server()) as secure,
    ):
        asked: list[Any] = []
        for options in ({}, {"on_redirect": lambda redirect: asked.append(redirect) is None}):
            source = EventSource(secure.url, verify=certificates.path("ca"), **options)  # type: ignore[arg-type]
            with pytest.raises(RedirectError, match="http") as caught:
                data(source)
            assert caught.value.status == 302
    # Nobody is asked about what cannot be.
    assert asked == []
    assert plain.peers == []


@pytest.mark.parametrize("auth", [("me", "secret"), "token"])
def test_credentials_stay_at_home(auth: Any) -> None:
    with scripted(OK) as other, scripted(answer(307, Location=other.url)) as script:
        assert data(EventSource(script.url, auth=auth, reconnect=False)) == ["a"]
        in_url = script.url.replace("//", "//me:secret@")
        assert data(EventSource(in_url, reconnect=False)) == ["a"]
    assert None not in script.sent("authorization")
    assert other.sent("authorization") == [None, None]


def test_credentials_follow_on_their_own_origin() -> None:
    with scripted(answer(307, Location="/there"), OK) as script:
        assert data(EventSource(script.url, auth="token", reconnect=False)) == ["a"]
    assert script.sent("authorization") == ["Bearer token"] * 2


def test_a_certificate_is_shown_to_its_own_origin_only(certificates: Certificates) -> None:
    def introduce(peer: Peer) -> None:
        assert isinstance(peer.socket, ssl.SSLSocket)
        shown = peer.socket.getpeercert(binary_form=True)
        stream("data: nobody\n\n" if shown is None else "data: somebody\n\n")(peer)

    # Both ask for a certificate, and take it as it comes.
    curious = certificates.server(wants_client=True)
    curious.verify_mode = ssl.CERT_OPTIONAL
    own = {
        "verify": certificates.path("ca"),
        "cert": Path(certificates.path("client-both")),
        "reconnect": False,
    }
    with scripted(introduce, tls=curious) as other, scripted(introduce, tls=curious) as there:
        assert data(EventSource(there.url, **own)) == ["somebody"]  # type: ignore[arg-type]
        with scripted(answer(302, Location=other.url), tls=curious) as script:
            assert data(EventSource(script.url, **own)) == ["nobody"]  # type: ignore[arg-type]
        with scripted(answer(302, Location="/there"), introduce, tls=curious) as script:
            assert data(EventSource(script.url, **own)) == ["somebody"]  # type: ignore[arg-type]
