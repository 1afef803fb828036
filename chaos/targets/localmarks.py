"""What runs leave in the data folder of a local cluster: who breaks it now, and which nodes were killed.

    DIR/raft-chaos.lock     held while a run is on; the kernel lets go when the tool dies, however it dies
    DIR/raft-chaos.killed   nodes that a run killed and that were not brought back yet, one per line

Why it exists: a second run, or `heal` from another folder, must find both without any journal. It must not touch what
the cluster itself keeps there.
"""

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

from chaos.errors import ChaosError, Refused

LOCK_FILE, KILLED_FILE = "raft-chaos.lock", "raft-chaos.killed"
HOLDER_BYTES_MAX = 512


class _Holder(msgspec.Struct):
    run: str
    pid: int


def lock(data_dir: Path, run: str, title: str) -> int:
    """Be the only run there until the descriptor that is returned is closed. Raises Refused naming who is."""
    path = data_dir / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ChaosError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = _holder(os.pread(descriptor, HOLDER_BYTES_MAX, 0))
        os.close(descriptor)
        raise Refused(f"Another run of raft-chaos is on against {title}: {holder}; wait for it, or end it.") from None
    with contextlib.suppress(OSError):  # the name is for people; a full disk must not keep anybody from healing
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(_Holder(run, os.getpid())) + b"\n", 0)
    return descriptor


def killed(data_dir: Path) -> list[str]:
    """Nodes that a run killed and that were not brought back, sorted."""
    try:
        return sorted(set((data_dir / KILLED_FILE).read_text().split()))
    except (OSError, UnicodeDecodeError):
        return []


def note_killed(data_dir: Path, node: str, dead: bool) -> None:
    """Remember that, or forget it. The journal is what counts: where this cannot be written, the run goes on."""
    names = sorted({*killed(data_dir), node} if dead else set(killed(data_dir)) - {node})
    path = data_dir / KILLED_FILE
    with contextlib.suppress(OSError):
        if names:
            path.write_text("\n".join(names) + "\n")
        else:
            path.unlink(missing_ok=True)


def _holder(content: bytes) -> str:
    try:
        found = msgspec.json.decode(content, type=_Holder)
    except (msgspec.MsgspecError, RecursionError):
        return "it did not say its name"
    return f"{found.run} (process {found.pid})"
