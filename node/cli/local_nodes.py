"""The local cluster's part of `raft-node members`: one more process before a node is let in, one less after it left.

Why it exists: where one command owns the processes, whoever changes members should not have to start and end them by
hand. It must not change members: that is the nodes' to do.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from node.cli.failure import FAILED, USAGE, Failure
from node.cli.targets import DEFAULT_DATA_DIR

if TYPE_CHECKING:
    from node.supervisor.layout import ClusterFile

LOOK_AGAIN_SECONDS = 0.2
LOOKS_MAX = 150
"""A process that was started asks to be let in within half a minute, or something is wrong with it."""


def running_cluster(url: Sequence[str], data_dir: Path | None) -> "ClusterFile | None":
    """The local cluster that is meant, if it runs; None where nodes were named by their URLs."""
    from node.supervisor import layout

    found = None if url else layout.read(data_dir or DEFAULT_DATA_DIR)
    return found if found is not None and found.control is not None else None


def start_one_more(data_dir: Path | None, name: str | None, asks: Callable[[str], bool]) -> tuple[str, str]:
    """Start it and wait until it asks to be let in, as `asks` says of its name; its name, and a sentence about it."""
    import asyncio

    from node.supervisor.control import ask

    folder = data_dir or DEFAULT_DATA_DIR
    answer = asyncio.run(ask(folder, "add", name or ""))
    if not answer.ok:
        raise Failure(answer.text, FAILED)
    for _ in range(LOOKS_MAX):
        if asks(answer.node):
            return answer.node, answer.text
        asyncio.run(asyncio.sleep(LOOK_AGAIN_SECONDS))
    raise Failure(
        f"{answer.text} It has not asked to be let in for {LOOKS_MAX * LOOK_AGAIN_SECONDS:.0f} s: see its log, "
        f"{folder / answer.node / 'node.log'}, then: raft-node members add {answer.node}.",
        FAILED,
    )


def end_for_good(data_dir: Path | None, name: str) -> str:
    """End the process of a node that is no member any more; what became of it, one sentence."""
    import asyncio

    from node.supervisor.control import ask

    answer = asyncio.run(ask(data_dir or DEFAULT_DATA_DIR, "retire", name))
    if not answer.ok:
        raise Failure(f"{name} is no member any more, but its process goes on: {answer.text}", FAILED)
    return answer.text


def require_name(name: str | None, local: "ClusterFile | None") -> None:
    """Only a local cluster can choose a name by itself; and a URL is none."""
    if name is not None and "://" in name:
        raise Failure(f"{name} is a URL and no name: give the name of the node first.", USAGE)
    if name is None and local is None:
        raise Failure("There is no running local cluster to start one more node: give the name of a node.", USAGE)
