"""`aidb-admin certificates`: those of a local cluster."""

from __future__ import annotations

from pathlib import Path

from aidb.admin.acts import note
from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.local import secure
from aidb.local.cluster import LocalCluster


def renew(data: Path, *, authority: bool, forget: bool) -> None:
    """Replaces all of them while the cluster runs."""
    cluster = LocalCluster.existing(data)
    if cluster is None:
        raise Failure(f"no cluster in {data}", Exit.BAD_INPUT)
    count = secure.renew(cluster.layout, cluster.wanted.names, authority=authority, forget=forget)
    note(cluster.layout.security, "RenewCertificates", authority=authority, forget=forget)
    output.note(f"{count} certificates are new; programs and clients take them within seconds")
