"""A local port that leads to a pod's, through the API server: what `kubectl port-forward` does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes import client as official
from kubernetes.stream import portforward

_CHUNK = 64 << 10
_WAKE = 0.2
_END_SECONDS = 2.0


@contextmanager
def forwarded(client: Any, namespace: str, pod: str, port: int) -> Iterator[str]:
    """The address on this machine. What goes wrong on the way ends the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_WAKE)
        forward = _Forward(client, namespace, pod, port, threading.Event())
        thread = threading.Thread(target=forward.accept, args=(server,), name="forward", daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            forward.stop.set()
            thread.join(_END_SECONDS)


@dataclass(frozen=True, slots=True)
class _Forward:
    client: Any
    namespace: str
    pod: str
    port: int
    stop: threading.Event

    def accept(self, server: socket.socket) -> None:
        while not self.stop.is_set():
            try:
                local, _ = server.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._serve, args=(local,), name="forwarded", daemon=True).start()

    def _serve(self, local: socket.socket) -> None:
        """Of one connection. One that the API server refuses is closed: the caller sees that it ends."""
        call = official.CoreV1Api(self.client).connect_get_namespaced_pod_portforward
        with local, contextlib.suppress(OSError, official.ApiException):
            opened = portforward(call, self.pod, self.namespace, ports=str(self.port))
            try:
                remote, ended = opened.socket(self.port), threading.Event()
                back = threading.Thread(target=self._pump, args=(remote, local, ended), daemon=True)
                back.start()
                self._pump(local, remote, ended)
                back.join(_END_SECONDS)
            finally:
                opened.close()

    def _pump(self, source: Any, target: Any, ended: threading.Event) -> None:
        source.settimeout(_WAKE)
        try:
            while not (ended.is_set() or self.stop.is_set()):
                try:
                    content = source.recv(_CHUNK)
                except TimeoutError:
                    continue
                if not content:
                    return
                target.sendall(content)
        except OSError:
            return
        finally:
            ended.set()
