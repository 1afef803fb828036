"""Which nodes a command talks to: the URLs it was given, else those of the local cluster's `cluster.json`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from node.cli.failure import USAGE, Failure

DataDirOption = Annotated[Path, typer.Option(metavar="DIR", help="where cluster.json is looked for without a URL")]


def targets(given: Sequence[str], data_dir: Path) -> dict[str, str]:
    """Base URL (no slash at the end) to what to call it, in order. Raises Failure for none, or a malformed one."""
    if given:
        return {_checked(url): url.removeprefix("http://").rstrip("/") for url in given}
    from node.supervisor import layout

    cluster = layout.read(data_dir)
    if cluster is None:
        raise Failure(
            f"There is no {data_dir / layout.CLUSTER_FILE}: give the nodes' URLs, or --data-dir of a local cluster, "
            "or start one with raft-node cluster.",
            USAGE,
        )
    return {node.url: node.name for node in cluster.nodes}


def _checked(url: str) -> str:
    full = url if "://" in url else f"http://{url}"
    scheme, _, rest = full.partition("://")
    if scheme not in ("http", "https") or not rest.strip("/"):
        raise Failure(f"{url!r} is not a node's URL such as http://127.0.0.1:8001.", USAGE)
    return full.rstrip("/")
