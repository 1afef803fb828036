"""Certificates of every kind, right and wrong, laid out as Kubernetes mounts a Secret.

Why it exists: a Secret's files are links into a folder that is swapped as a whole, and what is renewed here is renewed
like that. It must not know who reads them.
"""

import datetime
import os
import ssl
from pathlib import Path
from typing import Any

import trustme

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


EXPIRED: dict[str, Any] = {"not_before": now() - 3 * DAY, "not_after": now() - DAY}
NOT_YET: dict[str, Any] = {"not_before": now() + DAY, "not_after": now() + 3 * DAY}


class Mounted:
    """`tls.crt`, `tls.key` and `ca.crt` in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cert, self.key, self.ca = (str(folder / name) for name in ("tls.crt", "tls.key", "ca.crt"))
        self._generation = 0

    def put(self, *names: str, by: trustme.CA, trusted: tuple[trustme.CA, ...] = (), **validity: Any) -> None:
        """A new certificate for these names, in one swap. `trusted`: authorities of `ca.crt`, beside none."""
        made = by.issue_cert(*names, **validity)
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        self.write(chain, made.private_key_pem.bytes(), trusted or (by,))

    def write(self, cert: bytes, key: bytes, trusted: tuple[trustme.CA, ...]) -> None:
        self._generation += 1
        fresh = self.folder / f"..{self._generation}"
        fresh.mkdir(parents=True)
        (fresh / "tls.crt").write_bytes(cert)
        (fresh / "tls.key").write_bytes(key)
        (fresh / "ca.crt").write_bytes(b"".join(ca.cert_pem.bytes() for ca in trusted))
        link = self.folder / "..new"
        link.symlink_to(fresh.name)
        os.replace(link, self.folder / "..data")
        for name in ("tls.crt", "tls.key", "ca.crt"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")


def trusting(mounted: Mounted, *, shows: bool = True) -> ssl.SSLContext:
    """A client's context: it trusts `ca.crt`, and shows the certificate."""
    made = ssl.create_default_context(cafile=mounted.ca)
    if shows:
        made.load_cert_chain(mounted.cert, mounted.key)
    return made
