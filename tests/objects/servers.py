"""S3 servers for tests: one in this process that checks no signatures, and a proxy that makes it ignore
conditions.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BUCKET = "backups"


@contextmanager
def moto() -> Iterator[str]:
    """The endpoint of a server with the bucket `BUCKET`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=BUCKET)
        yield endpoint
    finally:
        server.stop()


def pass_on(handler: BaseHTTPRequestHandler, answer: http.client.HTTPResponse, content: bytes) -> None:
    """Answers a proxy's client with what the store has answered."""
    handler.send_response(answer.status)
    for name, value in answer.getheaders():
        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
            handler.send_header(name, value)
    length = answer.getheader("Content-Length") if handler.command == "HEAD" else str(len(content))
    handler.send_header("Content-Length", length or "0")
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)


class _Stripping(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = ""

    def _forward(self) -> None:
        host = urlsplit(self.upstream).netloc
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "if-none-match"}
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        pass_on(self, answer, content)
        connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def ignoring_conditions(endpoint: str) -> Iterator[str]:
    """The endpoint of a store that accepts create-if-absent and does not mean it."""
    handler = type("Handler", (_Stripping,), {"upstream": endpoint})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
