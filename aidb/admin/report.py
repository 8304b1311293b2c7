"""`aidb-admin report`.

findings.txt, findings.json              what is wrong, and which page helps
coordinator/status.json, ...             what the coordinator knows; topology.json
members/NAME/{stats,info}.json           what each member says of itself
metrics/NAME.prom                        a scrape of every program
local/, logs/                            of a local cluster: how it was made, processes, the ends of the logs
versions.json                            of what makes the report
report.json                              of what, when, and what could not be had
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aidb.admin import topology
from aidb.cli import output
from aidb.cli.connection import coordination, find_address, find_tls
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.version import versions
from aidb.local.cluster import LocalCluster
from aidb.local.layout import default_data
from aidb.report import coordinator, findings, local, members
from aidb.report.archive import Archive, archive, default_path
from aidb.report.findings import Finding
from aidb.v1 import cluster_pb2 as pb


def report(address: str | None, into: Path | None, how: Output, *, tail: int, timeout: float) -> int:
    """Raises Failure, OSError: the archive cannot be written. Whatever else goes wrong is in it."""
    found = find_address(address)
    here = _local(found)
    name = here.description.cluster_uid[:8] if here is not None else found.replace(":", "-").split(",")[0]
    path = into or default_path(name)
    about: dict[str, Any] = {"address": found, "at_ms": time.time_ns() // 1_000_000}
    known = local.secrets(here)
    problems: list[Finding] = []
    try:
        with archive(path, about, known) as made:
            problems += _ask_all(found, made, timeout)
            if here is not None:
                problems += local.add(here, made, tail)
            made.add_document("versions.json", versions())
            made.add_document("findings.json", [asdict(one) for one in problems])
            made.add("findings.txt", findings.as_text(problems))
    except FileExistsError as error:
        raise Failure(f"{path} exists: name another with --file", Exit.BAD_INPUT) from error
    told = {
        "file": str(path),
        **about,
        "missing": made.missing,
        "findings": [asdict(one) for one in problems],
    }
    if how is Output.TABLE:
        output.line(str(path))
        output.note(findings.as_text(problems).rstrip())
        for what in made.missing:
            output.note(f"left out: {what}")
    else:
        output.document(told)
    return int(Exit.OK)


def _local(address: str) -> LocalCluster | None:
    """The cluster in $AIDB_DATA or ./.aidb, if ``address`` is one of its programs."""
    here = LocalCluster.existing(default_data()) if default_data().exists() else None
    return here if here is not None and here.description.serves_at(address) else None


def _ask_all(address: str, made: Archive, timeout: float) -> list[Finding]:
    found: list[Finding] = []
    status = pb.ClusterStatus()
    try:
        with coordination(address) as stub:
            answers = coordinator.documents(
                lambda method, request: getattr(stub, method)(request, timeout=timeout)
            )
            for member, answer in answers:
                made.add_document(member, coordinator.plain(answer))
                found += findings.of_answer(answer)
                if isinstance(answer, pb.ClusterStatus):
                    status = answer
    except Failure as failure:
        made.lacks("the coordinator", failure)
        found.append(findings.of_silence("coordinator", str(failure), coordinator=True))
    with contextlib.suppress(Failure):
        made.add_document("coordinator/topology.json", topology.document(topology.fetch(address)))
    said = list(members.ask(status, find_tls(address), timeout)) if status.address else []
    for one in said:
        for kind, document in one.documents.items():
            made.add_document(f"members/{one.name}/{kind}.json", coordinator.plain(document))
        if one.metrics is not None:
            made.add(f"metrics/{one.name}.prom", one.metrics)
        for what, why in one.problems.items():
            made.lacks(one.name if what == "it" else f"{what} of {one.name}", why)
    found += [findings.of_silence(name, why) for name, why in members.silent(said)]
    return found
