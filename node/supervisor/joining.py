"""One more node on this machine: which name, folder and ports it gets, and what keeps it from having them.

Why it exists: a cluster may grow while it runs, and nothing of what was there before may be taken for the new node's
disk; but who is named comes back with what it left (`node/cli/fit.py`). It must not start anything.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from node.supervisor.layout import (
    NODES_MAX,
    NUMBER_MAX,
    NodeEntry,
    SupervisorError,
    base_port_of,
    entry_of,
    first_used_port,
    is_name,
)


def one_more(data_dir: Path, entries: tuple[NodeEntry, ...], name: str = "") -> NodeEntry:
    """A node beside those that are there; `name` empty: the first that can be had. Raises SupervisorError, having
    changed nothing, where there can be none."""
    if len(entries) >= NODES_MAX:
        raise SupervisorError(f"There are {len(entries)} nodes already, and a local cluster has at most {NODES_MAX}.")
    base_port = base_port_of(entries)
    if name:
        _refuse(data_dir, entries, name)
        entry = entry_of(data_dir, name, base_port, joined=True)
        port = first_used_port(entry)
        if port is not None:
            raise SupervisorError(
                f"Port {port}, where {name} would listen, is in use: end what listens there, or leave the name out."
            )
        return entry
    for candidate in _free_names(data_dir, entries):
        entry = entry_of(data_dir, candidate, base_port, joined=True)
        if first_used_port(entry) is None:
            return entry
    raise SupervisorError(
        f"Every name up to n{NUMBER_MAX} has a folder in {data_dir} or a port in use: remove folders of removed nodes."
    )


def _refuse(data_dir: Path, entries: tuple[NodeEntry, ...], name: str) -> None:
    if not is_name(name):
        raise SupervisorError(f"{name!r} is no name of a local cluster's node: those are n1 to n{NUMBER_MAX}.")
    if name in {entry.name for entry in entries}:
        raise SupervisorError(f"There is a node {name} already.")
    left = Path(entry_of(data_dir, name, base_port_of(entries)).data_dir)
    if os.path.lexists(data_dir / name) and not any(left.glob("segment-*")):
        raise SupervisorError(
            f"{data_dir / name} is there, and is not what a node of that name left: remove it, or leave the name out."
        )


def _free_names(data_dir: Path, entries: tuple[NodeEntry, ...]) -> Iterator[str]:
    taken = {entry.name for entry in entries}
    for name in (f"n{number}" for number in range(1, NUMBER_MAX + 1)):
        if name not in taken and not os.path.lexists(data_dir / name):
            yield name
