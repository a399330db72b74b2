"""A real nginx in front of a server of ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from http_stream import Address
from processes import Child, free_port, running

# How nginx talks to the server behind it.
OPTIONS = {
    # What it does unless it is told otherwise: HTTP/1.0, a connection per request.
    "plain": "",
    "http-1.1": "proxy_http_version 1.1;",
    "keep-alive": 'proxy_http_version 1.1; proxy_set_header Connection "";',
}

CONFIGURATION = """
daemon off;
{user}
pid {folder}/pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream app {{ server {host}:{port}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{listen};
    # Silence for so long, and nginx gives up: comments must come in between.
    proxy_read_timeout 2s;
    location / {{ proxy_pass http://app; {options} }}
  }}
}}
"""


@contextmanager
def nginx(
    address: Address, folder: Path, options: str = OPTIONS["http-1.1"]
) -> Iterator[tuple[Child, Address]]:
    """Runs nginx in front of a server, with these options of its `location`."""
    # Debian has it where only root looks for programs.
    program = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if program is None:
        pytest.fail("nginx is not installed; run: scripts/system-deps.sh", pytrace=False)
    assert isinstance(address, tuple)
    host, port = address
    listen = free_port()
    path = folder / "nginx.conf"
    text = CONFIGURATION.format(
        folder=folder,
        user="user root;" if os.geteuid() == 0 else "",
        host=host,
        port=port,
        listen=listen,
        options=options,
    )
    path.write_text(text)
    command = [program, "-c", str(path), "-p", str(folder), "-e", "stderr"]
    with running(command, url=f"http://127.0.0.1:{listen}/") as child:
        yield child, ("127.0.0.1", listen)
