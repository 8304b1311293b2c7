"""Makes certificates: an authority, and what it signs. For local clusters; cert-manager does it elsewhere.

A directory is written as Kubernetes mounts a secret: the files are links into `..data`, which is a link to a
folder with all of them, swapped in one step.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aidb.security.names import server_name

AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
# Clocks differ: a certificate is good from a little before it was made.
_SLACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def new_authority(name: str, *, now: datetime | None = None) -> Signed:
    """Signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    signed = (
        _builder(subject, subject, key, timedelta(days=AUTHORITY_DAYS), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(signed, key)


def program(
    authority: Signed,
    name: str,
    kind: str,
    domain: str,
    life: timedelta = timedelta(days=LEAF_DAYS),
    *,
    now: datetime | None = None,
) -> Signed:
    """For a program of the cluster. ``kind``: node or coordinator."""
    names = [f"{kind}.{domain}", server_name(domain), "localhost"]
    return _leaf(authority, name, names, life, now, serves=True)


def client(
    authority: Signed,
    name: str,
    life: timedelta = timedelta(days=LEAF_DAYS),
    *,
    now: datetime | None = None,
) -> Signed:
    """For a client: it opens connections, and cannot be taken for a server."""
    return _leaf(authority, name, [f"client.{name}"], life, now, serves=False)


def _leaf(
    authority: Signed, name: str, names: list[str], life: timedelta, now: datetime | None, *, serves: bool
) -> Signed:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if serves:
        alternatives.append(x509.IPAddress(ip_address("127.0.0.1")))
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    signed = (
        _builder(_name(name), issuer.subject, key, life, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return _pem(signed, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    life: timedelta,
    now: datetime | None,
) -> x509.CertificateBuilder:
    now = now or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An expired one, for tests, began before it ended.
        .not_valid_before(min(now, now + life) - _SLACK)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Signed:
    return Signed(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def write_directory(directory: Path, ca: bytes, signed: Signed) -> None:
    """A TLS directory, or its next content. Only its owner may read it. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = directory / "..data"
    previous = data.readlink() if data.is_symlink() else None
    folder = directory / f"..{datetime.now(UTC):%Y_%m_%dT%H_%M_%S.%f}"
    folder.mkdir(mode=0o700)
    files = {"ca.crt": ca, "tls.crt": signed.certificate, "tls.key": signed.key}
    for name, content in files.items():
        write_private(folder / name, content)
    scratch = directory / "..data_new"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(folder.name)
    scratch.rename(data)
    for name in files:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)
    if previous is not None:
        shutil.rmtree(directory / previous, ignore_errors=True)


def write_private(path: Path, content: bytes) -> None:
    """Replaces ``path`` in one step, readable by its owner alone. Raises OSError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
