"""Certificates as a step of the reconcile."""

from __future__ import annotations

from datetime import timedelta

from aidb_operator import names
from aidb_operator.api.conditions import Type
from aidb_operator.kubernetes import kinds
from aidb_operator.plan.certificates.planning import Policy
from aidb_operator.plan.certificates.planning import plan as plan_secrets
from aidb_operator.plan.certificates.secret import text_of
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Condition, Desired, Event, Outcome, View

RENEW_CERTIFICATES = f"{names.GROUP}/renew-certificates"
RENEW_AUTHORITY = f"{names.GROUP}/renew-authority"


def plan(view: View) -> Outcome:
    """Nothing where TLS is off."""
    if not view.spec.security.tls.enabled:
        return Outcome(
            conditions=[
                Condition(Type.CERTIFICATES_READY, False, "TlsOff", "whoever reaches a port may do anything")
            ]
        )
    base = made(view, kinds.SECRET, "")["metadata"]
    found = plan_secrets(view.name, base, policy(view), view.observed.objects.get(kinds.SECRET, {}), view.now)
    if found.problems:
        condition = Condition(Type.CERTIFICATES_READY, False, "SecretUnusable", "; ".join(found.problems))
    else:
        until = "" if found.expires is None else f"until {text_of(found.expires)}"
        condition = Condition(Type.CERTIFICATES_READY, True, "Issued", until)
    return Outcome(
        actions=[Desired(raw, fresh="resourceVersion" not in raw["metadata"]) for raw in found.write],
        conditions=[condition],
        events=[Event(reason, message) for reason, message in found.events],
        status={} if found.expires is None else {"certificatesUntil": text_of(found.expires)},
        again=None if found.due is None else max(1.0, (found.due - view.now).total_seconds()),
    )


def policy(view: View) -> Policy:
    tls = view.spec.security.tls
    annotations = view.cluster["metadata"].get("annotations") or {}
    return Policy(
        life=timedelta(days=tls.certificate_days),
        renew_before=timedelta(days=tls.renew_before_days),
        renew_certificates=annotations.get(RENEW_CERTIFICATES, ""),
        renew_authority=annotations.get(RENEW_AUTHORITY, ""),
    )
