"""What boto3 raises, as errors of object stores. The error code decides, never the status alone: stores
answer 404 for a missing bucket and to strangers too, and 409 is a create that met another one's, to be
tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aidb.objects.errors import (
    Damaged,
    Denied,
    Exists,
    NoSuchBucket,
    NoSuchKey,
    ObjectError,
    Unavailable,
    Unusable,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

_EXISTS = {"PreconditionFailed"}
_DENIED = {
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "XAdminUserNotFound",  # versitygw, with status 404
    "403",
}
_AGAIN = {
    "ConditionalRequestConflict",
    "InternalError",
    "NoSuchUpload",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
# Of sse=aws:kms: the key is not there, is disabled, is for something else, or is another account's.
_KEY_MANAGEMENT = "KMS."
_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"}


def not_found(error: ClientError) -> bool:
    """Whether the answer's status, for what it is worth, is 404."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404


def translated(error: BotoCoreError | ClientError, key: str, where: str) -> ObjectError:
    from botocore.exceptions import (
        ClientError,
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        TokenRetrievalError,
    )
    from botocore.exceptions import ConnectionError as LostConnection

    no_credentials = (NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError)
    if isinstance(error, no_credentials):
        return Denied(f"{where}: {error}; give credentials by the environment, a profile or a role")
    if isinstance(error, HTTPClientError | LostConnection):
        return Unavailable(f"{where} does not answer: {error}")
    if not isinstance(error, ClientError):
        # Among them are answers cut short.
        return Unavailable(f"{key} in {where}: {error}")
    found = error.response.get("Error", {})
    code, text = found.get("Code", ""), found.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    reason = f"{key} in {where}: {code} {text}".rstrip()
    if code == "NoSuchKey":
        return NoSuchKey(key, where)
    if code in _EXISTS:
        return Exists(key, where)
    if code == "NoSuchBucket":
        return NoSuchBucket(f"the bucket of {where} does not exist; create it, or correct the URL")
    if code.startswith(_KEY_MANAGEMENT) and status < 500:
        return Denied(f"{reason}; check kms_key, its state, and the rights to it")
    if code in _DENIED:
        return Denied(f"{reason}; check the credentials and their rights")
    if code in _DAMAGED:
        return Damaged(f"{reason}: the content changed on its way")
    if code in _AGAIN or status in (408, 409, 429) or status >= 500:
        return Unavailable(reason)
    return Unusable(reason)
