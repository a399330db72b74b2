"""How `EventSource` reaches a server: TLS, certificates, HTTP/2, proxies, Unix sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from processes import free_port, running, wait_for
from scripted import Peer, scripted, stream
from ssehub import ConnectError, EventSource, ProxyError, StreamTimeoutError, TlsError
from tls import Certificates, issue

OK = stream("data: a\n\n")


def data(url: str, **options: object) -> list[str | None]:
    with EventSource(url, reconnect=False, **options) as source:  # type: ignore[arg-type]
        return [event.data for event in source]


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("certificates"))


def test_an_unknown_authority_is_refused(certificates: Certificates) -> None:
    with scripted(OK, tls=certificates.server()) as script, pytest.raises(TlsError) as caught:
        data(script.url)
    assert isinstance(caught.value, ConnectError)
    assert not caught.value.is_retryable
    assert script.peers == []


def test_an_authority_of_ones_own(certificates: Certificates) -> None:
    path = certificates.path("ca")
    with scripted(OK, tls=certificates.server()) as script:
        assert data(script.url, verify=path) == ["a"]
        assert data(script.url, verify=Path(path)) == ["a"]
        assert data(script.url, verify=Path(path).read_bytes()) == ["a"]


def test_another_name_is_refused(certificates: Certificates) -> None:
    with scripted(OK, tls=certificates.server()) as script, pytest.raises(TlsError):
        data(script.url.replace("127.0.0.1", "localhost"), verify=certificates.path("ca"))


def test_anybody(certificates: Certificates) -> None:
    with scripted(OK, tls=certificates.server()) as script:
        assert data(script.url, verify=False) == ["a"]


def test_a_certificate_of_our_own(certificates: Certificates) -> None:
    path = certificates.path
    with scripted(OK, tls=certificates.server(wants_client=True)) as script:
        for cert in (
            path("client-both"),
            (path("client"), path("client-key")),
            Path(path("client-both")).read_bytes(),
        ):
            assert data(script.url, verify=path("ca"), cert=cert) == ["a"]
        with pytest.raises((ConnectionError, TlsError)):
            data(script.url, verify=path("ca"))


# HTTP/2.

APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    head = [(b"content-type", b"text/event-stream"), (b"x-version", scope["http_version"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"data: a\\n\\n"})
"""


@pytest.fixture(params=["tls", "plain"])
def http2(
    request: pytest.FixtureRequest, certificates: Certificates, tmp_path: Path
) -> Iterator[str]:
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    command = ["hypercorn", f"{tmp_path}/app.py:app", "--bind", f"127.0.0.1:{port}"]
    if request.param == "tls":
        command += ["--certfile", certificates.path("server")]
        command += ["--keyfile", certificates.path("server-key")]
    with running(command):
        url = f"{'https' if request.param == 'tls' else 'http'}://127.0.0.1:{port}/"
        wait_for(lambda: answers(url), "hypercorn answers")
        yield url


def answers(url: str) -> bool:
    try:
        data(url, verify=False)
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize("asked", [True, False, None])
def test_http_versions(http2: str, asked: bool | None) -> None:
    with EventSource(http2, verify=False, http2=asked, reconnect=False) as source:
        assert [event.data for event in source] == ["a"]
        assert source.response is not None
        got = source.response.http_version, source.response.headers["x-version"]
    two = asked or (asked is None and http2.startswith("https"))
    assert got == (("HTTP/2", "2") if two else ("HTTP/1.1", "1.1"))


# Time.


def test_what_was_waited_for() -> None:
    with scripted(OK) as script, socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(StreamTimeoutError, match=r"waited for 127\.0\.0\.1 to agree on TLS"):
            data(url, connect_timeout=0.1)
        # In time, nothing is said.
        assert data(script.url, connect_timeout=10) == ["a"]


def test_closing_does_not_wait_for_a_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        with EventSource(f"https://127.0.0.1:{silent.getsockname()[1]}/"):
            connection, _ = silent.accept()
        with connection:
            connection.settimeout(20)
            while connection.recv(65536):
                pass  # Until it has left.


# Proxies.


def tunnel(peer: Peer) -> None:
    """What a proxy does for https."""
    assert peer.method == "CONNECT"
    host, _, port = peer.path.partition(":")
    with socket.create_connection((host, int(port))) as far:
        peer.send("HTTP/1.1 200 Fine\r\n\r\n")

        def pump(source: socket.socket, sink: socket.socket) -> None:
            try:
                while piece := source.recv(65536):
                    sink.sendall(piece)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # One of them has left.

        back = threading.Thread(target=pump, args=(far, peer.socket))
        back.start()
        pump(peer.socket, far)
        back.join()


def no(peer: Peer) -> None:
    peer.send("HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")


def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a_proxy() -> None:
    with scripted(OK) as proxy:
        where = proxy.url.replace("//", "//me:secret@").removesuffix("/events")
        assert data("http://stream.example/events?a=1", proxy=where) == ["a"]
        (request,) = proxy.peers
    assert request.path == "http://stream.example/events?a=1"
    assert request.headers["host"] == "stream.example"
    assert request.headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"


def test_a_proxy_for_https(certificates: Certificates) -> None:
    with scripted(OK, tls=certificates.server()) as script, scripted(tunnel) as proxy:
        assert data(script.url, proxy=proxy.url, verify=certificates.path("ca")) == ["a"]
    assert proxy.paths == [urlsplit(script.url).netloc]
    # What is in the tunnel is not the proxy's business.
    assert "proxy-authorization" not in script.peers[0].headers


def test_a_proxy_that_refuses(certificates: Certificates) -> None:
    with scripted(no) as proxy, pytest.raises(ProxyError) as caught:
        # With all defaults: what a login is missing from is not asked again.
        list(EventSource("https://stream.example/", proxy=proxy.url))
    assert isinstance(caught.value, ConnectionError)
    assert (caught.value.status, caught.value.is_retryable) == (407, False)
    assert "user:password@" in str(caught.value)
    assert len(proxy.paths) == 1


def test_credentials_of_a_proxy_are_not_for_the_server() -> None:
    with pytest.raises(ValueError, match="user:password@host:port"):
        data("http://stream.example/", headers={"Proxy-Authorization": "Basic bWU6c2VjcmV0"})


def test_a_proxy_that_nobody_can_speak_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks4://127.0.0.1:1")
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ProxyError, match="http_proxy names a socks4:// proxy"):
        list(EventSource("http://stream.example/"))


@pytest.mark.parametrize(
    ("env", "options", "proxied"),
    [
        ({"HTTP_PROXY": "{proxy}"}, {}, True),
        ({"http_proxy": "{proxy}"}, {}, True),
        ({"ALL_PROXY": "{proxy}"}, {}, True),
        ({"http_proxy": "{proxy}"}, {"proxy": False}, False),
        ({"http_proxy": "{proxy}", "NO_PROXY": "127.0.0.1"}, {}, False),
        ({}, {}, False),
    ],
)
def test_proxies_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], options: dict[str, object], proxied: bool
) -> None:
    no_proxies(monkeypatch)
    with scripted(OK) as script, scripted(stream("data: proxied\n\n")) as proxy:
        for name, value in env.items():
            monkeypatch.setenv(name, value.format(proxy=proxy.url))
        assert data(script.url, **options) == ["proxied" if proxied else "a"]


def test_a_proxy_of_the_environment_for_https(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    no_proxies(monkeypatch)
    with (
        scripted(OK, tls=certificates.server()) as script,
        scripted(OK) as plain,
        scripted(tunnel) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert data(script.url, verify=certificates.path("ca")) == ["a"]
        assert proxy.paths == [urlsplit(script.url).netloc]
        # It is for https only.
        assert data(plain.url) == ["a"]
        assert len(proxy.peers) == 1


@contextmanager
def socks(password: bytes | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """A SOCKS5 proxy (RFC 1928, 1929): its address, and what it was asked for, by name or number."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    with near:
                        relay(near)

        def relay(near: socket.socket) -> None:
            read = near.makefile("rb", buffering=0).read
            read(read(2)[1])
            near.sendall(b"\x05\x00" if password is None else b"\x05\x02")
            if password is not None:
                given = [read(read(2)[1]), read(read(1)[0])]
                near.sendall(b"\x01\x00" if given == [b"me", password] else b"\x01\x01")
            kind = read(4)[3]
            host = read(4) if kind == 1 else read(read(1)[0])
            port = int.from_bytes(read(2), "big")
            asked.append(host)
            with socket.create_connection(("127.0.0.1", port)) as far:
                near.sendall(b"\x05\x00\x00\x01" + bytes(6))
                far.sendall(near.recv(65536))
                while piece := far.recv(65536):
                    near.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_socks_proxy() -> None:
    last = stream("data: a\n\n", Connection="close")
    with scripted(last) as script, socks() as (where, asked):
        assert data(script.url, proxy=f"socks5://{where}") == ["a"]
        # A name is looked up here, or there.
        by_name = script.url.replace("127.0.0.1", "localhost")
        assert data(by_name, proxy=f"socks5h://{where}") == ["a"]
        assert asked == [b"\x7f\x00\x00\x01", b"localhost"]
    with scripted(last) as script, socks(b"secret") as (where, _):
        assert data(script.url, proxy=f"socks5://me:secret@{where}") == ["a"]


# Unix sockets.


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with scripted(OK, unix=str(path)) as script:
        assert data("http://some.host/events?a=1", unix_socket=path) == ["a"]
        assert data("http://some.host/", unix_socket=str(path)) == ["a"]
    assert script.paths == ["/events?a=1", "/"]
    assert script.peers[0].headers["host"] == "some.host"


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match="nobody"):
        data("http://localhost/", unix_socket=tmp_path / "nobody")
