"""`raft-chaos lab`: start a cluster of another system, to be broken."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from chaos.cli.execute import print_json
from chaos.cli.group import Group
from chaos.cli.options import READS_JSON
from chaos.cli.stdout import complain
from chaos.errors import Usage
from chaos.lab.etcd import NODES_MAX, EtcdLab, find_program
from chaos.targets.find import ETCD_DATA_DIR

BASE_PORT = 23790


def register(app: typer.Typer) -> None:
    labs = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode="rich", help=_LAB)
    labs.command("etcd")(_etcd)
    app.add_typer(labs, name="lab")


_LAB = "Start a cluster of another system on this machine, to be broken."


def _etcd(
    nodes: Annotated[int, typer.Option(min=1, max=NODES_MAX, metavar="N", help="how many nodes")] = 3,
    base_port: Annotated[
        int, typer.Option(min=1024, max=65000, metavar="PORT", help="where n1 serves clients; others follow")
    ] = BASE_PORT,
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="where the lab keeps its nodes' data")] = ETCD_DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="one object on stdout, progress on stderr")] = False,
    output: Annotated[
        Literal["table", "json"] | None, typer.Option("--output", "-o", help="json: the same as --json")
    ] = None,
) -> int:
    """Start a local etcd of several nodes, with a proxy between them; Ctrl-C ends it.

    The program is the one that ETCD names, else the etcd on PATH. It is broken
    from another terminal: run raft-chaos in the same folder, or name --data-dir.

    [bold]Examples[/bold]
      raft-chaos lab etcd
      raft-chaos status --system etcd
      raft-chaos partition --system etcd
    """
    if as_json and output == "table":
        raise Usage("--json and -o table exclude each other: give one of the two.")
    as_json = as_json or output == "json"
    try:
        asyncio.run(_until_told(EtcdLab(find_program(), data_dir, nodes, base_port), as_json))
    except BaseException as error:
        if as_json:
            error.add_note(READS_JSON)
        raise
    return 0


async def _until_told(lab: "EtcdLab", as_json: bool) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, told.set)
    work = asyncio.create_task(_serve(lab, as_json, told), name="the lab")
    asked = asyncio.create_task(told.wait(), name="wait for the end")
    await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not work.done() and not lab.ready:
        work.cancel()  # while it starts
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _serve(lab: "EtcdLab", as_json: bool, told: asyncio.Event) -> None:
    async with lab.running(complain if as_json else lambda text: print(text, flush=True)):
        if as_json:
            nodes = [{"name": node, "url": lab.url(node)} for node in lab.nodes]
            print_json({"system": "etcd", "data_dir": str(lab.data_dir), "nodes": nodes})
        else:
            lines = [f"  {node}  {lab.url(node)}" for node in lab.nodes]
            print("\n".join([f"etcd in {lab.data_dir}", *lines, "Ctrl-C ends all nodes."]), flush=True)
        await told.wait()
