"""The images under test, built from this tree and brought to the nodes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from e2e.harness.machine import ROOT, Machine
from tools import images

SHARED_BUILD = ROOT.parent / "shared" / "images" / "build"
ARCHIVES = ROOT / "target" / "e2e" / "images"
# Containers of a fixed tag are pulled by nobody, so that a tag may not be used for two contents.
_NEXT = "-next"


@dataclass(frozen=True)
class Images:
    """Names. ``next_node``: the same programs under another name, for upgrades."""

    node: str
    operator: str
    next_node: str


def present(machine: Machine) -> Images:
    """$E2E_NODE_IMAGE and $E2E_OPERATOR_IMAGE, which the cluster can pull, else what is built here."""
    node, operator = os.environ.get("E2E_NODE_IMAGE"), os.environ.get("E2E_OPERATOR_IMAGE")
    if node and operator:
        return Images(node, operator, os.environ.get("E2E_NEXT_NODE_IMAGE", node))
    archives = {image: ARCHIVES / f"{image}.tar" for image in images.IMAGES}
    if os.environ.get("E2E_BUILD") != "no":
        for image, archive in archives.items():
            images.build(image, "e2e", archive, None if os.environ.get("IMAGE_BUILD") else _shared_build())
    tags = {image: _content(archive) for image, archive in archives.items()}
    names = {image: images.name_of(image, tag) for image, tag in tags.items()}
    wanted = {"node": [names["node"], names["node"] + _NEXT], "operator": [names["operator"]]}
    for image, archive in archives.items():
        if not machine.has(wanted[image]):
            machine.load(_renamed(archive, wanted[image]))
    return Images(names["node"], names["operator"], names["node"] + _NEXT)


def _shared_build() -> str | None:
    return str(SHARED_BUILD) if SHARED_BUILD.exists() else None


def _content(archive: Path) -> str:
    """A tag for what is in the image: the beginning of its configuration's digest."""
    with tarfile.open(archive) as tar:
        configuration = tar.extractfile(json.loads(_read(tar, "manifest.json"))[0]["Config"])
        assert configuration is not None
        return hashlib.sha256(configuration.read()).hexdigest()[:12]


def _renamed(archive: Path, names: list[str]) -> Path:
    """The same docker archive with other names."""
    target = archive.with_suffix(".named.tar")
    with tarfile.open(archive) as source, tarfile.open(target, "w") as copy:
        manifest = json.loads(_read(source, "manifest.json"))
        manifest[0]["RepoTags"] = names
        for member in source:
            if member.name == "repositories":
                continue
            if member.name == "manifest.json":
                content = json.dumps(manifest).encode()
                member.size = len(content)
                copy.addfile(member, BytesIO(content))
            else:
                copy.addfile(member, source.extractfile(member) if member.isfile() else None)
    return target


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise subprocess.SubprocessError(f"{tar.name!r} has no {name}: no docker archive")
    return file.read()
