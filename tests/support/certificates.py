"""Certificates that nobody trusts."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certify(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for localhost that signs itself."""
    key, certificate = folder / "tls.key", folder / "tls.crt"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return key, certificate
