"""Which nodes a command talks to: the URLs it was given, else RAFT_URLS, else those of the local cluster's file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from node.cli.failure import USAGE, Failure

DEFAULT_DATA_DIR = Path("raft-data")
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="where cluster.json is looked for without a URL and RAFT_URLS",
        show_default=str(DEFAULT_DATA_DIR),
    ),
]


def targets(given: Sequence[str], data_dir: Path | None) -> dict[str, str]:
    """Base URL (no slash at the end) to what to call it, in order. Raises Failure for none, a malformed one, or where
    both are given: one of the two would be passed over."""
    if given:
        if data_dir is not None:
            raise Failure(
                f"The URL {given[0]} and --data-dir {data_dir} exclude each other: give one of the two.", USAGE
            )
        return {checked: checked.partition("://")[2] for checked in map(_checked, given)}
    from node.settings import URLS_ENV
    from node.supervisor import layout

    listed = [url for url in map(str.strip, os.environ.get(URLS_ENV, "").split(",")) if url]
    if listed and data_dir is None:
        return _of_environment(listed)
    folder = data_dir or DEFAULT_DATA_DIR
    cluster = layout.read(folder)
    if cluster is None:
        raise Failure(
            f"There is no {folder / layout.CLUSTER_FILE}: give the nodes' URLs, or --data-dir of a local cluster, "
            f"or set {URLS_ENV}, or start one with raft-node cluster.",
            USAGE,
        )
    return {node.url: node.name for node in cluster.nodes}


def _of_environment(urls: Sequence[str]) -> dict[str, str]:
    """As given ones; one that stands there twice is one."""
    from node.settings import URLS_ENV

    try:
        return {checked: checked.partition("://")[2] for checked in map(_checked, urls)}
    except Failure as failure:
        raise Failure(f"The environment variable {URLS_ENV} is wrong: {failure}", USAGE) from None


def _checked(url: str) -> str:
    """http(s)://HOST:PORT of a node. Whatever else stands in a URL would be passed over, so it is refused."""
    from yarl import URL

    try:
        found = URL(url if "://" in url else f"http://{url}")
        host, port = found.host, found.port
    except ValueError:
        host, port, found = None, None, URL()
    if not host or not port or found.scheme not in ("http", "https") or any(letter.isspace() for letter in url):
        raise Failure(f"{url!r} is not a node's URL such as http://127.0.0.1:8001.", USAGE)
    base = f"{found.scheme}://{found.host_port_subcomponent}"
    parts = {
        "a user": found.user or found.password,
        "a path": found.path.strip("/"),
        "a query": found.query_string,
        "a fragment": found.fragment,
    }
    for what, there in parts.items():
        if there:
            raise Failure(f"{url} has {what}, which a node's URL has not: give {base}.", USAGE)
    return base
