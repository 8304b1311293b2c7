"""Where the second copy of the data is, and how it is kept."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from aidb_operator.api.model import Model, Rule
from aidb_operator.api.pod import Name

URL = r"^s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[-A-Za-z0-9!_.*'()]+)*/?$"
ENDPOINT = r"^https?://[-A-Za-z0-9.]+(:[0-9]{1,5})?/?$"


class Bucket(Model):
    """How a bucket is reached."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.caSecret) || (has(self.endpoint) && self.endpoint.startsWith('https://'))",
            "caSecret goes with an endpoint of https",
            ".caSecret",
        ),
    )

    url: str = Field(
        max_length=512,
        pattern=URL,
        description="s3://bucket/prefix. Clusters may share it: each has its own uid there.",
    )
    endpoint: str | None = Field(
        default=None,
        max_length=253,
        pattern=ENDPOINT,
        description="http(s)://host:port of an S3 server that is not Amazon's.",
    )
    region: str | None = Field(
        default=None, min_length=1, max_length=63, pattern=r"^[-a-z0-9]+$", description="Of the bucket."
    )
    credentials_secret: Name | None = Field(
        default=None,
        description="Secret with the keys access-key and secret-key; without it, the pods' own identity.",
    )
    ca_secret: Name | None = Field(
        default=None, description="Secret with ca.crt, whom the server's certificate is from."
    )


class ObjectStore(Bucket):
    rules = (
        *Bucket.rules,
        Rule(
            "self.url == oldSelf.url",
            "the url cannot be changed: it is where the second copy is; restore into a new cluster",
            ".url",
        ),
    )


class Backup(Model):
    rules = (
        Rule(
            "self.archiveEverySeconds <= self.snapshotEverySeconds",
            "snapshots are no more frequent than the archive",
            ".snapshotEverySeconds",
        ),
    )

    archive_every_seconds: int = Field(
        default=1, ge=1, le=3600, description="How long log may wait to be archived."
    )
    snapshot_every_seconds: int = Field(
        default=3600, ge=10, le=604_800, description="Between two snapshots of a shard."
    )
    keep: int = Field(default=24, ge=1, le=10_000, description="So many snapshots are kept at least.")
    keep_days: int = Field(default=7, ge=0, le=3650, description="And all that are younger.")
    verify_every_seconds: int = Field(
        default=86_400,
        ge=0,
        le=31_536_000,
        description="How often all objects are read and checked; 0: never.",
    )
    drill_every_seconds: int = Field(
        default=604_800,
        ge=0,
        le=31_536_000,
        description="How often a restore is tried and compared with the data; 0: never.",
    )
