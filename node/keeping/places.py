"""Which place a word on the command line means.

Why it exists: one rule for every command: s3://BUCKET/... is a bucket, anything else a path. It must not touch either.
"""

import re
from pathlib import Path

from node.keeping.folder import Folder
from node.keeping.port import Place, PlaceError

S3 = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def is_place(text: str) -> bool:
    """Whether it names a place for many backups, and not one file: by its slash at the end, or as a folder is there."""
    return text.endswith("/") or (not text.startswith(S3) and Path(text).is_dir())


def place_of(text: str) -> Place:
    """The place itself. Raises PlaceError."""
    if not text.startswith(S3):
        return Folder(Path(text))
    from node.keeping.s3 import Bucket

    bucket, _, prefix = text.removeprefix(S3).partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise PlaceError(f"{text} names no bucket: write s3://BUCKET/ or s3://BUCKET/FOLDER/")
    return Bucket(bucket, prefix.strip("/"))


def file_in(text: str) -> tuple[Place, str]:
    """The place of one file, and the file's name there. Raises PlaceError."""
    head, _, name = text.rpartition("/")
    if not name or head == "s3:/":
        raise PlaceError(f"{text} names no file")
    if text.startswith(S3):
        return place_of(f"{head}/"), name
    return Folder(Path(text).parent), name
