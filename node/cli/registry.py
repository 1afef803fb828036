"""`raft-node registry`: where nodes say that they are, and look each other up."""

import signal
from typing import Annotated

import typer

from node.cli import stdout
from node.cli.failure import FAILED, USAGE, Failure
from node.cli.group import for_programs
from node.cli.show import print_object

PORT = 5000


def register(app: typer.Typer) -> None:
    app.command("registry")(for_programs(_registry))


def _registry(
    host: Annotated[str, typer.Option(metavar="HOST", help="where it listens; beyond this machine: 0.0.0.0")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(metavar="PORT", help="0 takes any free one")] = PORT,
    allowed_hosts: Annotated[
        str, typer.Option(metavar="NAMES", help="names accepted in Host beside localhost and addresses: a,b,...")
    ] = "",
    exit_with_parent: Annotated[bool, typer.Option("--exit-with-parent", help="end when the parent ends")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: where it listens, as JSON")] = False,
) -> int:
    """Run an HTTP registry until SIGTERM or Ctrl-C: nodes say where they are.

    For nodes that know each other's names and not where each is, on machines
    without DNS for them. It keeps nothing: started again, it is empty, and
    full again within seconds. It is never asked who votes, and a cluster goes
    on without it. Its page lists who is registered, and who leads.

    [bold]Examples[/bold]
      raft-node registry
      raft-node serve --name n1 --seeds n1,n2,n3 --port 8001 \\
        --peer-port 9001 --data-dir ./n1 \\
        --discover registry:http://127.0.0.1:5000

    Exit codes: 0 asked to end, 1 the address cannot be used, 64 wrong usage.
    """
    import asyncio

    if not 0 <= port <= 65535:
        raise Failure(f"--port {port} is out of bounds: it must be 0 (any free one) to 65535.", USAGE)
    stdout.refuse_closed("nothing was started")
    if exit_with_parent:
        from node.supervisor import lifeline

        lifeline.end_with_parent(signal.SIGTERM)
    names = tuple(name.strip() for name in allowed_hosts.split(",") if name.strip())
    return asyncio.run(_serve(host, port, names, as_json))


async def _serve(host: str, port: int, names: tuple[str, ...], as_json: bool) -> int:
    import asyncio

    from node.exits import is_foreign
    from node.registry.book import Book
    from node.registry.server import RegistryServer

    server = RegistryServer(Book(), names)
    try:
        await server.open(host, port)
    except OSError as error:
        await server.close()
        raise Failure(
            f"The registry cannot listen at {host} port {port}: {error.strerror or error}; choose another "
            f"{'--host' if is_foreign(error) else '--port'}.",
            FAILED,
        ) from None
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    url = f"http://{f'[{host}]' if ':' in host else host}:{server.port}"
    if as_json:
        print_object({"url": url, "discover": f"registry:{url}"})
    else:
        asked_at = url if host not in ("0.0.0.0", "::") else f"http://ADDRESS-OF-THIS-MACHINE:{server.port}"
        print(f"Registry: {url}/    (nodes: --discover registry:{asked_at})", flush=True)
    await asked.wait()
    await server.close()
    return 0
