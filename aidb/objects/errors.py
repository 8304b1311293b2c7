"""What a call of an object store may fail with.

ObjectError
  NoSuchKey       there is no such object
  Exists          the key is taken: nothing was written
  Unavailable     the outcome is unknown or nothing was done; the same call may succeed later
  Denied          credentials or rights are missing
  NoSuchBucket    the bucket, or the store's directory, is not there
  Damaged         the content is not what was written, or not what was expected
  Unusable        a URL or a setting that cannot work, a disk that is full, an answer that nobody foresaw
"""

from __future__ import annotations


class ObjectError(Exception):
    """The message says what happened, to what, and what to do."""


class NoSuchKey(ObjectError):
    def __init__(self, key: str, where: str) -> None:
        super().__init__(f"there is no object {key} in {where}")
        self.key = key


class Exists(ObjectError):
    def __init__(self, key: str, where: str) -> None:
        super().__init__(f"there is an object {key} in {where} already")
        self.key = key


class Unavailable(ObjectError):
    pass


class Denied(ObjectError):
    pass


class NoSuchBucket(ObjectError):
    pass


class Damaged(ObjectError):
    pass


class Unusable(ObjectError):
    pass
