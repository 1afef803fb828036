"""What a local `raft-node cluster`, or a lab of ours, tells other tools: its `cluster.json`, read by the format that it
promises.

Why it exists: the file is the only thing that is known of a local cluster, and its process ids decide who gets a
signal, so it is read anew before each. Own code on purpose: nothing of `node` is imported. It must not change
anything in the folder.
"""

import os
import re
import signal
import sys
from pathlib import Path
from typing import Literal

import msgspec

from chaos.errors import ChaosError

CLUSTER_FILE = "cluster.json"
LAB_FORMAT: Literal["raft-chaos lab"] = "raft-chaos lab"
VERSION = 1
_STATE_AND_AFTER = re.compile(rb"\) (.*)", re.DOTALL)
_STATE, _START = 0, 19
"""Fields of /proc/PID/stat, counted after the command's name: state, and start time in ticks since boot."""


class NodeEntry(msgspec.Struct, frozen=True):
    """One node. `peer`: host:port of its peer links; `pid` None: it does not run. `links`: where its links are cut, as
    a node of ours is asked for it; empty: at the node itself."""

    name: str
    url: str
    peer: str
    data_dir: str
    log_file: str
    pid: int | None = None
    links: str = ""


class ClusterFile(msgspec.Struct, frozen=True, kw_only=True):
    """`control`: the supervisor's unix socket; `monitor`: the URL of the page of all nodes; `system`: what the nodes
    are."""

    format: Literal["raft-node cluster", "raft-chaos lab"]
    version: int
    system: Literal["raft-node", "etcd"] = "raft-node"
    state: Literal["running", "stopped"]
    supervisor_pid: int | None
    control: str | None
    monitor: str | None = None
    nodes: tuple[NodeEntry, ...]

    @property
    def starter(self) -> str:
        """What people start it with."""
        return starter_of(self.system)

    @property
    def again(self) -> str:
        """What people do where its processes are not what they should be."""
        return f"start the cluster again with {self.starter}" if self._is_ours else self._lab_again

    def start_node(self, node: str) -> str:
        """What people do to have a node run that does not."""
        return f"start it with raft-node start {node}" if self._is_ours else self._lab_again

    @property
    def _is_ours(self) -> bool:
        return self.system == "raft-node"

    @property
    def _lab_again(self) -> str:
        return f"end the lab and start it again with {self.starter}"

    def node(self, name: str) -> NodeEntry:
        """Raises ChaosError where there is none of that name."""
        for entry in self.nodes:
            if entry.name == name:
                return entry
        raise ChaosError(f"There is no node {name}: the nodes are {', '.join(entry.name for entry in self.nodes)}.")


def starter_of(system: str) -> str:
    """The command that starts a cluster of that system here."""
    return "raft-node cluster" if system == "raft-node" else f"raft-chaos lab {system}"


def read(data_dir: Path) -> ClusterFile | None:
    """`cluster.json` of that folder, None where there is none. Raises ChaosError where it is not what it should be."""
    path = data_dir / CLUSTER_FILE
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ChaosError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        found = msgspec.json.decode(content, type=ClusterFile)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ChaosError(f"{path} was not written by raft-node or a lab ({error}): name another --data-dir.") from None
    if found.version != VERSION:
        raise ChaosError(f"{path} has version {found.version}, this raft-chaos knows {VERSION}: use one that fits.")
    return found


def instance_of(entry: NodeEntry) -> str:
    """What tells this process of the node from any other: process id and start time; empty: it does not run."""
    if entry.pid is None:
        return ""
    begun = started(entry.pid)
    return "" if begun is None or not belongs(entry) else f"{entry.pid}-{begun}"


def started(pid: int) -> str | None:
    """When the process started, in ticks since boot ("?" where the system does not tell); None: it does not run (one
    that has ended and was not yet waited for does not)."""
    if not sys.platform.startswith("linux"):
        return "?" if _exists(pid) else None
    fields = _stat(pid)
    if len(fields) <= _START or fields[_STATE] in (b"Z", b"X"):
        return None
    return fields[_START].decode()


def stands_still(entry: NodeEntry) -> bool:
    """Whether the node's process was told to (SIGSTOP). False where the system does not tell."""
    return entry.pid is not None and _stat(entry.pid)[:1] == [b"T"] and belongs(entry)


def _stat(pid: int) -> list[bytes]:
    """What follows the command's name in /proc/PID/stat; nothing where there is no such process."""
    try:
        found = _STATE_AND_AFTER.search(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b" (")[2])
    except OSError:
        return []
    return found[1].split() if found else []


def belongs(entry: NodeEntry) -> bool:
    """Whether process `entry.pid` is that node: its command line names the node and its data folder. True where the
    system does not show command lines."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        words = Path(f"/proc/{entry.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(entry.name) in words and os.fsencode(entry.data_dir) in words


def send(cluster: ClusterFile, node: str, number: signal.Signals) -> None:
    """Signal that node's process and no other: where the system can, the process is held by a descriptor while it is
    looked at, so that its number cannot pass to a stranger in between. Raises ChaosError where it is not the node."""
    entry = cluster.node(node)
    pid = entry.pid
    gone = f"{entry.name} does not run (process {pid} is gone), so nothing was done."
    if pid is None or started(pid) is None:
        raise ChaosError(gone)
    try:
        descriptor = os.pidfd_open(pid) if sys.platform.startswith("linux") else None
    except ProcessLookupError:
        raise ChaosError(gone) from None
    try:
        if not belongs(entry):
            raise ChaosError(
                f"Process {pid} is not {entry.name} (its command line does not name {entry.data_dir}), "
                f"so nothing was done: {cluster.again}."
            )
        if descriptor is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        raise ChaosError(gone) from None
    except PermissionError:
        raise ChaosError(
            f"Process {pid} of {entry.name} belongs to another user: run raft-chaos as that user."
        ) from None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
