"""A real server that speaks S3, on loopback, over a folder: versitygw (`make s3` builds it).

Why it exists: signatures, parts of an upload, and "create, if it is not there" are what clients and servers of S3
disagree about; a double that we write would agree with us. Where there is no such program, its tests are skipped.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_base_port

CACHED = Path(__file__).parents[2] / ".cache" / "versitygw"
BUCKET = "backups"
START_SECONDS_MAX = 20.0
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester-secret", "AWS_REGION": "us-east-1"}


def program() -> str | None:
    """The server: in VERSITYGW, on PATH, or where `make s3` puts it."""
    found = os.environ.get("VERSITYGW") or shutil.which("versitygw")
    return found or (str(CACHED) if CACHED.exists() else None)


@contextmanager
def gateway(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a client; the bucket `BUCKET` is there, as a folder of the same name."""
    (folder / BUCKET).mkdir(parents=True)
    port, server = free_base_port(1), program()
    assert server is not None
    with (folder.parent / "gateway.log").open("wb") as log:
        running = subprocess.Popen(
            [server, "--port", f"127.0.0.1:{port}", "posix", str(folder)],
            stdout=log,
            stderr=log,
            env={"ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]},
        )
    try:
        end = time.monotonic() + START_SECONDS_MAX
        while not _listens(port):
            assert running.poll() is None, (folder.parent / "gateway.log").read_text()
            assert time.monotonic() < end, "the server of S3 does not listen"
            time.sleep(0.05)
        yield {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    finally:
        running.terminate()
        running.wait(START_SECONDS_MAX)


def _listens(port: int) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex(("127.0.0.1", port)) == 0
