"""An S3 server in the cluster: versitygw, which checks signatures and keeps what it acknowledged.

It is pinned to a node that no test harms: what it loses is lost, as nobody has a third copy.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from e2e.harness.kubectl import is_ready, until
from e2e.harness.machine import Machine
from e2e.harness.objects import CONFINED, Object, namespace, restricted

NAMESPACE = "aidb-e2e-s3"
BUCKET = "aidb"
ACCESS, SECRET, REGION = "e2e-access", "e2e-secret-of-a-test", "us-east-1"
PORT = 7070


@dataclass(frozen=True)
class S3:
    """``endpoint``: as pods reach it."""

    endpoint: str

    def object_store(self, prefix: str, credentials: str) -> Object:
        """What an AidbCluster says of its objectStore, which nobody else has. ``credentials``: a Secret's
        name.
        """
        return {
            "url": f"s3://{BUCKET}/{prefix}-{time.time_ns()}",
            "endpoint": self.endpoint,
            "region": REGION,
            "credentialsSecret": credentials,
        }

    def credentials(self, name: str) -> Object:
        """The Secret, for the cluster's namespace."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": {"access-key": ACCESS, "secret-key": SECRET},
        }


def start(machine: Machine, image: str, shell_image: str, node: str) -> S3:
    """That of an earlier run, if it is there. ``shell_image``: has a mkdir."""
    kubectl = machine.client(NAMESPACE)
    machine.client("default").apply(namespace(NAMESPACE))
    if kubectl.find("pod", "s3") is None:
        kubectl.apply(_pod(image, shell_image, node), _service())
    until("the S3 server", lambda: is_ready(kubectl.get("pod", "s3")), 120)
    return S3(f"http://s3.{NAMESPACE}:{PORT}")


def _pod(image: str, shell_image: str, node: str) -> Object:
    arguments = ["--access", ACCESS, "--secret", SECRET, "--region", REGION, "--port", f":{PORT}", "--quiet"]
    container = {
        "name": "s3",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [*arguments, "posix", "/data"],
        "ports": [{"containerPort": PORT}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    # A bucket is a directory; the server's own image has no shell.
    bucket = {
        "name": "bucket",
        "image": shell_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["mkdir", "-p", f"/data/{BUCKET}"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": CONFINED,
    }
    spec = restricted(container)
    spec["initContainers"] = [bucket]
    spec["volumes"].append({"name": "data", "emptyDir": {}})
    spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "s3", "labels": {"app": "s3"}},
        "spec": spec,
    }


def _service() -> Object:
    spec = {"selector": {"app": "s3"}, "ports": [{"port": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s3"}, "spec": spec}
