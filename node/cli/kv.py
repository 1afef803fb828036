"""`raft-node get|put|delete`: one key, through any node. A write that had no answer is sent again, and done once."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from node.cli import stdout
from node.cli.failure import COMPARE_FAILED, EXIT_CODES, FAILED, UNAVAILABLE, UNKNOWN_OUTCOME, USAGE, Failure
from node.cli.group import for_programs
from node.cli.show import print_object
from node.cli.stdout import why
from node.cli.targets import DataDirOption, targets

if TYPE_CHECKING:
    from node.cli.asking import Answer

VALUE_BYTES_MAX = 2 * 1024 * 1024
"""Nodes refuse values over 1 MiB themselves."""

Key = Annotated[str, typer.Argument(metavar="KEY", help="the key, taken as UTF-8")]
Url = Annotated[list[str] | None, typer.Option(metavar="URL", help="a node; give several to name alternatives")]
Json = Annotated[bool, typer.Option("--json", help="for programs: one JSON object")]
IfMatch = Annotated[str | None, typer.Option(metavar="REVISION", help="only if this is still the key's revision")]


def register(app: typer.Typer) -> None:
    app.command("get", epilog=EXIT_CODES)(for_programs(_get))
    app.command("put", epilog=EXIT_CODES)(for_programs(_put))
    app.command("delete", epilog=EXIT_CODES)(for_programs(_delete))


def _get(
    key: Key,
    url: Url = None,
    data_dir: DataDirOption = None,
    stale: Annotated[bool, typer.Option("--stale", help="what that node has now; may be behind")] = False,
    as_json: Json = False,
) -> int:
    """Print the value of KEY, byte for byte.

    Linearizable: the answer holds every write that was acknowledged before.

    [bold]Examples[/bold]
      raft-node get greeting
      raft-node get greeting --json          value and revision
      raft-node get greeting --stale --url http://127.0.0.1:8002
    """
    answer = _ask("GET", key, list(targets(url or [], data_dir)), query={"consistency": "stale"} if stale else {})
    if as_json:
        _print_json(key, answer)
        return 0
    sys.stdout.flush()
    sys.stdout.buffer.write(answer.body)
    if sys.stdout.isatty():  # a prompt on the value's line would mislead; a pipe gets the bytes alone
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    return 0


def _put(
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="the value; - reads it from standard input")],
    url: Url = None,
    data_dir: DataDirOption = None,
    if_match: IfMatch = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="only if there is no such key")] = False,
    as_json: Json = False,
) -> int:
    """Set KEY to VALUE; done means a majority has it on disk.

    It is sent again until there is an answer, for 15 seconds at most, and
    done once: the command opens a session of the cluster for it.

    [bold]Examples[/bold]
      raft-node put greeting hello
      raft-node put picture - < picture.png
      raft-node put greeting hi --if-match 7   only if it is still revision 7
    """
    body = _standard_input() if value == "-" else os.fsencode(value)
    if len(body) > VALUE_BYTES_MAX:
        raise Failure(f"The value is longer than {VALUE_BYTES_MAX} bytes; a node takes at most 1 MiB.", USAGE)
    if if_absent and if_match is not None:
        raise Failure("--if-match and --if-absent exclude each other: give one of the two.", USAGE)
    headers = {"If-None-Match": "*"} if if_absent else _if_match(if_match)
    answer = _ask("PUT", key, list(targets(url or [], data_dir)), body=body, headers=headers)
    _report("put", key, answer, as_json)
    return 0


def _delete(
    key: Key,
    url: Url = None,
    data_dir: DataDirOption = None,
    if_match: IfMatch = None,
    as_json: Json = False,
) -> int:
    """Remove KEY. As with put, it is sent again until there is an answer.

    [bold]Example[/bold]
      raft-node delete greeting
    """
    answer = _ask("DELETE", key, list(targets(url or [], data_dir)), headers=_if_match(if_match))
    _report("deleted", key, answer, as_json)
    return 0


def _standard_input() -> bytes:
    try:
        return sys.stdin.buffer.read(VALUE_BYTES_MAX + 1)
    except OSError as error:
        raise Failure(
            f"The value cannot be read from standard input: {why(error)}; nothing was written.", FAILED
        ) from None


def _if_match(revision: str | None) -> dict[str, str]:
    if revision is None:
        return {}
    number = revision.strip('"')
    if number.strip("0") == "" and number:
        raise Failure(
            f"--if-match {revision} can never hold: a revision is 1 or more, and a key that is not there has none "
            "(to write only where there is no such key: put --if-absent).",
            USAGE,
        )
    if not (number.isascii() and number.isdecimal()):
        raise Failure(
            f"--if-match {revision!r} is not a revision: a whole number, as put and get --json print it.", USAGE
        )
    return {"If-Match": f'"{number}"'}


def _ask(
    method: str,
    key: str,
    addresses: list[str],
    query: dict[str, str] | None = None,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> "Answer":
    """The first node's answer that settles the matter; raises Failure for every other end."""
    import asyncio

    from node.cli.asking import asked

    if not key:
        raise Failure("KEY is empty: every key has at least one byte.", USAGE)
    answer = asyncio.run(asked(method, key, addresses, query or {}, body, headers or {}))
    if answer.status not in (200, 201, 204):
        _refused(method, key, answer)
    return answer


def _refused(method: str, key: str, answer: "Answer") -> NoReturn:
    reason = answer.reason.rstrip(".")
    if answer.status == 404:
        raise Failure(f"There is no key {key!r}.", FAILED)
    if answer.status == 412:
        raise Failure(f"{key!r} was not changed: {reason}.", COMPARE_FAILED)
    if answer.status in (503, 507):
        raise Failure(f"Unavailable, nothing happened: {reason}.", UNAVAILABLE)
    if answer.status == 504:
        if method == "GET":
            raise Failure(f"Unavailable: {reason}.", UNAVAILABLE)
        raise Failure(f"Unknown outcome: {reason}; read {key!r} before you repeat the write.", UNKNOWN_OUTCOME)
    code = USAGE if answer.status in (400, 413, 414, 431) else FAILED
    raise Failure(f"{answer.url} refused with status {answer.status}: {reason}.", code)


def _report(done: str, key: str, answer: "Answer", as_json: bool) -> None:
    revision = answer.revision
    words = f"{done} {key}" + (f" (revision {revision})" if revision is not None else "")
    stdout.done(f"{words} is done")
    print_object({**_key(key), "revision": revision}) if as_json else print(words)


def _print_json(key: str, answer: "Answer") -> None:
    """`value` where the bytes are UTF-8, otherwise `value_base64`."""
    import base64

    found: dict[str, object] = {**_key(key), "revision": answer.revision}
    try:
        found["value"] = answer.body.decode()
    except UnicodeDecodeError:
        found["value_base64"] = base64.b64encode(answer.body).decode()
    print_object(found)


def _key(key: str) -> dict[str, object]:
    """As it was given, in base64 where that is not UTF-8."""
    import base64

    try:
        return {"key": os.fsencode(key).decode()}
    except UnicodeDecodeError:
        return {"key_base64": base64.b64encode(os.fsencode(key)).decode()}
