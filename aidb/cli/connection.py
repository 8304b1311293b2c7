"""Where the cluster is, and calls to its coordinator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aidb.cli.exits import Exit, Failure

if TYPE_CHECKING:
    from aidb.client import Client
    from aidb.options import Tls
    from aidb.v1.cluster_pb2_grpc import CoordinationStub, DiscoveryStub

DEFAULT_ADDRESS = "127.0.0.1:7400"


def find_address(given: str | None) -> str:
    """The flag, else ``$AIDB_ADDRESS``, else that of the profile, else the cluster in ``$AIDB_DATA`` or
    ``./.aidb``, else the default. Raises Failure.
    """
    return found_address(given)[0]


def found_address(given: str | None) -> tuple[str, str]:
    """And who said so. Raises Failure."""
    if given:
        return given, "--address"
    address, by = _setting("address")
    if address is not None:
        return address, by
    from aidb.local.description import load
    from aidb.local.layout import Layout, default_data

    layout = Layout.at(default_data())
    description = load(layout) if layout.description.exists() else None
    if description is None:
        return DEFAULT_ADDRESS, "the default: no cluster is named, and there is none here"
    return description.coordinator, f"the cluster in {default_data()}"


def _setting(entry: str) -> tuple[Any, str]:
    """Raises Failure."""
    from aidb.cli.profile.choice import chosen
    from aidb.cli.profile.entries import Unfit

    try:
        return chosen().value(entry)
    except Unfit as error:
        raise Failure(str(error), Exit.BAD_INPUT) from error


def is_direct() -> bool:
    """Whether data commands ask the members themselves. Raises Failure."""
    direct, _ = _setting("direct")
    return direct is not False


def find_output() -> str | None:
    """How to print, where the command line does not say. Raises Failure."""
    found: str | None = _setting("output")[0]
    return found


def find_keyspace() -> int:
    """Of data commands. Raises Failure."""
    return _setting("keyspace")[0] or 0


def find_tls(address: str) -> Tls | None:
    """What is chosen, else what the local cluster was made with, if ``address`` is one of its programs.
    Raises Failure.
    """
    from aidb.local.description import load
    from aidb.local.layout import Layout, default_data
    from aidb.local.secure import client_tls

    given = _chosen_tls()
    layout = Layout.at(default_data())
    if given is not None or not layout.description.exists():
        return given
    description = load(layout)
    if description is None or not description.secure:
        return None
    return client_tls(layout) if description.serves_at(address) else None


def _chosen_tls() -> Tls | None:
    from aidb.cli.profile.choice import chosen
    from aidb.options import Tls
    from aidb.security.names import DEFAULT_DOMAIN

    directory, _ = _setting("tls")
    if directory is None:
        return None
    # What the command line says wins over a token in the environment, and that over a current profile.
    token_file, by = _setting("token_file")
    token = os.environ.get("AIDB_TOKEN", "")
    if by.startswith("profile") and token and not chosen().named_by_option:
        token_file = None
    elif token_file is not None and not by.startswith("$"):
        token = ""
    return Tls(directory, token, token_file, _setting("domain")[0] or DEFAULT_DOMAIN)


@contextmanager
def connected(address: str | None, timeout: float) -> Iterator[Client]:
    """A client for the command's duration."""
    import aidb

    found = find_address(address)
    with aidb.connect(
        found, timeout=timeout, tls=find_tls(found), direct=is_direct(), keyspace=find_keyspace()
    ) as client:
        yield client


@contextmanager
def coordination(address: str) -> Iterator[CoordinationStub]:
    """Calls to the coordinator at ``address``.

    Raises:
        Failure: it does not answer, or the address is another program's.
    """
    import grpc

    from aidb.security.client import calling
    from aidb.v1.cluster_pb2_grpc import CoordinationStub

    with calling(address, (), find_tls(address)) as channel:
        try:
            yield CoordinationStub(channel)
        except grpc.RpcError as error:
            raise failure_of(address, error) from error


@contextmanager
def discovery(address: str) -> Iterator[DiscoveryStub]:
    """As `coordination`; every program answers these."""
    import grpc

    from aidb.security.client import calling
    from aidb.v1.cluster_pb2_grpc import DiscoveryStub

    with calling(address, (), find_tls(address)) as channel:
        try:
            yield DiscoveryStub(channel)
        except grpc.RpcError as error:
            raise failure_of(address, error) from error


def failure_of(address: str, error: Exception) -> Failure:
    """What a call to the coordinator that failed means for a command."""
    import grpc

    from aidb.failure import hint

    assert isinstance(error, grpc.Call)
    status, details = error.code(), error.details() or ""
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return Failure(f"{address} is not the coordinator: name it with --address", Exit.BAD_INPUT)
    if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Failure(
            f"the coordinator at {address} does not answer: is the cluster up? (aidb up){hint(details)}",
            Exit.UNAVAILABLE,
        )
    if status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return Failure(f"{address}: {details}", Exit.DENIED)
    return Failure(f"{address}: {details or status.name}")
