"""A proxy in front of a real S3 server that fails at random as a store does: 500, 409 to a create, slow
answers, and work that is done while its client learns nothing, be it a broken connection or a time-out.

Signatures pass through, for the client's `Host` does. A proxy that is to ignore conditions signs anew what it
has taken the condition out of.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Self
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.objects.faults import Odds
from tests.objects.servers import pass_on
from tests.objects.versitygw import ACCESS, REGION, SECRET

# Not of the request itself, or renewed on the way.
_HOP = frozenset({"connection", "expect", "transfer-encoding"})
_SIGNATURE = frozenset({"authorization", "x-amz-date", "if-none-match"})


class FaultProxy:
    """A context manager. ``stall``: seconds that a client waits for an answer that will not come, before the
    connection breaks. ``met`` counts what was done to requests.
    """

    def __init__(
        self, target: str, seed: int, *, ignores_conditions: bool = False, stall: float = 0.0
    ) -> None:
        self.host = urlsplit(target).netloc
        self.ignores_conditions = ignores_conditions
        self.stall = stall
        self.met: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._odds = Odds()
        self._begins = 0.0
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def trouble(self, odds: Odds, after: float = 0.0) -> None:
        """From ``after`` seconds on."""
        with self._lock:
            self._odds, self._begins = odds, time.monotonic() + after

    def happens(self, what: str) -> bool:
        with self._lock:
            odds: float = getattr(self._odds, what)
            happens = self._random.random() < odds and time.monotonic() >= self._begins
            self.met[what] += happens
        return happens

    @property
    def slow_seconds(self) -> float:
        return self._odds.slow_seconds


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: ClassVar[FaultProxy]

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(self.proxy.host, timeout=30)

    def finish(self) -> None:
        self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def _forward(self) -> None:
        proxy = self.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if proxy.happens("slow"):
            time.sleep(proxy.slow_seconds)
        if "If-None-Match" in self.headers and proxy.happens("conflict"):
            return self._refuse(409, "ConditionalRequestConflict")
        if proxy.happens("error"):
            return self._refuse(500, "InternalError")
        answer, content = self._ask(body)
        if proxy.happens("lost_answer"):
            time.sleep(proxy.stall)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return pass_on(self, answer, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        if self.proxy.ignores_conditions and "If-None-Match" in self.headers:
            headers = self._signed_anew(headers, body)
        self._upstream.request(self.command, self.path, body, headers)
        answer = self._upstream.getresponse()
        return answer, answer.read()

    def _signed_anew(self, headers: dict[str, str], body: bytes) -> dict[str, str]:
        kept = {name: value for name, value in headers.items() if name.lower() not in _SIGNATURE}
        request = AWSRequest(self.command, f"http://{kept['Host']}{self.path}", kept, body)
        S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", REGION).add_auth(request)
        return dict(request.headers.items())

    def _refuse(self, status: int, code: str) -> None:
        content = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass
