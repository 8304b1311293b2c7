"""What is to be written of a cluster's certificates now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aidb.security import tokens as token_file
from aidb.security.names import DEFAULT_DOMAIN
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import Names
from aidb_operator.plan.certificates import authority as authorities
from aidb_operator.plan.certificates import leaf as leaves
from aidb_operator.plan.certificates.authority import STEADY, SWITCHED, Authority
from aidb_operator.plan.certificates.secret import (
    OPAQUE,
    RENEWED_FOR,
    TLS,
    WRITTEN_AT,
    Secret,
    manifest,
    text_of,
)
from aidb_operator.plan.certificates.tokens import FILE, with_administrator

# A kubelet looks at the Secrets of its pods each minute or so; programs at their files each second.
STEP_SECONDS = 300

# Reasons of events; stable.
AUTHORITY_CREATED = "AuthorityCreated"
AUTHORITY_ROTATING = "AuthorityRotating"
AUTHORITY_ROTATED = "AuthorityRotated"
CERTIFICATE_ISSUED = "CertificateIssued"
TOKEN_CREATED = "TokenCreated"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Policy:
    """Of spec.security.tls, and of the annotations by which people ask for new ones."""

    life: timedelta = timedelta(days=90)
    renew_before: timedelta = timedelta(days=30)
    domain: str = DEFAULT_DOMAIN
    renew_certificates: str = ""
    renew_authority: str = ""
    step: timedelta = timedelta(seconds=STEP_SECONDS)

    @property
    def terms(self) -> leaves.Terms:
        return leaves.Terms(self.domain, self.life, self.renew_before, self.renew_certificates)


@dataclass(frozen=True, slots=True)
class Plan:
    """Attributes:
    write: Secrets, in this order: keys are kept before anything is signed by them.
    events: (reason, message); no secrets in them.
    problems: what people have to see to.
    due: when something is to be done next, if nobody asks for it before.
    expires: the first end of a certificate that is in use.
    step: of the authority.
    """

    write: tuple[Raw, ...] = field(default=(), repr=False)
    events: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    due: datetime | None = None
    expires: datetime | None = None
    step: str = STEADY


def secret_names(cluster: str) -> Mapping[str, str]:
    """By what they are."""
    names = Names(cluster)
    return {
        "ca": names.authority,
        "tokens": names.tokens,
        **{kind.suffix: f"{cluster}-{kind.suffix}" for kind in leaves.KINDS},
    }


def plan(
    cluster: str,
    base: Mapping[str, Any],
    policy: Policy,
    secrets: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> Plan:
    """``base``: metadata that all objects of the cluster have; ``secrets``: those that exist, by name."""
    return _Planner(cluster, base, policy, secrets, now).plan()


class _Planner:
    def __init__(
        self,
        cluster: str,
        base: Mapping[str, Any],
        policy: Policy,
        secrets: Mapping[str, Mapping[str, Any]],
        now: datetime,
    ) -> None:
        self._cluster = cluster
        self._base = base
        self._policy = policy
        self._secrets = {what: Secret.of(secrets.get(name)) for what, name in secret_names(cluster).items()}
        self._now = now
        self._write: list[Raw] = []
        self._events: list[tuple[str, str]] = []
        self._problems: list[str] = []
        self._ends: list[datetime] = []
        self._due: list[datetime] = []

    def plan(self) -> Plan:
        authority = self._authority()
        self._leaves(authority)
        return Plan(
            tuple(self._write),
            tuple(self._events),
            tuple(self._problems),
            min(self._due, default=None),
            min(self._ends, default=None),
            authority.step,
        )

    def _authority(self) -> Authority:
        secret = self._secrets["ca"]
        found = authorities.read(secret)
        name = f"aidb {self._cluster} {text_of(self._now)}"
        if found is None:
            if secret.exists and not secret.foreign:
                self._problems.append(f"Secret {self._cluster}-ca was damaged: another authority is made")
            found = authorities.first(name, self._trusted_by_leaves(), self._now)
            if secret.foreign:
                self._problems.append(
                    f"Secret {self._cluster}-ca holds no tls.crt with its tls.key: correct it, or delete it"
                )
                return found
            self._keep(found, AUTHORITY_CREATED, "the cluster has an authority of its own")
            return found
        if secret.foreign:
            return found
        why = authorities.due(found, self._policy.renew_authority, self._now)
        if why:
            found = authorities.announce(found, name, self._policy.renew_authority, self._now)
            self._keep(found, AUTHORITY_ROTATING, f"another authority is made and trusted: {why}")
        elif found.step != STEADY:
            found = self._go_on(found)
        elif found.expires is not None:
            self._due.append(found.expires - authorities.RENEW_BEFORE)
        return found

    def _go_on(self, authority: Authority) -> Authority:
        """The next step, when everybody has what this one wrote."""
        own = [self._secrets[kind.suffix] for kind in leaves.KINDS]
        written = [one.written_at for one in (self._secrets["ca"], *own) if not one.foreign]
        latest = max((when for when in written if when is not None), default=self._now)
        complete = all(one.foreign or self._is_good(one, kind, authority) for one, kind in self._of_kinds())
        if not complete or self._now < latest + self._policy.step:
            self._due.append(max(self._now, latest) + self._policy.step)
            return authority
        authority = authorities.following(authority)
        if authority.step == SWITCHED:
            self._keep(authority, AUTHORITY_ROTATING, "the new authority signs; the old one is still trusted")
        else:
            self._keep(authority, AUTHORITY_ROTATED, "only the new authority is trusted")
        return authority

    def _is_good(self, secret: Secret, kind: leaves.Kind, authority: Authority) -> bool:
        return secret.pem("ca.crt") == authority.trusted and not leaves.fault(
            secret, kind, authority, self._policy.terms, self._now
        )

    def _of_kinds(self) -> list[tuple[Secret, leaves.Kind]]:
        return [(self._secrets[kind.suffix], kind) for kind in leaves.KINDS]

    def _keep(self, authority: Authority, reason: str, message: str) -> None:
        annotations = {**authority.annotations, WRITTEN_AT: text_of(self._now)}
        name = f"{self._cluster}-ca"
        self._write.append(manifest(self._base, name, TLS, authority.data, annotations, self._secrets["ca"]))
        self._events.append((reason, message))
        if authority.step != STEADY:
            self._due.append(self._now + self._policy.step)

    def _trusted_by_leaves(self) -> bytes:
        """What programs trust while the authority itself is lost."""
        for secret, _ in self._of_kinds():
            if not secret.foreign and authorities.parsed(secret.pem("ca.crt")):
                return secret.pem("ca.crt")
        return b""

    def _leaves(self, authority: Authority) -> None:
        token = _token(self._secrets[leaves.CLIENT.suffix])
        if not token and not self._secrets[leaves.CLIENT.suffix].foreign:
            token = token_file.new_secret()
            self._events.append((TOKEN_CREATED, f"Secret {self._cluster}-client-tls has an administrator's"))
        if token:
            self._tokens(token)
        for secret, kind in self._of_kinds():
            if secret.foreign:
                self._note_end(secret)
                continue
            more = {"token": token.encode()} if kind is leaves.CLIENT else {}
            self._leaf(secret, kind, authority, more)

    def _leaf(
        self, secret: Secret, kind: leaves.Kind, authority: Authority, more: Mapping[str, bytes]
    ) -> None:
        name = f"{self._cluster}-{kind.suffix}"
        why = leaves.fault(secret, kind, authority, self._policy.terms, self._now)
        if why:
            program = f"{self._cluster}-{kind.role}"
            data = leaves.issue(program, kind, authority, self._policy.terms, self._now)
            self._events.append((CERTIFICATE_ISSUED, f"Secret {name}: {why}"))
        else:
            data = {**secret.data, "ca.crt": authority.trusted}
        data = {**data, **more}
        if data != secret.data:
            annotations = {
                WRITTEN_AT: text_of(self._now),
                RENEWED_FOR: self._policy.renew_certificates
                if why
                else secret.annotations.get(RENEWED_FOR, ""),
            }
            self._write.append(manifest(self._base, name, TLS, data, annotations, secret))
        self._note_end(Secret(data=data))

    def _note_end(self, secret: Secret) -> None:
        for certificate in authorities.parsed(secret.pem("tls.crt"))[:1]:
            self._ends.append(certificate.not_valid_after_utc)
            self._due.append(leaves.renewal(certificate, self._policy.terms))

    def _tokens(self, token: str) -> None:
        secret = self._secrets["tokens"]
        try:
            content = with_administrator(secret.pem(FILE), token)
        except token_file.BadTokens as error:
            self._problems.append(f"Secret {self._cluster}-tokens: {error}")
            return
        if content is None:
            return
        if secret.foreign:
            self._problems.append(
                f"Secret {self._cluster}-tokens is not the operator's and does not know the token in "
                f"{self._cluster}-client-tls: add its hash as an administrator's"
            )
            return
        name = f"{self._cluster}-tokens"
        data = {**secret.data, FILE: content}
        annotations = {WRITTEN_AT: text_of(self._now)}
        self._write.append(manifest(self._base, name, OPAQUE, data, annotations, secret))


def _token(secret: Secret) -> str:
    return secret.pem("token").decode("ascii", "replace").strip()
