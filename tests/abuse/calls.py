"""Calls with bytes for messages, and what may come of them."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from aidb.v1 import common_pb2 as common
from tests.abuse.messages import Method
from tests.abuse.targets import Target

SECONDS = 5.0
# Of a stream, which may have nothing to tell for as long as it is watched.
WATCHED_SECONDS = 1.0
# Well below what a coordinator lets one connection do at once (32): a call that was given up counts until it
# has ended there.
AT_A_TIME = 8
ANSWERS = 3
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
TOO_LARGE = "message larger than max"
# What a server says of bytes that are no message.
UNREADABLE = ("decode", "deserializ", "DecodeError")


def judge(target: Target, calls: list[tuple[Method, bytes]]) -> list[str]:
    """Makes the calls, and tells of each that was not answered as it should be: with an answer, or with an
    error that says what is wrong.
    """
    with (
        grpc.insecure_channel(target.address, options=OPTIONS) as channel,
        ThreadPoolExecutor(AT_A_TIME) as pool,
    ):
        found = pool.map(lambda call: _judge(channel, *call), calls)
        return [f"{target.name}: {problem}" for problem in found if problem]


def _judge(channel: Any, method: Method, payload: bytes) -> str:
    try:
        if method.streams:
            answers = channel.stream_stream(method.path)(iter([payload]), timeout=WATCHED_SECONDS)
        elif method.answers:
            answers = channel.unary_stream(method.path)(payload, timeout=WATCHED_SECONDS)
        else:
            channel.unary_unary(method.path)(payload, timeout=SECONDS)
            return ""
        for _ in itertools.islice(answers, ANSWERS):
            pass
        answers.cancel()
    except grpc.RpcError as error:
        return _problem(method, payload, error)
    return ""


def _problem(method: Method, payload: bytes, error: grpc.RpcError) -> str:
    trailers: dict[str, bytes] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    told = common.Error.FromString(trailers.get("aidb-error-bin", b""))
    code, details = error.code(), error.details() or ""
    if told.code not in (common.ERROR_UNSPECIFIED, common.INTERNAL):
        return ""
    if method.answers and code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ""  # a watch that has nothing to tell
    if any(word in details for word in UNREADABLE) and told.code == common.ERROR_UNSPECIFIED:
        return ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and TOO_LARGE in details:
        return ""  # refused before it was whole
    return f"{method.path}({payload[:60]!r}): {code.name} {details}"
