"""Which store, cluster and shards a command is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aidb.cli.exits import Exit, Failure
from aidb.durability import stamp
from aidb.durability.catalog import Catalog
from aidb.durability.names import Names
from aidb.local.description import NO_OBJECTS, Description, load
from aidb.local.layout import Layout
from aidb.objects.errors import Denied, NoSuchBucket, NoSuchKey, ObjectError, Unavailable, Unusable
from aidb.objects.opening import connect
from aidb.objects.retrying import Patience, RetryingStore
from aidb.objects.store import ObjectStore

_PATIENCE = Patience(total=30.0)


@dataclass(frozen=True, slots=True)
class Where:
    """``objects`` and ``cluster`` as given; without them, those of the local cluster in ``data``."""

    objects: str | None
    cluster: str | None
    data: Path

    def url(self) -> str:
        """Raises Failure."""
        if self.objects:
            return self.objects
        layout, description = self._local()
        if description.objects == NO_OBJECTS:
            raise Failure(f"the cluster in {self.data} has no object store: it was made with --objects none")
        return description.objects or layout.objects.as_uri()

    def cluster_uid(self, store: ObjectStore) -> str:
        """Raises Failure, ObjectError."""
        if self.cluster:
            return self.cluster
        if not self.objects:
            return self._local()[1].cluster_uid
        found = stamp.clusters(store)
        if len(found) == 1:
            return found[0]
        what = f"objects of {len(found)} clusters ({', '.join(found)})" if found else "nothing of any cluster"
        raise Failure(f"{store.url} holds {what}: say which one with --cluster", Exit.BAD_INPUT)

    def _local(self) -> tuple[Layout, Description]:
        layout = Layout.at(self.data)
        description = load(layout)
        if description is None:
            raise Failure(
                f"there is no cluster in {self.data}: "
                "name its directory with --data, or the store with --objects",
                Exit.BAD_INPUT,
            )
        return layout, description


@contextmanager
def catalogs(where: Where, shard: int | None) -> Iterator[list[Catalog]]:
    """One for each shard that has objects, or for ``shard`` alone; what goes wrong within becomes a
    Failure.
    """
    with failures():
        store = RetryingStore(connect(where.url()), _PATIENCE)
        try:
            uid = where.cluster_uid(store)
            stamp.check_stamp(store, uid)
            numbers = stamp.shards(store, uid) if shard is None else [shard]
            yield [Catalog(store, Names(uid, number)) for number in numbers]
        finally:
            store.close()


@contextmanager
def failures() -> Iterator[None]:
    """Errors of object stores as this program's."""
    try:
        yield
    except NoSuchKey as error:
        raise Failure(str(error), Exit.NOT_FOUND) from error
    except Unavailable as error:
        raise Failure(str(error), Exit.UNAVAILABLE) from error
    except Denied as error:
        raise Failure(str(error), Exit.DENIED) from error
    except (Unusable, NoSuchBucket) as error:
        raise Failure(str(error), Exit.BAD_INPUT) from error
    except ObjectError as error:
        raise Failure(str(error)) from error
