"""A bucket, or a part of one, of a storage that speaks S3.

Why it exists: backups belong on other machines than the cluster's. Credentials, region and endpoint come from the
environment, as every client of S3 takes them (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL):
a command line is seen by everybody on the machine. It is the only importer of obstore, which is an extra.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from node.keeping.port import PlaceError
from node.keeping.s3_reasons import ENDPOINT, reason, trouble

if TYPE_CHECKING:
    from obstore.store import S3Store

PART_BYTES = 16 * 1024 * 1024
"""Of a file, in one request, up or down. An upload has 10,000 parts at most, so 156 GiB."""
PARTS_AT_ONCE = 2
PART_SECONDS_MAX = 120
"""For one request with a part in it, from its beginning to its end: 140 KB/s will do."""
PART_RETRIES_MAX = 5
"""Its client begins none later than 180 s after the first, so a part takes 300 s at most."""
QUESTION_SECONDS_MAX = 20
"""For one request without a part in it."""
QUESTION_RETRIES_MAX = 2
"""So a storage that takes connections and never answers is given up after a minute."""
CONNECT_SECONDS_MAX = 10

T = TypeVar("T")


class Bucket:
    """Satisfies `node.keeping.port.Place`."""

    def __init__(self, bucket: str, prefix: str) -> None:
        try:
            import obstore
        except ImportError:
            raise PlaceError(
                "s3:// needs a package that is not installed here: pip install '.[s3]' in a checkout"
            ) from None
        if wrong := trouble():
            raise PlaceError(wrong)
        self._obstore = obstore
        self._url = f"s3://{bucket}/{prefix}"
        with self._told("use", ""):
            self._parts = _store(bucket, prefix, PART_SECONDS_MAX, PART_RETRIES_MAX)
            self._store = _store(bucket, prefix, QUESTION_SECONDS_MAX, QUESTION_RETRIES_MAX)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="raft-backup-") as folder:
            yield Path(folder) / "part"

    def keep(self, file: Path, name: str) -> None:
        """Read back and compared before it returns; what cannot be is taken away again."""
        with self._told("write", name):
            sizes = {"chunk_size": PART_BYTES, "max_concurrency": PARTS_AT_ONCE}
            _awaited(lambda: self._obstore.put(self._parts, name, file, **sizes))
        try:
            self._compare(file, name)
        except PlaceError as error:
            try:
                self.remove(name)
            except PlaceError as left:
                raise PlaceError(f"{error}; {self.shown(name)} is left there, for {left}") from None
            raise

    def _compare(self, file: Path, name: str) -> None:
        with file.open("rb") as ours:
            for piece in self._pieces(name):
                if ours.read(len(piece)) != piece:
                    raise PlaceError(f"{self.shown(name)} is not what was written")
            if ours.read(1):
                raise PlaceError(f"{self.shown(name)} is shorter than what was written")

    def names(self) -> list[str]:
        with self._told("list", ""):
            found = _awaited(lambda: self._obstore.list_with_delimiter(self._store))
            return [str(one["path"]).rpartition("/")[2] for one in found["objects"]]

    def remove(self, name: str) -> None:
        with self._told("remove", name), contextlib.suppress(FileNotFoundError):
            _awaited(lambda: self._obstore.delete(self._store, name))

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
                _awaited(lambda: self._obstore.put(self._store, name, text.encode(), mode="create"))
            return self._text(name)

    def _text(self, name: str) -> str:
        return _awaited(lambda: bytes(self._obstore.get(self._store, name).bytes())).decode(errors="replace")

    def shown(self, name: str) -> str:
        return f"{self._url.rstrip('/')}/{name}"

    def _pieces(self, name: str) -> Iterator[bytes]:
        """Each in a request of its own: how long a file may be is no matter of how long a request may take."""
        with self._told("read", name):
            size, first = _awaited(lambda: self._first(name))
            yield first
            for start in range(PART_BYTES, size, PART_BYTES):
                yield self._piece(name, start, min(PART_BYTES, size - start))

    def _first(self, name: str) -> tuple[int, bytes]:
        """How long the whole is, and its first part."""
        found = self._obstore.get(self._parts, name, options={"range": (0, PART_BYTES)})
        return found.meta["size"], bytes(found.bytes())

    def _piece(self, name: str, start: int, length: int) -> bytes:
        return bytes(_awaited(lambda: self._obstore.get_range(self._parts, name, start=start, length=length)))

    @contextlib.contextmanager
    def _told(self, doing: str, name: str) -> Iterator[None]:
        """Its errors are exceptions of its own, and some of Python's."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise PlaceError(f"cannot {doing} {self.shown(name)}: {reason(str(error))}") from error


def _awaited(call: Callable[[], T]) -> T:
    """What it returns. It is called on a thread that ends with the process: its client is deaf to Ctrl-C meanwhile."""
    told: Future[T] = Future()

    def run() -> None:
        try:
            told.set_result(call())
        except BaseException as error:
            told.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return told.result()


def _store(bucket: str, prefix: str, request_seconds_max: int, retries_max: int) -> "S3Store":
    from obstore.store import S3Store

    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={
            "allow_http": os.environ.get(ENDPOINT, "").startswith("http://"),
            "timeout": f"{request_seconds_max}s",
            "connect_timeout": f"{CONNECT_SECONDS_MAX}s",
        },
        retry_config={"max_retries": retries_max},
    )
