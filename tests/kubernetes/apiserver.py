"""A real API server for tests: etcd and kube-apiserver, without nodes or controllers.

What it checks is real: schemas, defaults, CEL, server-side apply, conflicts, RBAC, finalizers, watches.
Nothing runs behind it: nobody makes pods, binds volumes, collects garbage or ends a namespace. So each
test has a namespace of its own, which stays.

The programs: ``etcd`` and ``kube-apiserver`` in $AIDB_KUBE_APISERVER_ASSETS, else $KUBE_HOME/bin/kubebox,
which is both in one (KUBE_HOME: ~/.cache/kube when unset).
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from aidb.security import authority

# Seconds are seconds where nothing else runs; a busy machine takes minutes.
START_SECONDS = 300.0
TRIES = 5
APPLY = "application/apply-patch+yaml"
CRD_SECONDS = 120.0
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STOP_SECONDS = 10.0
ROOT = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """No API server on this machine; the text says what to do."""


class Refused(Exception):
    """What the API said, and its code."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"{code}: {said}")
        self.code, self.said = code, said

    @property
    def passing(self) -> bool:
        """It says nothing about what was asked: the server had no time, or has only just begun."""
        return self.code in (429, 500, 503, 504)


@dataclass(frozen=True)
class Programs:
    """How the programs are called."""

    etcd: tuple[str, ...]
    apiserver: tuple[str, ...]
    kubectl: tuple[str, ...]


def programs() -> Programs:
    """Raises Missing."""
    if assets := os.environ.get("AIDB_KUBE_APISERVER_ASSETS"):
        folder = Path(assets)
        for name in ("etcd", "kube-apiserver"):
            if not os.access(folder / name, os.X_OK):
                raise Missing(f"AIDB_KUBE_APISERVER_ASSETS={assets} holds no program {name}")
        kubectl = folder / "kubectl"
        return Programs(
            (str(folder / "etcd"),),
            (str(folder / "kube-apiserver"),),
            (str(kubectl) if kubectl.exists() else "kubectl",),
        )
    home = Path(os.environ.get("KUBE_HOME") or Path.home() / ".cache" / "kube")
    box = home / "bin" / "kubebox"
    if not os.access(box, os.X_OK):
        raise Missing(
            f"no API server: {box} is missing. Set KUBE_HOME, or AIDB_KUBE_APISERVER_ASSETS to a folder "
            "with etcd and kube-apiserver (setup-envtest gets them)"
        )
    return Programs((str(box), "etcd"), (str(box), "kube-apiserver"), (str(box), "kubectl"))


@dataclass
class ApiServer:
    """Started, and ready. ``stop`` ends it."""

    url: str
    ca: Path
    kubeconfig: Path
    """Of the admin, who is in system:masters: RBAC does not hold for him."""
    folder: Path
    _token: str = field(repr=False)
    _processes: list[subprocess.Popen[bytes]] = field(repr=False)
    _programs: Programs = field(repr=False)
    _numbers: itertools.count[int] = field(default_factory=itertools.count, repr=False)

    def __post_init__(self) -> None:
        self._pool = urllib3.PoolManager(
            maxsize=16, ca_certs=str(self.ca), retries=False, timeout=urllib3.Timeout(connect=5, read=60)
        )

    def client(self, kubeconfig: Path | None = None) -> Any:
        """A ``kubernetes.client.ApiClient`` of the admin, or of whom ``kubeconfig`` names. Close it."""
        from kubernetes import config

        return config.new_client_from_config(str(kubeconfig or self.kubeconfig))

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Its output. Raises subprocess.CalledProcessError, with what it said in ``stderr``."""
        return subprocess.run(
            [*self._programs.kubectl, "--kubeconfig", str(kubeconfig or self.kubeconfig), *arguments],
            input=stdin,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(self.folder)},
        ).stdout

    def request(self, method: str, path: str, body: object = None, content: str = "application/json") -> Any:
        """The answer of the API to the admin, parsed. What may be asked twice is, when a busy machine had no
        time for it. Raises Refused, urllib3.exceptions.HTTPError.
        """
        tries = TRIES if method == "GET" or content == APPLY else 1
        while True:
            tries -= 1
            try:
                return self._request(method, path, body, content)
            except (Refused, urllib3.exceptions.HTTPError) as error:
                if tries == 0 or (isinstance(error, Refused) and not error.passing):
                    raise
            time.sleep(0.5)

    def _request(self, method: str, path: str, body: object, content: str) -> Any:
        answer = self._pool.request(
            method,
            self.url + path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": content},
        )
        text = answer.data
        if answer.status >= 400:
            said = text.decode()
            with contextlib.suppress(ValueError):
                said = json.loads(said)["message"]
            raise Refused(answer.status, said)
        return json.loads(text) if text.startswith(b"{") else text.decode()

    @property
    def ready(self) -> bool:
        """Raises Refused, urllib3.exceptions.HTTPError: it is not."""
        return bool(self._request("GET", "/readyz", None, "application/json") == "ok")

    def namespace(self, prefix: str = "test") -> str:
        """Makes one, and returns its name."""
        name = f"{prefix}-{next(self._numbers)}-{secrets.token_hex(3)}"
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def account_kubeconfig(self, namespace: str, account: str, seconds: int = 3600) -> Path:
        """Of a ServiceAccount that exists, with a token that lives for ``seconds``."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = self.request("POST", path, {"spec": {"expirationSeconds": seconds}})
        return self.write_kubeconfig(f"{namespace}-{account}", answer["status"]["token"], namespace)

    def write_kubeconfig(self, name: str, token: str, namespace: str = "default") -> Path:
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(kubeconfig_text(self.url, self.ca, name, token, namespace))
        path.chmod(0o600)
        return path

    def apply_crds(self) -> None:
        """Those of ``crds/``; they are served when it returns."""
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        texts = [path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml"))]
        documents = [yaml.load(text, loader) for text in texts]  # noqa: S506 - a safe one
        for document in documents:
            where = f"{DEFINITIONS}/{document['metadata']['name']}?fieldManager=tests&force=true"
            self.request("PATCH", where, document, APPLY)
        end = time.monotonic() + CRD_SECONDS
        for document in documents:
            while not self._serves(document):
                assert time.monotonic() < end, f"{document['metadata']['name']} is not served"
                time.sleep(0.03)

    def _serves(self, definition: Any) -> bool:
        """Established is not yet served: the handler follows a moment later."""
        spec = definition["spec"]
        where = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        found = self.request("GET", f"{DEFINITIONS}/{definition['metadata']['name']}")
        conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions") or ()}
        if conditions.get("Established") != "True":
            return False
        try:
            self.request("GET", f"{where}?limit=1")
        except Refused as refused:
            if refused.code != 404:
                raise
            return False
        return True

    def stop(self) -> None:
        self._pool.clear()
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            # Nothing of it is kept: what does not end at once is ended.
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start(folder: Path, *more: str) -> ApiServer:
    """Starts both; the API is ready when it returns. `more` are options of the API server. Raises Missing,
    RuntimeError (with the log's end).
    """
    found = programs()
    for attempt in range(3):
        here = folder / str(attempt)
        here.mkdir(parents=True)
        try:
            return _start(found, here, more)
        except _PortTaken as taken:
            last = taken
    raise RuntimeError(str(last))


class _PortTaken(Exception):
    """Between its choice and its use."""


def _start(found: Programs, folder: Path, more: Sequence[str]) -> ApiServer:
    etcd, peer, port = _free_ports(3)
    signed = authority.new_authority("test authority")
    server = authority.program(signed, "kube-apiserver", "node", "kubernetes.default")
    token = secrets.token_hex(16)
    files = {
        "ca.crt": signed.certificate,
        "tls.crt": server.certificate,
        "tls.key": server.key,
        "tokens.csv": f'{token},admin,admin,"system:masters"\n'.encode(),
    }
    for name, content in files.items():
        authority.write_private(folder / name, content)
    url = f"https://127.0.0.1:{port}"
    kubeconfig = folder / "admin.kubeconfig"
    kubeconfig.write_text(kubeconfig_text(url, folder / "ca.crt", "admin", token, "default"))
    kubeconfig.chmod(0o600)
    made = ApiServer(url, folder / "ca.crt", kubeconfig, folder, token, [], found)
    try:
        made._processes.append(_spawn(folder / "etcd.log", *_etcd_command(found, folder, etcd, peer)))
        _wait(made, "etcd", lambda: _listens(etcd))
        made._processes.append(
            _spawn(folder / "apiserver.log", *_apiserver_command(found, folder, port, etcd), *more)
        )
        _wait(made, "apiserver", lambda: made.ready)
    except BaseException:
        made.stop()
        raise
    return made


def _etcd_command(found: Programs, folder: Path, port: int, peer: int) -> list[str]:
    return [
        *found.etcd,
        "--name=test",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{port}",
        f"--advertise-client-urls=http://127.0.0.1:{port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=test=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver_command(found: Programs, folder: Path, port: int, etcd: int) -> list[str]:
    return [
        *found.apiserver,
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--tls-cert-file={folder / 'tls.crt'}",
        f"--tls-private-key-file={folder / 'tls.key'}",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'tls.crt'}",
        f"--service-account-signing-key-file={folder / 'tls.key'}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        # Nobody makes the accounts named `default`, without which it would refuse every pod.
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
        "--enable-priority-and-fairness=false",
        "--profiling=false",
    ]


def _wait(server: ApiServer, name: str, ready: Callable[[], bool]) -> None:
    """Until the process started last is ready."""
    end = time.monotonic() + START_SECONDS
    while True:
        if server._processes[-1].poll() is not None:
            log = (server.folder / f"{name}.log").read_text()[-2000:]
            taken = "address already in use" in log
            raise (_PortTaken if taken else RuntimeError)(f"{name} ended: {log}")
        with contextlib.suppress(OSError, Refused, urllib3.exceptions.HTTPError):
            if ready():
                return
        if time.monotonic() > end:
            raise RuntimeError(f"{name} is not ready after {START_SECONDS} s; logs: {server.folder}")
        time.sleep(0.03)


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _spawn(log: Path, *command: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as to:
        return subprocess.Popen(
            [*ends_with_parent(), *command],
            stdin=subprocess.DEVNULL,
            stdout=to,
            stderr=to,
            start_new_session=True,
        )


def ends_with_parent() -> list[str]:
    """Before a command: a test run that is killed leaves nothing running, where util-linux is."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()


def kubeconfig_text(url: str, ca: Path, name: str, token: str, namespace: str) -> str:
    """JSON, which is YAML."""
    authority_data = base64.b64encode(ca.read_bytes()).decode()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": url, "certificate-authority-data": authority_data}}
            ],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [
                {"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}
            ],
        }
    )
