"""The test service of `tests/contract`, played through by our own driver; and the driver, which has to notice faults."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from processes import ROOT, free_port, running

FOLDER = ROOT / "tests" / "contract"


def drive(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FOLDER / "driver.py"), "--url", url, *options],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


@pytest.mark.parametrize("options", [[], ["--sync"]])
def test_all_behaviours(options: list[str]) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}/"
    command = [sys.executable, str(FOLDER / "python" / "service.py"), "--port", str(port)]
    with running([*command, *options], url=url) as child:
        done = drive(url)
        output = child.output()
    assert done.returncode == 0, done.stdout + done.stderr + output
    assert done.stdout == "110 passed, 0 failed\n"
    assert "Traceback" not in output
    assert done.stderr == ""


@contextmanager
def deaf_service() -> Iterator[str]:
    """Takes orders and does nothing."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, b'{"capabilities": ["204"]}')

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(201, b"")

        def do_DELETE(self) -> None:
            self._answer(204, b"")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Location", "/clients/1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_a_client_that_does_nothing_fails() -> None:
    with deaf_service() as url:
        done = drive(url, "--run", "http/")
    assert done.returncode == 1
    # It does claim to know 204, to which it should have come once.
    assert "FAILED http/204 is the end" in done.stdout
    assert done.stdout.count("FAILED") == 8
    assert done.stdout.count("not claimed") == 4
