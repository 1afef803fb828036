"""A bucket, or a part of one, of a storage that speaks S3.

Why it exists: backups belong on other machines than the cluster's. Credentials, region and endpoint come from the
environment, as every client of S3 takes them (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL):
a command line is seen by everybody on the machine. It is the only importer of obstore, which is an extra.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from node.keeping.port import PlaceError

PART_BYTES = 16 * 1024 * 1024
"""Of an upload. A file has 10,000 parts at most, so 156 GiB."""
PARTS_AT_ONCE = 2
READ_BYTES = 1024 * 1024
RETRIES_MAX = 5
SILENCE_SECONDS_MAX = 120
"""For one request, from its beginning to its end; a part of an upload is one."""
CONNECT_SECONDS_MAX = 10
SENTENCE_CHARS_MAX = 200
_ENDPOINT = "AWS_ENDPOINT_URL"


class Bucket:
    """Satisfies `node.keeping.port.Place`."""

    def __init__(self, bucket: str, prefix: str) -> None:
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError:
            raise PlaceError(
                "s3:// needs a package that is not installed here: pip install '.[s3]' in a checkout"
            ) from None
        self._obstore = obstore
        self._url = f"s3://{bucket}/{prefix}"
        plain = os.environ.get(_ENDPOINT, "").startswith("http://")
        with self._told("use", ""):
            self._store = S3Store(
                bucket,
                prefix=prefix or None,
                client_options={
                    "allow_http": plain,
                    "timeout": f"{SILENCE_SECONDS_MAX}s",
                    "connect_timeout": f"{CONNECT_SECONDS_MAX}s",
                },
                retry_config={"max_retries": RETRIES_MAX},
            )

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="raft-backup-") as folder:
            yield Path(folder) / "part"

    def keep(self, file: Path, name: str) -> None:
        """Read back and compared before it returns."""
        with self._told("write", name):
            self._obstore.put(self._store, name, file, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        with file.open("rb") as ours:
            for piece in self._pieces(name):
                if ours.read(len(piece)) != piece:
                    raise PlaceError(f"{self.shown(name)} is not what was written")
            if ours.read(1):
                raise PlaceError(f"{self.shown(name)} is shorter than what was written")

    def names(self) -> list[str]:
        with self._told("list", ""):
            found = self._obstore.list_with_delimiter(self._store)["objects"]
            return [str(one["path"]).rpartition("/")[2] for one in found]

    def remove(self, name: str) -> None:
        with self._told("remove", name), contextlib.suppress(FileNotFoundError):
            self._obstore.delete(self._store, name)

    def fetch(self, name: str, to: Path) -> None:
        try:
            with to.open("xb") as out:
                for piece in self._pieces(name):
                    out.write(piece)
        except OSError as error:
            raise PlaceError(f"cannot write {to} ({error.strerror or error})") from error

    def note(self, name: str, text: str) -> str:
        """Looked for first: a storage may be too old to know "create, if it is not there"."""
        from obstore.exceptions import AlreadyExistsError

        with self._told("write", name):
            with contextlib.suppress(FileNotFoundError):
                return self._text(name)
            with contextlib.suppress(AlreadyExistsError):
                self._obstore.put(self._store, name, text.encode(), mode="create")
            return self._text(name)

    def _text(self, name: str) -> str:
        return bytes(self._obstore.get(self._store, name).bytes()).decode(errors="replace")

    def shown(self, name: str) -> str:
        return f"{self._url.rstrip('/')}/{name}"

    def _pieces(self, name: str) -> Iterator[bytes]:
        with self._told("read", name):
            for piece in self._obstore.get(self._store, name).stream(READ_BYTES):
                yield bytes(piece)

    @contextlib.contextmanager
    def _told(self, doing: str, name: str) -> Iterator[None]:
        """Its errors are exceptions of its own, and some of Python's; what they say goes on for lines."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            said = str(error).split("\n")[0]
            shorter = said if len(said) <= SENTENCE_CHARS_MAX else f"{said[:SENTENCE_CHARS_MAX]}..."
            raise PlaceError(f"cannot {doing} {self.shown(name)} ({shorter})") from error
