"""The certificates that an authority signs: whether one is good, and the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from aidb.security import authority as making
from aidb.security.names import server_name
from aidb_operator.plan.certificates.authority import Authority
from aidb_operator.plan.certificates.secret import RENEWED_FOR, Secret


@dataclass(frozen=True, slots=True)
class Kind:
    """``role``: node, coordinator or client."""

    suffix: str
    role: str


NODE = Kind("node-tls", "node")
COORDINATOR = Kind("coordinator-tls", "coordinator")
CLIENT = Kind("client-tls", "client")
KINDS = (NODE, COORDINATOR, CLIENT)


@dataclass(frozen=True, slots=True)
class Terms:
    """``asked``: the annotation by which people ask for new ones."""

    domain: str
    life: timedelta
    renew_before: timedelta
    asked: str


def fault(secret: Secret, kind: Kind, authority: Authority, terms: Terms, now: datetime) -> str:
    """Why another certificate is due; empty: it is not."""
    if not secret.exists:
        return "there is none"
    try:
        certificate = x509.load_pem_x509_certificate(secret.pem("tls.crt"))
        key = serialization.load_pem_private_key(secret.pem("tls.key"), None)
    except (ValueError, TypeError):
        return "it is damaged"
    if _public(key) != _public(certificate):
        return "it is damaged: the key is of another"
    if not authority.issued(certificate):
        return "another authority signs"
    if kind.role != CLIENT.role and not _names(kind, terms.domain) <= _dns_names(certificate):
        return "it has other names"
    if terms.asked and secret.annotations.get(RENEWED_FOR, "") != terms.asked:
        return "it was asked for"
    if now >= renewal(certificate, terms):
        return f"it ends at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M}"
    return ""


def renewal(certificate: x509.Certificate, terms: Terms) -> datetime:
    """When the next one is due: some time before its end, but never in the first half of its life."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return max(end - terms.renew_before, begin + (end - begin) / 2)


def issue(name: str, kind: Kind, authority: Authority, terms: Terms, now: datetime) -> Mapping[str, bytes]:
    """The content of the Secret, but for what a client has besides. It ends before its authority does."""
    end = x509.load_pem_x509_certificate(authority.signer.certificate).not_valid_after_utc
    life = min(terms.life, end - now)
    if kind.role == CLIENT.role:
        signed = making.client(authority.signer, name, life, now=now)
    else:
        signed = making.program(authority.signer, name, kind.role, terms.domain, life, now=now)
    return {"ca.crt": authority.trusted, "tls.crt": signed.certificate, "tls.key": signed.key}


def _names(kind: Kind, domain: str) -> set[str]:
    return {f"{kind.role}.{domain}", server_name(domain)}


def _dns_names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(found.value.get_values_for_type(x509.DNSName))


def _public(holder: object) -> bytes:
    public = holder.public_key()  # type: ignore[attr-defined]
    encoded: bytes = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
