"""The file of profiles: TOML, in ``$AIDB_CONFIG``, else ``$XDG_CONFIG_HOME/aidb/config.toml``, else below
``~/.config``.

    current = "prod"

    [profiles.prod]
    address = "db.example.com:7400"
    tls = "/etc/aidb/tls"

Whoever may change it sends this user's commands elsewhere: a file that others may write to is refused.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from aidb.cli.exits import Exit, Failure
from aidb.cli.profile.entries import Profile, Unfit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OTHERS_WRITE = 0o022


@dataclass(frozen=True, slots=True)
class Config:
    """``current``: the profile that is used when nothing names another."""

    current: str | None = None
    profiles: dict[str, Profile] = field(default_factory=dict)

    def named(self, name: str) -> Profile:
        """Raises Failure."""
        if name not in self.profiles:
            known = ", ".join(sorted(self.profiles)) or "none"
            raise Failure(
                f"there is no profile {name!r} in {path()} (there are: {known}): "
                f"'aidb profile set {name} --address HOST:PORT' makes it",
                Exit.BAD_INPUT,
            )
        return self.profiles[name]


def path() -> Path:
    """Where the file is, or would be."""
    if given := os.environ.get("AIDB_CONFIG"):
        return Path(given)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "aidb" / "config.toml"


def check_name(name: str) -> None:
    """Raises Failure."""
    if _NAME.fullmatch(name) is None:
        raise Failure(
            f"{name!r} is no name of a profile: up to 64 letters, digits, and _ . - behind the first",
            Exit.BAD_INPUT,
        )


def load() -> Config:
    """The empty one if there is no file. Raises Failure."""
    file = path()
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_mode & _OTHERS_WRITE or status.st_uid not in (os.getuid(), 0):
                raise Failure(
                    f"{file}: others may change it, and with it where commands go (owner {status.st_uid}, "
                    f"mode {status.st_mode & 0o777:o}): make it yours, and 'chmod 600 {file}'",
                    Exit.BAD_INPUT,
                )
            return parse(stream.read().decode())
    except FileNotFoundError:
        return Config()
    except (Unfit, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Failure(f"{file}: {error}: mend it, or remove it", Exit.BAD_INPUT) from error
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}", Exit.BAD_INPUT) from error


def parse(text: str) -> Config:
    """Raises Unfit, TOMLDecodeError."""
    found = tomllib.loads(text)
    current, profiles = found.pop("current", None), found.pop("profiles", {})
    if found:
        raise Unfit(f"there is no entry {next(iter(found))!r}: there are current and profiles")
    if current is not None and not isinstance(current, str) or not isinstance(profiles, dict):
        raise Unfit("current is the name of a profile, profiles is a table of them")
    made = dict[str, Profile]()
    for name, entries in profiles.items():
        if _NAME.fullmatch(name) is None or not isinstance(entries, dict):
            raise Unfit(f"profiles.{name} is no profile")
        try:
            made[name] = Profile.of(entries)
        except Unfit as error:
            raise Unfit(f"profiles.{name}: {error}") from error
    return Config(current, made)


def text_of(config: Config) -> str:
    """`parse` gives the same. What is printable is the same text in JSON and TOML."""
    lines = [] if config.current is None else [f"current = {_text(config.current)}"]
    for name, profile in sorted(config.profiles.items()):
        lines += ["", f"[profiles.{_text(name)}]"]
        lines += [
            f"{entry} = {_text(value) if isinstance(value, str) else json.dumps(value)}"
            for entry, value in profile.entries().items()
        ]
    return "\n".join(lines).strip() + "\n"


def save(config: Config) -> None:
    """Replaces the file, for its owner alone. Comments in it are lost. Raises Failure."""
    file = path()
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as stream:
            stream.write(text_of(config))
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Failure(f"cannot write {file}: {error.strerror}", Exit.BAD_INPUT) from error


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
