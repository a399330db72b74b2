"""Certificates for servers that speak TLS themselves, and for clients that have to show one."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


def certificate(folder: Path) -> tuple[str, str]:
    """Makes one for the loopback address; the files of the certificate and its key."""
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*command, "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


@dataclass(frozen=True)
class Certificates:
    """Files of a certification authority, and of a server and a client that it vouches for."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def server(self, *, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("server"), self.path("server-key"))
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path("ca"))
        return context


def issue(folder: Path) -> Certificates:
    """Makes an authority, and what it vouches for: a server on the loopback address, and a client."""
    made = Certificates(folder)

    def openssl(name: str, *options: str) -> None:
        command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]
        command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}"]
        command += ["-keyout", made.path(f"{name}-key"), "-out", made.path(name)]
        subprocess.run([*command, *options], check=True, capture_output=True)

    openssl("ca")
    issued = ["-CA", made.path("ca"), "-CAkey", made.path("ca-key")]
    issued += ["-addext", "basicConstraints=critical,CA:FALSE"]
    openssl("server", *issued, "-addext", "subjectAltName=IP:127.0.0.1")
    openssl("client", *issued)
    both = "".join(Path(made.path(name)).read_text() for name in ("client", "client-key"))
    Path(made.path("client-both")).write_text(both)
    return made
