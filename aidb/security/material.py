"""A TLS directory: `ca.crt`, `tls.crt`, `tls.key`, as cert-manager and Kubernetes secrets lay them out.

`ca.crt` may hold several authorities, which is how one is replaced by another: all in it are trusted.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class BadMaterial(ValueError):
    """The files cannot be used; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Material:
    """The files' content, PEM."""

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)

    @classmethod
    def read(cls, directory: Path) -> Material:
        """Raises BadMaterial."""
        try:
            parts = [(directory / name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key")]
        except OSError as error:
            raise BadMaterial(f"{error.filename}: {error.strerror}") from error
        return cls(*parts)

    def checked(self) -> Material:
        """Itself. Raises BadMaterial when the key does not fit the certificate, or a file is no PEM."""
        self.context()
        return self

    def context(self) -> ssl.SSLContext:
        """For a server that asks clients for a certificate. Raises BadMaterial."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=self.ca.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise BadMaterial("ca.crt holds no certificates in PEM") from error
        try:
            with _in_memory(self.certificate) as certificate, _in_memory(self.key) as key:
                context.load_cert_chain(certificate, key)
        except (ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or "no PEM"
            raise BadMaterial(f"tls.crt and tls.key cannot be used together: {why}") from error
        return context


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path to ``content``: ssl takes certificates from files only, and the key must touch no disk."""
    descriptor = os.memfd_create("aidb-tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
