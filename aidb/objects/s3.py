"""S3 and what speaks like it, by boto3.

Every upload names its SHA-256, which the store checks; the SDK's own default checksums are off, because
the chunked uploads that carry them break several stores. Large files go in parts: the condition is then
judged when the parts are put together, and an upload that failed is aborted. The SDK makes one attempt:
`retrying` knows what may be repeated.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aidb.objects.errors import NoSuchKey, Unavailable, Unusable
from aidb.objects.location import Bucket
from aidb.objects.s3_errors import not_found, translated
from aidb.objects.store import PAGE, Stat, check_key

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# A file larger than this goes in parts of so many bytes; a part's size grows where 10,000 would not do.
PART_BYTES = 16 << 20
_MOST_PARTS = 10_000
_CONNECTIONS = 32
_CONNECT_SECONDS = 5.0


class S3Store:
    """The objects below the location's prefix."""

    fenced = True

    def __init__(self, location: Bucket, *, part_bytes: int = PART_BYTES) -> None:
        self._location = location
        self._client = _client(location)
        self._part_bytes = part_bytes
        self._prefix = f"{location.prefix}/" if location.prefix else ""
        self._encryption: dict[str, Any] = {}
        if location.sse:
            self._encryption["ServerSideEncryption"] = location.sse
        if location.kms_key:
            self._encryption["SSEKMSKeyId"] = location.kms_key

    @property
    def url(self) -> str:
        return f"s3://{self._location.bucket}/{self._location.prefix}"

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        if length == 0:
            return b""
        end = "" if length is None else start + length - 1
        # A range of an empty object cannot be satisfied, the whole of it can.
        asked: dict[str, Any] = {} if (start, length) == (0, None) else {"Range": f"bytes={start}-{end}"}
        with self._errors(key):
            try:
                answer = self._client.get_object(**self._named(key), **asked)
                return answer["Body"].read()
            except self._client.exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") == "InvalidRange":
                    return b""
                raise

    def create(self, key: str, body: bytes) -> None:
        with self._errors(key):
            self._put(key, body, _checksum(body))

    def create_file(self, key: str, path: Path) -> None:
        with self._errors(key), path.open("rb") as file:
            size = path.stat().st_size
            if size <= self._part_bytes:
                self._put(key, file, _checksum_of_file(file))
            else:
                self._put_in_parts(key, file, max(self._part_bytes, -(-size // _MOST_PARTS)))

    def head(self, key: str) -> Stat:
        with self._errors(key):
            try:
                found = self._client.head_object(**self._named(key))
            except self._client.exceptions.ClientError as error:
                if not not_found(error):
                    raise
                # The answer has no body, hence no code, and 404 is also said of buckets and to strangers.
                self._client.get_object(**self._named(key), Range="bytes=0-0")["Body"].read()
                raise Unavailable(f"{key} appeared in {self.url} a moment ago") from error
        return Stat(key, found["ContentLength"], found["LastModified"].timestamp())

    def page(self, prefix: str, after: str = "") -> list[Stat]:
        asked: dict[str, Any] = {"Bucket": self._location.bucket, "Prefix": self._prefix + prefix}
        if after:
            asked["StartAfter"] = self._prefix + after
        found: list[Stat] = []
        with self._errors(prefix):
            while True:  # a store may answer with fewer than asked for
                answer = self._client.list_objects_v2(**asked, MaxKeys=PAGE - len(found))
                for item in answer.get("Contents", []):
                    key = item["Key"].removeprefix(self._prefix)
                    found.append(Stat(key, item["Size"], item["LastModified"].timestamp()))
                if not answer.get("IsTruncated") or len(found) >= PAGE or not answer.get("Contents"):
                    return found
                asked["StartAfter"] = self._prefix + found[-1].key

    def delete(self, key: str) -> None:
        with self._errors(key), contextlib.suppress(NoSuchKey):
            self._client.delete_object(**self._named(key))

    def close(self) -> None:
        self._client.close()

    def _named(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._location.bucket, "Key": self._prefix + check_key(key)}

    def _put(self, key: str, body: bytes | IO[bytes], checksum: str) -> None:
        self._client.put_object(
            **self._named(key), Body=body, IfNoneMatch="*", ChecksumSHA256=checksum, **self._encryption
        )

    def _put_in_parts(self, key: str, file: IO[bytes], part_bytes: int) -> None:
        named = self._named(key)
        upload = self._client.create_multipart_upload(**named, ChecksumAlgorithm="SHA256", **self._encryption)
        named["UploadId"] = upload["UploadId"]
        try:
            parts: list[Any] = []
            for number, chunk in enumerate(iter(lambda: file.read(part_bytes), b""), start=1):
                checksum = _checksum(chunk)
                done = self._client.upload_part(
                    **named, PartNumber=number, Body=chunk, ChecksumSHA256=checksum
                )
                parts.append({"PartNumber": number, "ETag": done["ETag"], "ChecksumSHA256": checksum})
            self._client.complete_multipart_upload(**named, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except BaseException:
            # Parts are paid for until somebody removes them. If this fails too, the bucket's lifecycle
            # rule does.
            with contextlib.suppress(Exception):
                self._client.abort_multipart_upload(**named)
            raise

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise translated(error, key, self.url) from error
        except OSError as error:
            raise Unusable(f"cannot read what is to be stored as {key}: {error}") from error


def _client(location: Bucket) -> S3Client:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise Unusable("s3:// needs boto3: pip install 'aidb[s3]'") from error
    config = Config(
        connect_timeout=min(_CONNECT_SECONDS, location.timeout),
        read_timeout=location.timeout,
        retries={"total_max_attempts": 1},
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        s3={"addressing_style": location.style},  # type: ignore[arg-type]
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        session = boto3.session.Session(profile_name=location.profile or None)
        client: S3Client = session.client(
            "s3", endpoint_url=location.endpoint or None, region_name=location.region or None, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise Unusable(f"s3://{location.bucket}: {error}") from error
    return client


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _checksum_of_file(file: IO[bytes]) -> str:
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    file.seek(0)
    return base64.b64encode(digest.digest()).decode()
