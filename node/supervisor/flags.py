"""The flags by which `raft-node serve` becomes one node of many on this machine.

Why it exists: supervisor, scenarios and the check of settings before a start must say the same. Pure.
"""

from node.supervisor.layout import NodeEntry


def flags_of(entry: NodeEntry, entries: tuple[NodeEntry, ...]) -> tuple[str, ...]:
    """The flags by which `raft-node serve` becomes that node. Who joins later is no seed of its own: it asks others."""
    host, _, port = entry.url.removeprefix("http://").rpartition(":")
    peer_host, _, peer_port = entry.peer.rpartition(":")
    flags = {
        "name": entry.name,
        "seeds": ",".join(f"{e.name}={e.peer}" for e in entries if e != entry or not entry.joined),
        "data-dir": entry.data_dir,
        "host": host,
        "port": port,
        "peer-host": peer_host,
        "peer-port": peer_port,
        "client-url": entry.url,
    }
    return tuple(part for name, value in flags.items() for part in (f"--{name}", value))
