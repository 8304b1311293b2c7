"""What a deployment has used: figures that are measured, and differences of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

_MOMENTS = ("tables", "log", "objects", "memory")


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes at that moment: ``tables`` and ``log`` (preallocated segments included, and all else) on disks,
    ``objects`` in the object store, resident ``memory``. All others are sums so far: ``network`` bytes
    between nodes, ``uploaded`` and ``downloaded`` bytes of bodies, requests to the object store that change
    it or list it (``puts``) and that read (``gets``), ``cpu_us``.
    """

    tables: int = 0
    log: int = 0
    objects: int = 0
    memory: int = 0
    network: int = 0
    uploaded: int = 0
    downloaded: int = 0
    puts: int = 0
    gets: int = 0
    cpu_us: int = 0

    def since(self, before: Usage) -> Usage:
        """The sums since then; what is of a moment stays."""
        return Usage(
            **{
                field.name: getattr(self, field.name)
                - (0 if field.name in _MOMENTS else getattr(before, field.name))
                for field in fields(Usage)
            }
        )
