"""A pod's volumes as directories. Files of Secrets and ConfigMaps change in one step, by a link."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.kubernetes.workloads.container import NotYet, Raw, Source


class Volumes:
    """`of_pod` is removed with the pod, `claims` holds a directory for each PersistentVolumeClaim."""

    def __init__(self, of_pod: Path, claims: Path) -> None:
        self._of_pod, self._claims = of_pod, claims

    def mounts(self, pod: Raw, source: Source) -> dict[str, Path]:
        """Directories by path in the container, filled with what is in the sources now. Raises NotYet."""
        made = {volume["name"]: self._made(volume, source) for volume in pod["spec"].get("volumes", ())}
        [container] = pod["spec"]["containers"]
        found = {}
        for mount in container.get("volumeMounts", ()):
            where = made[mount["name"]]
            found[mount["mountPath"]] = where / mount["subPath"] if "subPath" in mount else where
        return found

    def remove(self) -> None:
        shutil.rmtree(self._of_pod, ignore_errors=True)

    def _made(self, volume: Raw, source: Source) -> Path:
        if "persistentVolumeClaim" in volume:
            where = self._claims / str(volume["persistentVolumeClaim"]["claimName"])
            where.mkdir(parents=True, exist_ok=True)
            return where
        where = self._of_pod / str(volume["name"])
        where.mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            return where
        if "secret" in volume:
            told, name, read = volume["secret"], volume["secret"]["secretName"], source.secret
        elif "configMap" in volume:
            told, name, read = volume["configMap"], volume["configMap"]["name"], source.config_map
        else:
            raise NotImplementedError(f"{volume}: no such volume here")
        try:
            content = read(name)
        except NotYet:
            if not told.get("optional"):
                raise
            content = {}
        write(where, _chosen(content, told.get("items")))
        return where


def _chosen(content: Mapping[str, bytes], items: list[Raw] | None) -> dict[str, bytes]:
    if items is None:
        return dict(content)
    missing = [item["key"] for item in items if item["key"] not in content]
    if missing:
        raise NotYet(f"no key {missing[0]}")
    return {item["path"]: content[item["key"]] for item in items}


def write(directory: Path, content: Mapping[str, bytes]) -> None:
    """In one step, as a kubelet does; nothing when it is there already."""
    digest = hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()[:16]
    folder, data = directory / f"..{digest}", directory / "..data"
    if data.is_symlink() and data.readlink() == Path(folder.name):
        return
    before = data.readlink() if data.is_symlink() else None
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        path.chmod(0o600)
    scratch = directory / "..data_new"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(folder.name)
    scratch.rename(data)
    for name in content:
        link = directory / name
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path("..data") / name)
    for link in directory.iterdir():
        if link.is_symlink() and not link.name.startswith("..") and link.name not in content:
            link.unlink()
    if before is not None:
        shutil.rmtree(directory / before, ignore_errors=True)
