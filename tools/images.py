"""Builds the images: ``python tools/images.py [--tag dev] [--archives DIR] [node] [operator]``.

With docker, buildah or podman, whichever is there and works; or with the command in $IMAGE_BUILD, which is
called as ``COMMAND -t NAME:TAG -f DOCKERFILE -o ARCHIVE CONTEXT -- --build-arg NAME=VALUE...`` and leaves a
docker archive. With ``--archives`` the others leave one, too: DIR/<image>.tar. Exits with 1 if a build fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ("node", "operator")
REPOSITORY = "localhost/aidb-{}"
_ENGINES = ("docker", "buildah", "podman")


def name_of(image: str, tag: str) -> str:
    """``node``, ``dev`` -> ``localhost/aidb-node:dev``."""
    return f"{REPOSITORY.format(image)}:{tag}"


def build_arguments() -> dict[str, str]:
    """Version, commit and its time: the same commit gives the same image."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    revision, seconds = _git("log", "-1", "--format=%H %ct").split()
    if _git("status", "--porcelain", "--untracked-files=no"):
        revision += "-dirty"
    created = datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"VERSION": version, "REVISION": revision, "CREATED": created, "SOURCE_DATE_EPOCH": seconds}


def build(image: str, tag: str, archive: Path | None, command: str | None = None) -> None:
    """Builds ``image``; ``command``: instead of a container engine, as $IMAGE_BUILD.

    Raises:
        CalledProcessError: the build failed.
        RuntimeError: nothing is there that builds.
    """
    command = command or os.environ.get("IMAGE_BUILD")
    arguments = [item for pair in build_arguments().items() for item in ("--build-arg", "=".join(pair))]
    named = ["-t", name_of(image, tag), "-f", str(ROOT / f"Dockerfile.{image}")]
    if command:
        archive = archive or ROOT / "target" / "images" / f"{image}.tar"
        archive.parent.mkdir(parents=True, exist_ok=True)
        _run([*command.split(), *named, "-o", str(archive), str(ROOT), "--", *arguments])
        return
    engine = _engine()
    _run([engine, "build", *named, *arguments, str(ROOT)])
    if archive is not None:
        _save(engine, name_of(image, tag), archive)


def _engine() -> str:
    for engine in _ENGINES:
        if shutil.which(engine) and subprocess.run([engine, "info"], capture_output=True).returncode == 0:
            return engine
    raise RuntimeError(f"none of {', '.join(_ENGINES)} is there and works: IMAGE_BUILD may name what builds")


def _save(engine: str, name: str, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    if engine == "buildah":
        _run([engine, "push", "--quiet", name, f"docker-archive:{archive}:{name}"])
    else:
        _run([engine, "save", "-o", str(archive), name])


def _run(command: Sequence[str]) -> None:
    # BuildKit is what has cache mounts; it is not the default of every docker.
    subprocess.run(command, check=True, env={**os.environ, "DOCKER_BUILDKIT": "1"})


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("images", nargs="*", choices=[[], *IMAGES], help="node, operator (both)")
    parser.add_argument("--tag", default="dev")
    parser.add_argument("--archives", type=Path, help="a directory for archives of the images")
    options = parser.parse_args()
    for image in options.images or IMAGES:
        archive = options.archives / f"{image}.tar" if options.archives else None
        try:
            build(image, options.tag, archive)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"images: {image}: {error}", file=sys.stderr)
            return 1
        print(name_of(image, options.tag))
    return 0


if __name__ == "__main__":
    sys.exit(main())
