"""The entry point `aidb.inspector`: single files of a store, for `aidb-admin`."""

from __future__ import annotations

from aidb_node._native import dump_log, dump_manifest, dump_sst, repair_store

__all__ = ["dump_log", "dump_manifest", "dump_sst", "repair_store"]
