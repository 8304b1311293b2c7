"""From a URL to a store that has been tried."""

from __future__ import annotations

import threading

from aidb.objects.file import FileStore
from aidb.objects.location import Bucket, parse
from aidb.objects.probe import refuses_second_create
from aidb.objects.retrying import Patience, RetryingStore
from aidb.objects.store import ObjectStore
from aidb.objects.unfenced import UnfencedStore

# Of one call of the probe, in seconds.
_PATIENCE = Patience(total=5.0, first_pause=0.05, longest_pause=1.0)


def connect(url: str) -> ObjectStore:
    """The store at ``url``; nothing is asked of it yet, but a missing directory is made.

    Raises:
        ObjectError: the URL is wrong, or boto3 is not installed.
    """
    location = parse(url)
    if isinstance(location, Bucket):
        from aidb.objects.s3 import S3Store

        return S3Store(location)
    return FileStore(location.path)


def probed(store: ObjectStore, prefix: str, stop: threading.Event | None = None) -> ObjectStore:
    """``store`` as it may be used by those who rely on exclusive creates: see ``fenced`` of what is returned.
    The many calls of the probe are patient, so that a store of which some fail is not asked forever.

    Raises:
        ObjectError: it cannot be reached or used.
    """
    patient = RetryingStore(store, _PATIENCE, stop)
    return store if refuses_second_create(patient, prefix) else UnfencedStore(store)
