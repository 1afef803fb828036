"""`raft-node cluster` and `raft-node start`: a whole cluster on this machine, and bringing a dead node back."""

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from node.cli import stdout
from node.cli.failure import EXIT_CODES, FAILED, OUTPUT, USAGE, Failure
from node.cli.group import for_programs
from node.cli.output import Output
from node.cli.show import print_object, print_table

if TYPE_CHECKING:
    from node.settings import Settings
    from node.supervisor.doorway import Door
    from node.supervisor.introduction import NodeRow
    from node.supervisor.narrator import Line

DEFAULT_DATA_DIR = Path("raft-data")
NODE_COMMAND: tuple[str, ...] = (sys.executable, "-m", "node.cli", "serve")
"""What starts one node; its flags are appended. Tests of the supervisor put a stand-in here."""
DataDir = Annotated[
    Path, typer.Option(metavar="DIR", help="the cluster's folder; cluster.json in it is for other tools")
]
Json = Annotated[bool, typer.Option("--json", help="for programs: one JSON object a line")]


_EXIT_CODES = (
    "Exit codes: 0 asked to end, 1 no node survived its start or a folder or port cannot be used, 64 wrong usage, "
    "74 ended because nobody could read the output."
)


def register(app: typer.Typer) -> None:
    app.command("cluster", epilog=_EXIT_CODES)(for_programs(_cluster))
    app.command("start", epilog=EXIT_CODES)(for_programs(_start))


def _cluster(
    nodes: Annotated[int, typer.Option(metavar="N", help="how many nodes: 3 survive one failure, 5 two, 7 three")] = 5,
    base_port: Annotated[int, typer.Option(metavar="PORT", help="first port for clients; peers use 1000 above")] = 8001,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    heartbeat_ms: Annotated[str | None, typer.Option(metavar="N", help="how often a leader is heard [50]")] = None,
    election_timeout_ms: Annotated[
        str | None, typer.Option(metavar="MIN-MAX", help="silence before an election [175-350]")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="delete the cluster that is in DIR and begin anew")] = False,
    monitor_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="port of the page of all nodes; 0: any free one [8080, or the next]"),
    ] = None,
    no_monitor: Annotated[bool, typer.Option("--no-monitor", help="go without the page of all nodes")] = False,
    log_format: Annotated[
        Literal["text", "json"] | None,
        typer.Option(help="of the nodes' log files: for people, or one JSON object a line", show_default="text"),
    ] = None,
    exit_with_parent: Annotated[bool, typer.Option("--exit-with-parent", help="end when the parent ends")] = False,
    as_json: Json = False,
) -> int:
    """Run a whole cluster on this machine, every node a process of its own.

    Serves a page that shows all nodes and starts dead ones again (its
    address is the first line), prints a table once a leader is elected, then a line for each election,
    leader change and death. Ctrl-C ends all nodes (a second one at once); the
    data stays, and the next start goes on with it. A node that dies is
    reported, not restarted: raft-node start NODE does that. All nodes run
    with --enable-faults, so that raft-node command can break them on purpose.

    [bold]Examples[/bold]
      raft-node cluster
      raft-node cluster --nodes 3 --base-port 8101 --data-dir ./other
      raft-node cluster --fresh
      raft-node cluster --heartbeat-ms 1000 --election-timeout-ms 3000-6000
                                           slow enough to follow by eye
      RAFT_LOG_LEVEL=debug raft-node cluster
                                           other settings reach all nodes
    """
    if no_monitor and monitor_port is not None:
        raise Failure(f"--no-monitor and --monitor-port {monitor_port} exclude each other: give one of the two.", USAGE)
    if exit_with_parent:
        from node.supervisor import lifeline

        lifeline.end_with_parent(signal.SIGTERM)
    timing = {"heartbeat_ms": heartbeat_ms, "election_timeout_ms": election_timeout_ms, "log_format": log_format}
    timing_given = {k: v for k, v in timing.items() if v is not None}
    return run(nodes, base_port, data_dir, timing_given, fresh, as_json, not no_monitor, monitor_port)


def run(
    nodes: int,
    base_port: int,
    data_dir: Path,
    timing: dict[str, str],
    fresh: bool,
    as_json: bool,
    monitor: bool = True,
    monitor_port: int | None = None,
) -> int:
    """Check, start, run until the end; returns the exit code. `timing` holds settings for all nodes, as text.

    `monitor_port` 0: any free one; None: the usual one or one of the next.
    """
    import asyncio

    from node import settings
    from node.cli import wallclock
    from node.supervisor import layout
    from node.supervisor.doorway import open_door
    from node.supervisor.flags import flags_of
    from node.supervisor.supervisor import Supervisor
    from node.supervisor.timing import local_timing

    _check_numbers(nodes, base_port, monitor_port)
    stdout.refuse_closed("nothing was started")
    teller = Teller(as_json, _program(), _data_dir_flag(data_dir))
    known = not fresh and layout.read(data_dir) is not None
    lock, entries = layout.open_folder(data_dir, nodes, base_port, fresh)
    try:
        flags = flags_of(entries[0], entries)
        keys = [flag[2:].replace("-", "_") for flag in flags[::2]]
        loaded = settings.load(
            dict(zip(keys, flags[1::2], strict=True)) | timing, os.environ
        )  # a mistake is told once, not N times
        _refuse_doors(loaded.settings, loaded.origins)
        timing = {**timing, **local_timing(loaded.origins)}
        if loaded.origins["log_format"] == "default":
            timing = {**timing, "log_format": "text"}  # who runs a cluster by hand reads its logs
        timing_flags = tuple(part for key, value in timing.items() for part in (f"--{key.replace('_', '-')}", value))
        seconds = loaded.settings.request_timeout_ms / 1000
        door = open_door(monitor_port, entries, loaded.settings.allowed_hosts, seconds) if monitor else None
    except BaseException:
        lock.release()
        raise
    output = Output()

    async def supervise() -> int:
        again, now_us = teller.start_command, wallclock.now_us
        node_flags = (*timing_flags, "--enable-faults")
        own = (data_dir, entries, lock, NODE_COMMAND, node_flags, teller, os.environ, now_us, again, door)
        supervisor = Supervisor(*own, leave_seconds_max=loaded.settings.leave_ms_max / 1000)
        loop = asyncio.get_running_loop()
        output.broken = lambda: loop.call_soon_threadsafe(supervisor.request_stop)
        return await supervisor.run()

    code = FAILED
    try:
        with output:
            if monitor:
                teller.monitor(door, monitor_port)
            teller.opening(nodes, data_dir, known)
            code = asyncio.run(supervise())
            teller.closing(data_dir)
    except OSError:
        if output.error is None:
            raise
    if output.error is not None:
        reason = stdout.why(output.error)
        raise Failure(
            f"All nodes have ended, their data stays in {data_dir}, but standard output cannot be written: {reason}.",
            OUTPUT,
        )
    return code


def _refuse_doors(settings: "Settings", origins: Mapping[str, str]) -> None:
    """What would keep the supervisor and its page out of its own nodes, or have all listen at one port."""
    for key in ("tokens_file", "operations_port"):
        if getattr(settings, key):
            raise Failure(
                f"raft-node cluster is for one person on one machine: its nodes have no {key} (from {origins[key]}): "
                "unset it, or start each node with raft-node serve.",
                USAGE,
            )


def _check_numbers(nodes: int, base_port: int, monitor_port: int | None) -> None:
    from node.supervisor.layout import BASE_PORT_MAX, BASE_PORT_MIN, NODES_MAX, NODES_MIN

    if not NODES_MIN <= nodes <= NODES_MAX:
        raise Failure(
            f"--nodes {nodes} is out of bounds: at least {NODES_MIN}, because fewer cannot survive one failure, "
            f"and at most {NODES_MAX}.",
            USAGE,
        )
    if not BASE_PORT_MIN <= base_port <= BASE_PORT_MAX:
        raise Failure(
            f"--base-port {base_port} is out of bounds: it must be {BASE_PORT_MIN} to {BASE_PORT_MAX}.", USAGE
        )
    if monitor_port is not None and not 0 <= monitor_port <= 65535:
        raise Failure(f"--monitor-port {monitor_port} is out of bounds: it must be 0 (any free one) to 65535.", USAGE)
    if nodes % 2 == 0:
        print(
            f"Note: {nodes} nodes survive no more failures than {nodes - 1} would ({(nodes - 1) // 2}), because a "
            f"majority of {nodes} is {nodes // 2 + 1}; an odd number is the better choice.",
            file=sys.stderr,
        )


def _program() -> str:
    """How people can call this program from where they are: `make demo` leaves it off the PATH."""
    called = sys.argv[0]
    if Path(called).name == "raft-node" and shutil.which("raft-node") is None:
        return shlex.quote(called)
    return "raft-node"


def _data_dir_flag(data_dir: Path) -> str:
    return "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {shlex.quote(str(data_dir))}"


class Teller:
    """Prints what the supervisor tells: for people a table and lines, for programs one JSON object a line."""

    def __init__(self, as_json: bool, program: str, data_dir_flag: str) -> None:
        self._as_json, self._program, self._data_dir_flag = as_json, program, data_dir_flag
        self._monitor_url = ""

    @property
    def start_command(self) -> str:
        """What people type, with a node's name after it, to start that node again."""
        return f"{self._program} start{self._data_dir_flag}"

    def monitor(self, door: "Door | None", wanted: int | None) -> None:
        """Where the page of all nodes is, and why it is not where people look for it."""
        from node.supervisor.doorway import MONITOR_PORT, PORTS_TRIED_MAX

        note = ""
        if door is None:
            last = MONITOR_PORT + PORTS_TRIED_MAX - 1
            note = (
                f"Ports {MONITOR_PORT} to {last} are in use, so there is no page of all nodes; every node still has "
                "its own, and --monitor-port 0 takes any free port."
            )
        elif wanted is None and door.port != MONITOR_PORT:
            note = f"port {MONITOR_PORT} is in use"
        self._monitor_url = door.url if door else ""
        if self._as_json:
            self._object(kind="monitor", url=self._monitor_url or None, note=note)
        elif door:
            print(f"Watch it: {door.url}{f'    ({note}, so it is here)' if note else ''}", flush=True)
        else:
            print(note, flush=True)

    def opening(self, nodes: int, data_dir: Path, known: bool) -> None:
        if not self._as_json:
            what = "going on with the data in" if known else "a new cluster in"
            print(f"Starting {nodes} nodes, {what} {data_dir} ...", flush=True)

    def closing(self, data_dir: Path) -> None:
        if not self._as_json:
            print(f"All nodes have ended; the data stays in {data_dir}.", flush=True)

    def say(self, line: "Line") -> None:
        from node.cli import wallclock

        if self._as_json:
            self._object(
                kind=line.kind,
                time_us=line.time_us,
                node=line.node,
                term=line.term,
                text=line.text,
                log=list(line.extra),
            )
            return
        print(f"{wallclock.clock_text(line.time_us)}  {line.text}", flush=True)
        for extra in line.extra:
            print(f"              | {_shorten(extra)}", flush=True)

    def table(self, rows: Sequence["NodeRow"]) -> None:
        if self._as_json:
            import msgspec

            self._object(kind="cluster", nodes=msgspec.to_builtins(rows))
            return
        cells = [
            (row.name, row.url, str(row.pid or ""), row.role, "" if row.term is None else str(row.term)) for row in rows
        ]
        styles = ["bold green" if row.role == "leader" else "" for row in rows]
        print_table(("node", "URL", "process", "role", "term"), cells, styles, lines=True)
        leader = next((row for row in rows if row.role == "leader"), None)
        if self._monitor_url:
            print(f"{'Watch it:':10} {self._monitor_url}")
        for first, command in (("Try it:", "put greeting hello"), ("", "get greeting"), ("", "status")):
            print(f"{first:10} {self._program} {command}{self._data_dir_flag}")
        if leader:
            print(f"{'Break it:':10} kill -9 {leader.pid}    (the leader)")
            print(f"{'Repair it:':10} {self.start_command} {leader.name}")
        print("Ctrl-C ends all nodes; the data stays.", flush=True)

    def _object(self, **content: Any) -> None:
        print_object(content)


def _shorten(text: str, width: int = 500) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _start(
    node: Annotated[str, typer.Argument(help="which node, for example n3")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> int:
    """Start a dead node of the running local cluster again, with the data it had.

    [bold]Example[/bold]
      raft-node start n3
    """
    import asyncio

    from node.supervisor.control import ask

    answer = asyncio.run(ask(data_dir, "start", node))
    if answer.ok:
        stdout.done(answer.text.rstrip("."))
    if as_json:
        print_object(answer)
    elif answer.ok:
        print(answer.text)
    if not answer.ok:
        raise Failure(answer.text, FAILED)
    return 0
