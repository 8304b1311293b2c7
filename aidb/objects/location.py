"""Where a store is: `file:///directory` or `s3://bucket/prefix?endpoint=...&region=...`.

Options of `s3://`, all of them optional; credentials never stand in the URL but come from the SDK's usual
chain (environment, profile, web identity, instance role):

    endpoint=https://host:port     another service than AWS; docs/object-stores.md has settings for some
    region=eu-central-1
    style=auto|path|virtual        how the bucket is addressed
    sse=AES256|aws:kms             server-side encryption; kms_key=ID names the key of aws:kms
    profile=NAME                   of the credentials file
    timeout=SECONDS                of one attempt (30)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from aidb.objects.errors import Unusable

STYLES = ("auto", "path", "virtual")
ENCRYPTIONS = ("", "AES256", "aws:kms")


@dataclass(frozen=True, slots=True)
class Directory:
    path: Path


@dataclass(frozen=True, slots=True)
class Bucket:
    """``prefix`` is empty or ends without a slash."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    style: str = "auto"
    sse: str = ""
    kms_key: str = ""
    profile: str = ""
    timeout: float = 30.0


_OPTIONS = {field.name for field in fields(Bucket)} - {"bucket", "prefix"}


def parse(url: str) -> Directory | Bucket:
    """Raises Unusable."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        if parts.netloc or parts.query or not path.is_absolute():
            raise Unusable(f"{url!r} names no directory: file:///absolute/path")
        return Directory(path)
    if parts.scheme != "s3" or not parts.hostname:
        raise Unusable(f"{url!r} is no object store: give file:///directory or s3://bucket/prefix")
    if "@" in parts.netloc:
        raise Unusable("credentials do not belong into a URL: give them by the environment or a profile")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - _OPTIONS)
    if unknown:
        raise Unusable(
            f"{unknown[0]!r} is no option of an s3:// URL; there are {', '.join(sorted(_OPTIONS))}"
        )
    bucket = Bucket(
        bucket=parts.netloc,
        prefix=unquote(parts.path).strip("/"),
        endpoint=options.get("endpoint", ""),
        region=options.get("region", ""),
        style=_one_of("style", options.get("style", "auto"), STYLES),
        sse=_one_of("sse", options.get("sse", ""), ENCRYPTIONS),
        kms_key=options.get("kms_key", ""),
        profile=options.get("profile", ""),
        timeout=_seconds(options.get("timeout", "30")),
    )
    if bucket.endpoint and urlsplit(bucket.endpoint).scheme not in ("http", "https"):
        raise Unusable(f"endpoint={bucket.endpoint} is no address: it begins with https:// or http://")
    if bucket.kms_key and bucket.sse != "aws:kms":
        raise Unusable("kms_key needs sse=aws:kms")
    return bucket


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise Unusable(f"{name}={value} is none of {', '.join(filter(None, choices))}")
    return value


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise Unusable(f"timeout={text} is no number of seconds up to 3600")
    return seconds
