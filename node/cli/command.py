"""`raft-node command`: tell a node what to do. The list of commands comes from the node, so it is never out of date."""

import errno
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli import stdout
from node.cli.failure import EXIT_CODES, FAILED, UNAVAILABLE, UNKNOWN_OUTCOME, USAGE, Failure, ShutOut
from node.cli.group import for_programs
from node.cli.show import print_object, print_table
from node.cli.targets import DEFAULT_DATA_DIR, DataDirOption, targets

REQUEST_TIMEOUT_SECONDS = 15.0
"""Beyond the nodes' own time limit: they give a better answer than silence."""
ANSWER_BYTES_MAX = 2 * 1024 * 1024


def register(app: typer.Typer) -> None:
    app.command("command", epilog=EXIT_CODES)(for_programs(_command))


def _command(
    node: Annotated[str, typer.Argument(metavar="NODE", help="a node of the local cluster, or its URL")],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="what to do; left out: list what can be")] = None,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="for example peer=n2")] = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Tell NODE to do something: hold an election, hand over, play dead.

    Faults need a node that was started with --enable-faults, as those of
    raft-node cluster are, and end by themselves.

    [bold]Examples[/bold]
      raft-node command n1                         what n1 can be told
      raft-node command n1 state_details --json
      raft-node command n1 transfer_leadership target=n2
      raft-node command n3 cut_link peer=n1 direction=out seconds=10
      raft-node command n3 recover
      raft-node command http://127.0.0.1:8001 check_timers
    """
    import asyncio

    url = url_of(node, data_dir)
    given = _parsed(arguments or [])
    if name is None:
        status, body = asyncio.run(ask("GET", f"{url}/commands", None))
        raise_unless_ok(status, body)
        _print_list(body, as_json)
        return 0
    from urllib.parse import quote

    status, body = asyncio.run(ask("POST", f"{url}/commands/{quote(name, safe='')}", given))
    if status == 200:
        stdout.done(f"{body.get('node')}: {body.get('message')}: that is done")
    if as_json:
        print_object(body)
    raise_unless_ok(status, body)
    if not as_json:
        print(f"{body.get('node')}: {body.get('message')}")
        _print_data(body.get("data"))
    return 0


def url_of(node: str, data_dir: Path | None) -> str:
    """Of a URL, or of the name of a node of the local cluster."""
    if "://" in node or ":" in node:
        return next(iter(targets([node], data_dir)))
    known = targets((), data_dir)
    for url, name in known.items():
        if name == node:
            return url
    raise Failure(
        f"There is no node {node!r} in {data_dir or DEFAULT_DATA_DIR}; there are {', '.join(known.values())}.", USAGE
    )


def _parsed(arguments: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for argument in arguments:
        key, separator, value = argument.partition("=")
        if not separator or not key:
            raise Failure(f"{argument!r} is not of the form KEY=VALUE.", USAGE)
        if key in given:
            raise Failure(f"{key} is given twice.", USAGE)
        given[key] = value
    return given


async def ask(method: str, url: str, arguments: dict[str, str] | None) -> tuple[int, dict[str, Any]]:
    """(HTTP status, JSON object). Raises Failure where no node answers."""
    import aiohttp
    import msgspec
    from yarl import URL

    from node.cli.identity import asking_session, trouble
    from node.supervisor.watch import UNREACHABLE, read_bounded

    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS, sock_connect=2.0)
    body = None if arguments is None else msgspec.json.encode(arguments)
    base = "/".join(url.split("/")[:3])
    try:
        async with (
            asking_session() as session,
            session.request(
                method, URL(url, encoded=True), data=body, timeout=timeout, allow_redirects=False
            ) as response,
        ):
            content = await read_bounded(response, ANSWER_BYTES_MAX)
            return response.status, msgspec.json.decode(content, type=dict[str, Any])
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        refused = isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
        if wrong := trouble(error):
            raise ShutOut(f"{base} {wrong}; nothing happened.", UNAVAILABLE) from None
        said = "refuses connections" if refused else "cannot be reached"
        raise Failure(f"{base} {said}, so nothing happened; is the node running?", UNAVAILABLE) from None
    except (*UNREACHABLE, ValueError, RecursionError) as error:
        if wrong := trouble(error):
            raise ShutOut(f"{base} {wrong}; nothing happened.", UNAVAILABLE) from None
        raise Failure(
            f"Unknown outcome: {base} took the command and gave no answer that can be read ({type(error).__name__}).",
            UNKNOWN_OUTCOME,
        ) from None


def raise_unless_ok(status: int, body: dict[str, Any]) -> None:
    if status == 200:
        return
    reason = str(body.get("message") or f"HTTP {status}").rstrip(".")
    if status == 503:
        raise Failure(f"Unavailable, nothing happened: {reason}.", UNAVAILABLE)
    if status == 504:
        raise Failure(f"Unknown outcome: {reason}.", UNKNOWN_OUTCOME)
    if status in (400, 404, 413):
        raise Failure(f"Not taken: {reason}.", USAGE)  # as it was said: names keep their case
    raise (ShutOut if status in (401, 403) else Failure)(f"Refused: {reason}.", FAILED)


def _print_list(body: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_object(body)
        return
    rows, styles = [], []
    for row in body["commands"]:
        words = [a["name"] if a["required"] else f"[{a['name']}={a['default']}]" for a in row["arguments"]]
        off = row["needs_faults"] and not body["enabled_faults"]
        summary = f"{row['summary']}{' (needs --enable-faults)' if off else ''}"
        rows.append((row["name"], " ".join(words), summary))
        styles.append("dim" if off else "")
    print_table(("command", "arguments", "what it does"), rows, styles, prose=2)


def _print_data(data: object) -> None:
    """What a command shows, as indented JSON; nothing where there is nothing."""
    if data:
        print_object(data, indent=2)
