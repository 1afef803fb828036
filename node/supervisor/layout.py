"""The data folder of a local cluster: what lies where, who may use it, what may be removed.

Why it exists: other tools find the cluster through `cluster.json`, and a folder that is not ours must never be
touched. It must not start anything.

    DIR/cluster.json      names, URLs, peer addresses, process ids (replaced atomically)
    DIR/supervisor.lock   held by the supervisor that runs
    DIR/n1/node.log       what n1 printed; node.log.1 what it printed before
    DIR/n1/data/          n1's Raft log
"""

import fcntl
import os
import re
import shutil
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import msgspec

FORMAT = "raft-node cluster"
VERSION = 1
CLUSTER_FILE = "cluster.json"
LOCK_FILE = "supervisor.lock"
HOST = "127.0.0.1"
PEER_PORT_OFFSET = 1000
"""Peer links of the node that serves clients on port p listen on p + 1000."""
NODES_MIN, NODES_MAX = 3, 15
NUMBER_MAX = 99
"""Of a name, n1 to n99: a number is not used again while the folder of that name is there."""
BASE_PORT_MIN, BASE_PORT_MAX = 1024, 65535 - PEER_PORT_OFFSET - NUMBER_MAX
CONTROL_FOLDER_PREFIX = "raft-node-"
_NODE_NAME = re.compile(r"n[1-9][0-9]?")


class SupervisorError(Exception):
    """The cluster cannot be started or asked; the message is one sentence: what, where, cure."""


class NodeEntry(msgspec.Struct, frozen=True):
    """One node in `cluster.json`. `peer` is host:port of its peer links; `pid` None: it does not run. `joined`: it was
    started later than the cluster was born, to be let in."""

    name: str
    url: str
    peer: str
    data_dir: str
    log_file: str
    pid: int | None = None
    joined: bool = False


class ClusterFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `cluster.json`. `control`: the supervisor's unix socket; `monitor`: the URL of the page of all
    nodes, None where there is none; both None once it stopped."""

    format: Literal["raft-node cluster"] = "raft-node cluster"
    version: int = VERSION
    state: Literal["running", "stopped"]
    supervisor_pid: int | None
    control: str | None
    monitor: str | None = None
    nodes: tuple[NodeEntry, ...]


def read(data_dir: Path) -> ClusterFile | None:
    """`cluster.json` of that folder, or None where there is none. Raises SupervisorError where it is not ours."""
    path = data_dir / CLUSTER_FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=ClusterFile)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SupervisorError(f"{path} cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SupervisorError(f"{path} was not written by raft-node ({error}): name another --data-dir.") from None
    if found.version != VERSION:
        raise SupervisorError(f"{path} has version {found.version}, this raft-node knows {VERSION}: use the newer one.")
    if not all(_NODE_NAME.fullmatch(node.name) for node in found.nodes):
        raise SupervisorError(f"{path} names a node that raft-node cluster never makes: name another --data-dir.")
    return found


def write(data_dir: Path, content: ClusterFile) -> None:
    """Replace `cluster.json` atomically: a reader sees the old or the new one, never half."""
    path = data_dir / CLUSTER_FILE
    temporary = path.with_suffix(".json.new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    temporary.replace(path)


class Lock:
    """Held from `open_folder` to `release`: one supervisor a data folder. The kernel frees it when we die."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise SupervisorError(
                f"Process {holder} already runs a cluster in {path.parent}: "
                "end it with Ctrl-C, or name another --data-dir and --base-port."
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def open_folder(data_dir: Path, nodes: int, base_port: int, fresh: bool) -> tuple[Lock, tuple[NodeEntry, ...]]:
    """Make the folder ours, or find that it is; with `fresh`, remove the nodes' data first. Who was there is there
    again, those that joined later included.

    Raises SupervisorError, having changed nothing, where the folder is foreign, in use, or of another size.
    """
    _refuse_unspeakable(data_dir)
    try:
        before = set(os.listdir(data_dir)) if data_dir.exists() else set()
    except OSError as error:
        raise SupervisorError(f"The data folder {data_dir} cannot be read: {error.strerror}.") from None
    if before - {LOCK_FILE} and CLUSTER_FILE not in before:
        raise SupervisorError(
            f"{data_dir} holds files that raft-node did not make (no {CLUSTER_FILE}), so it was left alone: "
            "name another --data-dir."
        )
    read(data_dir)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = Lock(data_dir / LOCK_FILE)
    except OSError as error:
        raise SupervisorError(f"The data folder {data_dir} cannot be used: {error.strerror}.") from None
    try:
        known = read(data_dir)
        if known and not fresh and len(known.nodes) != nodes:
            size = len(known.nodes)
            raise SupervisorError(
                f"{data_dir} holds a cluster of {size} nodes and --nodes says {nodes}: go on with --nodes {size}, "
                "name another --data-dir, or add --fresh to delete the old cluster."
            )
        if known and not fresh:
            entries = tuple(entry_of(data_dir, node.name, base_port, node.joined) for node in known.nodes)
        else:
            entries = tuple(entry_of(data_dir, f"n{number}", base_port) for number in range(1, nodes + 1))
        _refuse_used_ports(entries, base_port)
        if known and fresh:
            _remove_nodes(data_dir, {node.name for node in (*known.nodes, *entries)})
        if known and known.control:
            _remove_stale_control(Path(known.control))
        write(data_dir, ClusterFile(state="stopped", supervisor_pid=None, control=None, nodes=entries))
    except BaseException:
        lock.release()
        raise
    return lock, entries


def _refuse_unspeakable(data_dir: Path) -> None:
    """`cluster.json` is JSON, and the nodes' flags are text: a path that is not UTF-8 fits neither."""
    path = str(data_dir.absolute())
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "backslashreplace").decode()
        raise SupervisorError(
            f"The name of the folder {shown} is not UTF-8, so cluster.json cannot hold it; nothing was made: "
            "name another --data-dir (an absolute one, where this folder's own name is meant), or rename the folder."
        ) from None


def is_name(name: str) -> bool:
    """Whether a node of a local cluster can be called that."""
    return _NODE_NAME.fullmatch(name) is not None


def base_port_of(entries: tuple[NodeEntry, ...]) -> int:
    """The port of clients from which those of all nodes are counted."""
    return _port(entries[0].url) - int(entries[0].name[1:]) + 1


def entry_of(data_dir: Path, name: str, base_port: int, joined: bool = False) -> NodeEntry:
    """Where the node of that name lives: its number says it."""
    port = base_port + int(name[1:]) - 1
    home = (data_dir / name).absolute()
    return NodeEntry(
        name=name,
        url=f"http://{HOST}:{port}",
        peer=f"{HOST}:{port + PEER_PORT_OFFSET}",
        data_dir=str(home / "data"),
        log_file=str(home / "node.log"),
        joined=joined,
    )


def _remove_nodes(data_dir: Path, names: Collection[str]) -> None:
    """Remove the folders of the nodes that `cluster.json` named, and of those that it is to name, and nothing else; all
    or none look like ours."""
    homes = [data_dir / name for name in sorted(names) if os.path.lexists(data_dir / name)]
    for home in homes:
        strange = set(os.listdir(home)) - {"data", "node.log", "node.log.1"} if home.is_dir() else {"not a folder"}
        if strange or home.is_symlink():
            raise SupervisorError(
                f"{home} does not look like a node's folder ({', '.join(sorted(strange)) or 'a link'}), "
                "so --fresh removed nothing: look into it, or name another --data-dir."
            )
    for home in homes:
        try:
            shutil.rmtree(home)
        except OSError as error:
            raise SupervisorError(f"--fresh cannot remove {error.filename}: {error.strerror}.") from None


def _remove_stale_control(socket_path: Path) -> None:
    """A supervisor that was killed left its socket's folder: remove exactly that, if it is what we make."""
    folder = socket_path.parent
    if folder.name.startswith(CONTROL_FOLDER_PREFIX) and not folder.is_symlink():
        socket_path.unlink(missing_ok=True)
        if folder.is_dir() and not os.listdir(folder):
            folder.rmdir()


def _refuse_used_ports(entries: tuple[NodeEntry, ...], base_port: int) -> None:
    for node in entries:
        port = first_used_port(node)
        if port is not None:
            purpose = "clients" if port == _port(node.url) else "peers"
            raise SupervisorError(
                f"Port {port} of {HOST}, where {node.name} would listen for {purpose}, is in use: "
                f"end what listens there, or choose other ports{_other_base(len(entries), base_port)}."
            )


def first_used_port(node: NodeEntry) -> int | None:
    """Of the ports where it would listen; None: all are free."""
    return next((port for port in (_port(node.url), _port(node.peer)) if not _is_free(port)), None)


def _other_base(nodes: int, base_port: int) -> str:
    for base in range(base_port + 100, min(base_port + PEER_PORT_OFFSET, BASE_PORT_MAX), 100):
        if all(_is_free(base + i) and _is_free(base + PEER_PORT_OFFSET + i) for i in range(nodes)):
            return f", for example with --base-port {base}"
    return " with --base-port"


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
