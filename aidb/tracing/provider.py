"""The provider of a program, as OpenTelemetry's environment variables say. Needs `aidb[otel]`.

| variable | |
|---|---|
| OTEL_TRACES_EXPORTER | names of exporters, by entry point (group opentelemetry_traces_exporter); none = no traces |
| OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT | one of them alone means otlp |
| OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL | http/protobuf (default); grpc, if its exporter is installed |
| OTEL_SDK_DISABLED | true = no traces |

All others (headers, certificates, sampler, queue) are read by OpenTelemetry's SDK itself.
"""  # noqa: E501 - a table

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator

log = logging.getLogger("aidb")

_GROUP = "opentelemetry_traces_exporter"
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


def asked_for(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The exporters, by the names of their entry points. Pure."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    given = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if not given:
        given = "otlp" if any(environment.get(name) for name in endpoints) else "none"
    names = dict.fromkeys(name.strip() for name in given.split(",") if name.strip())
    if "none" in names:
        return []
    protocols = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((environment[name] for name in protocols if environment.get(name)), "http/protobuf")
    return [_PROTOCOLS.get(protocol, protocol) if name == "otlp" else name for name in names]


def provider_of(
    service: str, *, ids: IdGenerator | None = None, **of_program: str | int
) -> TracerProvider | None:
    """None: no traces are asked for, or they cannot be had, which a record in the log says: a database does
    not stay away because nobody could watch it.

    ``of_program``: attributes of the resource, `_` for `.`: ``service_instance_id``.
    """
    names = asked_for()
    if not names:
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        not_installed(error)
        return None
    # Takes a while to load, and commands come here too.
    from importlib.metadata import entry_points

    exporters = []
    for name in names:
        found = next(iter(entry_points(group=_GROUP, name=name)), None)
        if found is None:
            log.warning("no exporter of traces named %s is installed", name)
            continue
        try:
            exporters.append(found.load()())
        except Exception as error:
            # Whatever its own settings are: the program serves without it.
            log.warning("the exporter of traces %s cannot be used: %s", name, error)
    if not exporters:
        return None
    attributes = {name.replace("_", "."): value for name, value in of_program.items()}
    # What the environment says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) goes before.
    resource = Resource({"service.name": service, **attributes}).merge(_of_environment())
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def install(service: str) -> TracerProvider | None:
    """The provider of this process, for commands. None: no traces."""
    provider = provider_of(service)
    if provider is not None:
        from opentelemetry import trace

        trace.set_tracer_provider(provider)
    return provider


def not_installed(error: ModuleNotFoundError) -> None:
    log.warning("no traces, though the environment asks for them: %s; pip install 'aidb[otel]'", error)


def close(provider: TracerProvider, seconds: float) -> None:
    """What is ready goes out, if that is done in time."""
    # An exporter that retries has no deadline of its own that a caller could set.
    thread = threading.Thread(target=provider.shutdown, name="traces' end", daemon=True)
    thread.start()
    thread.join(seconds)


def _of_environment() -> Resource:
    from opentelemetry.sdk.resources import OTELResourceDetector

    return OTELResourceDetector().detect()
