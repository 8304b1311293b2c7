"""A client's spans: one for each call of the application, from the call to the answer, retries included.

They are made by the provider that the application has set up. A span that is sampled puts its context into
the header of everything that the call sends; of others nothing is sent. Keys and values are in no attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aidb.commands import Call, CallAll, Command, FromSpare, Open, Operation
from aidb.errors import AidbError, code_name
from aidb.failure import Failure
from aidb.tracing.provided import tracer
from aidb.tracing.traceparent import encode

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

T = TypeVar("T")


def traced(name: str, operation: Operation[T]) -> Operation[T]:
    """``operation`` within a span, or itself."""
    found = tracer()
    return operation if found is None else _within(found, name, operation)


def _within(tracer: Tracer, name: str, operation: Operation[T]) -> Operation[T]:
    """The span is not the current one meanwhile: between two entries of a scan the application does other
    things.
    """
    from opentelemetry.trace import SpanKind

    attributes = {"db.system.name": "aidb", "db.operation.name": name}
    span = tracer.start_span(f"aidb.{name}", kind=SpanKind.CLIENT, attributes=attributes)
    context = span.get_span_context()
    sampled = context.is_valid and context.trace_flags.sampled
    parent = encode(context.trace_id, context.span_id) if sampled else ""
    sent = 0
    try:
        command = next(operation)
        while True:
            sent += _mark(command, parent)
            answer = yield command
            if span.is_recording():
                _note(span, command, answer)
            command = operation.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except AidbError as error:
        _fail(span, error)
        raise
    finally:
        operation.close()
        span.set_attribute("aidb.sent", sent)
        span.end()


def _mark(command: Command, parent: str) -> int:
    """How many requests go out."""
    if isinstance(command, CallAll):
        return sum(_mark(call, parent) for call in command.calls)
    if not isinstance(command, Call | Open):
        return 0
    if parent and "header" in command.request.DESCRIPTOR.fields_by_name:
        command.request.header.traceparent = parent
    return 1


def _note(span: Span, command: Command, answer: Any) -> None:
    if isinstance(command, CallAll):
        for call, each in zip(command.calls, answer, strict=True):
            _note(span, call, each)
    elif isinstance(command, Call):
        told = answer.answer if isinstance(answer, FromSpare) else answer
        if isinstance(told, Failure):
            said = {"server.address": command.address, "error.type": code_name(told.error.code)}
            span.add_event("failed", said)
            return
        span.set_attribute("server.address", command.address)
        if command.shard is not None:
            span.set_attribute("aidb.shard", command.shard)


def _fail(span: Span, error: AidbError) -> None:
    from opentelemetry.trace import Status, StatusCode

    # The message may name a key.
    code = code_name(error.code)
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, code))
