"""The authority, and how one is replaced by another while everything runs.

    steady      one is trusted, and signs
    announced   the next is trusted too; the one before still signs
    switched    the next signs; the one before is still trusted
    steady      only the next is

Each step waits until everybody has what the one before wrote: certificates are written, and the nodes have
had the time to bring them into the pods. The step is an annotation of the Secret, so that an operator that
is restarted goes on with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509

from aidb.security.authority import Signed, new_authority
from aidb_operator.plan.certificates.secret import RENEWED_FOR, Secret

STEP = "aidb.io/authority-step"
STEADY, ANNOUNCED, SWITCHED = "steady", "announced", "switched"

# Of the ten years of one.
RENEW_BEFORE = timedelta(days=365)

_NEWEST = ("tls.crt", "tls.key")
_BEFORE = ("previous.crt", "previous.key")


@dataclass(frozen=True, slots=True)
class Authority:
    """``before``: signs until the step is over; None when there is none, or its key is lost.

    ``trusted``: PEM of all that are.
    """

    newest: Signed
    trusted: bytes
    step: str = STEADY
    before: Signed | None = None
    renewed_for: str = ""
    expires: datetime | None = field(default=None)

    @property
    def signer(self) -> Signed:
        return self.before or self.newest

    @property
    def data(self) -> Mapping[str, bytes]:
        data = {"ca.crt": self.trusted, "tls.crt": self.newest.certificate, "tls.key": self.newest.key}
        if self.before is not None:
            data |= {"previous.crt": self.before.certificate, "previous.key": self.before.key}
        return data

    @property
    def annotations(self) -> Mapping[str, str]:
        return {STEP: self.step, RENEWED_FOR: self.renewed_for}

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether one that is to sign at this step signed it; while the next is announced any that is
        trusted will do.
        """
        if self.step == ANNOUNCED:
            return any(_issued(one, certificate) for one in parsed(self.trusted))
        return _issued(x509.load_pem_x509_certificate(self.newest.certificate), certificate)


def read(secret: Secret) -> Authority | None:
    """None when there is none, or it is damaged."""
    newest = _signed(secret, *_NEWEST)
    if newest is None:
        return None
    step = STEADY if secret.foreign else secret.annotations.get(STEP, STEADY)
    return Authority(
        newest,
        secret.pem("ca.crt") or newest.certificate,
        step,
        _signed(secret, *_BEFORE) if step == ANNOUNCED else None,
        secret.annotations.get(RENEWED_FOR, ""),
        x509.load_pem_x509_certificate(newest.certificate).not_valid_after_utc,
    )


def first(name: str, trusted_elsewhere: bytes, now: datetime) -> Authority:
    """One where there is none. When certificates of one that is lost are in use, it is announced first."""
    made = new_authority(name, now=now)
    if not trusted_elsewhere:
        return Authority(made, made.certificate)
    return Authority(made, made.certificate + trusted_elsewhere, ANNOUNCED)


def due(authority: Authority, asked: str, now: datetime) -> str:
    """Why another is to be made now; empty: it is not."""
    if authority.step != STEADY:
        return ""
    if asked and asked != authority.renewed_for:
        return "it was asked for"
    assert authority.expires is not None
    return f"it ends at {authority.expires:%Y-%m-%d}" if now >= authority.expires - RENEW_BEFORE else ""


def announce(authority: Authority, name: str, asked: str, now: datetime) -> Authority:
    made = new_authority(name, now=now)
    return Authority(
        made,
        authority.trusted + made.certificate,
        ANNOUNCED,
        authority.newest,
        asked or authority.renewed_for,
    )


def following(authority: Authority) -> Authority:
    """The next step of one that is being replaced."""
    if authority.step == ANNOUNCED:
        return replace(authority, step=SWITCHED, before=None)
    return replace(authority, step=STEADY, before=None, trusted=authority.newest.certificate)


def parsed(pem: bytes) -> list[x509.Certificate]:
    """None that cannot be read."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # a signature, a name, a kind of key: whatever does not fit
        return False
    return True


def _signed(secret: Secret, certificate: str, key: str) -> Signed | None:
    pem, private = secret.pem(certificate), secret.pem(key)
    try:
        x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None
    return Signed(pem, private) if private else None
