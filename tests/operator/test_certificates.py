"""Certificates of a cluster: made once, renewed in time, and never a moment at which two programs that have
been given the time to read their files do not trust each other.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aidb_operator.coordinator import credentials_of
from aidb_operator.plan.certificates.planning import STEP_SECONDS, Plan, Policy, plan

from aidb.security import tokens
from aidb.security.material import Material
from tests.operator.secrets import certificate, content, stored, trusted, verifies

Raw = dict[str, Any]
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
BASE = {
    "namespace": "ns",
    "labels": {"app.kubernetes.io/managed-by": "aidb-operator", "aidb.io/cluster": "c"},
    "ownerReferences": [{"uid": "u"}],
}
PROGRAMS = ("c-node-tls", "c-coordinator-tls")
HOLDERS = (*PROGRAMS, "c-client-tls")
STEP = timedelta(seconds=STEP_SECONDS)


def planned(secrets: dict[str, Raw], now: datetime, policy: Policy | None = None) -> Plan:
    return plan("c", BASE, policy or Policy(), secrets, now)


@pytest.fixture(scope="module")
def made() -> dict[str, Raw]:
    return stored({}, planned({}, BEGIN))


def without(secrets: dict[str, Raw], gone: str) -> dict[str, Raw]:
    return {name: secret for name, secret in secrets.items() if name != gone}


def changed(secrets: dict[str, Raw], name: str, **data: str) -> dict[str, Raw]:
    """Of what is base64."""
    return {**secrets, name: {**secrets[name], "data": {**secrets[name]["data"], **data}}}


def test_all_of_them_are_made(made: dict[str, Raw]) -> None:
    assert list(made) == ["c-ca", "c-tokens", "c-node-tls", "c-coordinator-tls", "c-client-tls"]
    for name in HOLDERS:
        material = Material(*(content(made[name], key) for key in ("ca.crt", "tls.crt", "tls.key")))
        material.checked()
        assert made[name]["metadata"]["ownerReferences"] == [{"uid": "u"}]
        assert all(verifies(made[program], made[name], BEGIN) for program in PROGRAMS)
    held = credentials_of(made["c-client-tls"])
    assert held is not None
    found = tokens.find(tokens.parse(content(made["c-tokens"], "tokens.json")), held.token)
    assert found is not None and found.role == "admin"


def test_nothing_is_written_when_nothing_is_due(made: dict[str, Raw]) -> None:
    for days in range(0, 60, 7):
        nothing = planned(made, BEGIN + timedelta(days=days))
        assert nothing.write == () and nothing.events == ()
    assert nothing.due == certificate(made["c-node-tls"]).not_valid_after_utc - timedelta(days=30)
    assert nothing.expires == certificate(made["c-node-tls"]).not_valid_after_utc


def test_no_secret_shows() -> None:
    made = planned({}, BEGIN)
    secrets = stored({}, made)
    shown = repr(made)
    assert "PRIVATE" not in shown and content(secrets["c-client-tls"], "token").decode() not in shown
    for secret in secrets.values():
        assert all(value not in shown for value in secret["data"].values())


def test_certificates_are_renewed_in_time(made: dict[str, Raw]) -> None:
    soon = BEGIN + timedelta(days=61)
    renewed = planned(made, soon)
    assert [one["metadata"]["name"] for one in renewed.write] == list(HOLDERS)
    assert {reason for reason, _ in renewed.events} == {"CertificateIssued"}
    after = stored(made, renewed)
    assert planned(after, soon).write == ()
    for name in HOLDERS:
        assert certificate(after[name]).not_valid_after_utc == soon + timedelta(days=90)
        assert trusted(after[name]) == trusted(made[name])
    assert content(after["c-client-tls"], "token") == content(made["c-client-tls"], "token")


def test_a_write_names_the_version_that_it_replaces(made: dict[str, Raw]) -> None:
    versions = [one["metadata"].get("resourceVersion") for one in planned({}, BEGIN).write]
    assert versions == [None] * 5
    renewed = planned(made, BEGIN + timedelta(days=61)).write
    assert [one["metadata"].get("resourceVersion") for one in renewed] == ["7"] * 3


def test_a_short_life_is_not_renewed_all_the_time() -> None:
    policy = Policy(life=timedelta(days=2), renew_before=timedelta(days=30))
    made = stored({}, planned({}, BEGIN, policy))
    assert planned(made, BEGIN + timedelta(hours=20), policy).write == ()
    assert planned(made, BEGIN + timedelta(hours=25), policy).write


def test_people_may_ask_for_new_ones_once(made: dict[str, Raw]) -> None:
    policy = Policy(renew_certificates="after the leak")
    after = stored(made, planned(made, BEGIN, policy))
    assert all(certificate(after[name]) != certificate(made[name]) for name in HOLDERS)
    assert planned(after, BEGIN, policy).write == ()
    assert planned(after, BEGIN).write == ()


def talk(old: dict[str, Raw], new: dict[str, Raw], when: datetime) -> None:
    """Between two looks some have the new files and some the old ones: all have to trust each other."""
    for server in PROGRAMS:
        for client in HOLDERS:
            for shown in (old, new):
                for held in (old, new):
                    assert verifies(shown[server], held[client], when), (server, client)


def course(first: dict[str, Raw], policy: Policy) -> tuple[list[dict[str, Raw]], list[str], datetime]:
    """What the Secrets become while time passes, the steps, and when that was over."""
    now, states, steps = BEGIN, [first], []
    for _ in range(12):
        look = planned(states[-1], now, policy)
        if look.write:
            states.append(stored(states[-1], look))
            steps.append(look.step)
            assert planned(states[-1], now, policy).write == (), "a step takes time"
            talk(states[-2], states[-1], now)
        now += STEP / 2
    return states, steps, now


def test_an_authority_is_replaced_step_by_step(made: dict[str, Raw]) -> None:
    policy = Policy(renew_authority="2030")
    states, steps, now = course(made, policy)
    assert steps == ["announced", "switched", "steady"]
    first, last = states[0], states[-1]
    assert trusted(last["c-node-tls"]) == [certificate(last["c-ca"])] != trusted(first["c-node-tls"])
    assert "previous.key" not in last["c-ca"]["data"]
    assert planned(last, now + timedelta(days=30), policy).write == (), "once for each time it is asked for"


def test_a_step_waits_for_certificates_that_are_not_written(made: dict[str, Raw]) -> None:
    policy = Policy(renew_authority="2030")
    announced = planned(made, BEGIN, policy)
    half = stored(made, Plan(write=announced.write[:2]))
    later = planned(half, BEGIN + 10 * STEP, policy)
    assert later.step == "announced"
    assert {one["metadata"]["name"] for one in later.write} == {"c-coordinator-tls", "c-client-tls"}
    after = stored(half, later)
    assert planned(after, BEGIN + 10 * STEP + STEP / 2, policy).write == ()
    assert planned(after, BEGIN + 11 * STEP, policy).step == "switched"


def test_an_authority_is_replaced_before_it_ends(made: dict[str, Raw]) -> None:
    late = certificate(made["c-ca"]).not_valid_after_utc - timedelta(days=364)
    assert planned(made, late).step == "announced"


def test_no_certificate_outlives_its_authority() -> None:
    policy = Policy(life=timedelta(days=36500))
    made = stored({}, planned({}, BEGIN, policy))
    end = certificate(made["c-ca"]).not_valid_after_utc
    assert all(certificate(made[name]).not_valid_after_utc <= end for name in HOLDERS)


def test_a_lost_authority_cuts_nobody_off(made: dict[str, Raw]) -> None:
    states, steps, _ = course(without(made, "c-ca"), Policy())
    assert steps == ["announced", "switched", "steady"]
    assert len(trusted(states[-1]["c-node-tls"])) == 1


@pytest.mark.parametrize("key", ["tls.crt", "tls.key"])
def test_damage_is_replaced(made: dict[str, Raw], key: str) -> None:
    look = planned(changed(made, "c-node-tls", **{key: "AAAA"}), BEGIN)
    assert [one["metadata"]["name"] for one in look.write] == ["c-node-tls"]


def test_another_ones_key_is_noticed(made: dict[str, Raw]) -> None:
    mixed = changed(made, "c-node-tls", **{"tls.key": made["c-client-tls"]["data"]["tls.key"]})
    assert [one["metadata"]["name"] for one in planned(mixed, BEGIN).write] == ["c-node-tls"]


def test_a_deleted_client_secret_revokes_its_token(made: dict[str, Raw]) -> None:
    rest = without(made, "c-client-tls")
    look = planned(rest, BEGIN)
    after = stored(rest, look)
    assert [one["metadata"]["name"] for one in look.write] == ["c-tokens", "c-client-tls"]
    known = tokens.parse(content(after["c-tokens"], "tokens.json"))
    assert tokens.find(known, content(made["c-client-tls"], "token").decode()) is None
    assert tokens.find(known, content(after["c-client-tls"], "token").decode()) is not None


def test_tokens_of_people_stay(made: dict[str, Raw]) -> None:
    mine = tokens.Token("ci", "read-only", tokens.digest("x").hex())
    file = tokens.document([*tokens.parse(content(made["c-tokens"], "tokens.json")), mine])
    known = changed(made, "c-tokens", **{"tokens.json": base64.b64encode(file).decode()})
    assert planned(known, BEGIN).write == ()
    rest = without(known, "c-client-tls")
    after = stored(rest, planned(rest, BEGIN))
    assert mine in tokens.parse(content(after["c-tokens"], "tokens.json"))


def test_damaged_tokens_are_told_and_left(made: dict[str, Raw]) -> None:
    look = planned(changed(made, "c-tokens", **{"tokens.json": "AAAA"}), BEGIN)
    assert look.write == () and "c-tokens" in look.problems[0]


def test_secrets_of_somebody_else_are_used_and_never_written(made: dict[str, Raw]) -> None:
    foreign = json.loads(json.dumps(made))
    for secret in foreign.values():
        secret["metadata"]["labels"] = {"aidb.io/cluster": "c"}
    assert planned(foreign, BEGIN + timedelta(days=3000)).write == ()
    only_authority = {"c-ca": foreign["c-ca"]}
    look = planned(only_authority, BEGIN)
    after = stored(only_authority, look)
    assert [one["metadata"]["name"] for one in look.write] == ["c-tokens", *HOLDERS]
    assert trusted(after["c-node-tls"]) == [certificate(made["c-ca"])]
