"""Errors on the wire: `aidb.v1.Error`, in the trailer `aidb-error-bin` and inside answers to batches."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from aidb.errors import BY_CODE, AidbError, ConditionFailed, SessionBroken
from aidb.v1 import common_pb2


def error_from_message(message: common_pb2.Error, shard: int | None = None) -> AidbError:
    """The exception that ``message`` stands for. Codes of newer servers give a plain `AidbError`."""
    common: dict[str, Any] = {
        "code": message.code,
        "retryable": message.retryable,
        "retry_after": message.retry_after_ms / 1000 if message.retry_after_ms else None,
        "shard": shard,
    }
    text = message.message or "the server gave no reason"
    if message.code == common_pb2.CONDITION_FAILED:
        found = message.HasField("current") and message.current.version > 0
        return ConditionFailed(
            text,
            current_version=message.current.version,
            current_value=message.current.value if found else None,
            **common,
        )
    if message.code == common_pb2.SESSION_BROKEN:
        broken = message.session_broken
        common["shard"] = broken.shard
        return SessionBroken(text, token_lsn=broken.token_lsn, cut_lsn=broken.cut_lsn, **common)
    return BY_CODE.get(message.code, AidbError)(text, **common)


def error_to_message(error: AidbError) -> common_pb2.Error:
    """What a server sends for ``error``."""
    message = common_pb2.Error(
        code=error.code,  # type: ignore[arg-type]
        message=error.message,
        retryable=error.retryable,
        retry_after_ms=round((error.retry_after or 0) * 1000),
    )
    if isinstance(error, ConditionFailed) and error.current_version:
        message.current.version = error.current_version
        message.current.value = error.current_value or b""
    if isinstance(error, SessionBroken):
        message.session_broken.shard = error.shard or 0
        message.session_broken.token_lsn = error.token_lsn
        message.session_broken.cut_lsn = error.cut_lsn
    return message


def parse_trailer(trailer: bytes) -> common_pb2.Error | None:
    """The error in a trailer, None when it holds none."""
    try:
        message = common_pb2.Error.FromString(trailer)
    except DecodeError:
        return None
    return message if message.code else None
