"""A test double for a node, so that the supervisor can be tested without one: takes a node's flags, answers
`/status` and `/events` as a node does, and obeys signals. It elects nobody: the member called n1 "leads".

STAND_IN_FAILS="n2:3" makes n2 end at once with exit code 3; STAND_IN_DEAF="n3" makes n3 ignore SIGTERM.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from node.observe.events import TraceEvent, to_line


def status(name: str, names: list[str], url: str) -> dict[str, object]:
    others = [other for other in names if other != name]
    return {
        "name": name,
        "role": "leader" if name == "n1" else "follower",
        "term": 1,
        "leader": "n1",
        "commit": 7,
        "applied": 7 if name == "n1" else 5,
        "voters": [{"name": other, "incarnation": f"i-{other}"} for other in names],
        "peers": [{"name": other, "last_contact_ms": 12.345} for other in others],
        "waiting_for": "",
        "client_url": url,
        "fatal": "",
    }


def events(name: str, start_us: int) -> list[TraceEvent]:
    role = "leader" if name == "n1" else "follower"

    def event(seq: int, kind: str, **detail: str | int | bool) -> TraceEvent:
        return TraceEvent(seq, start_us + seq, name, kind, 1, role, detail)

    if name != "n1":
        return [event(1, "started", boot="b", version="0"), event(2, "leader", leader="n1")]
    return [
        event(1, "election", phase="pre-vote", campaign=1),
        event(2, "election", phase="vote", campaign=1),
        event(3, "won", votes=2, voters=3),
        event(4, "leader", leader="n1"),
    ]


def serving_mark(data_dir: str) -> Path:
    """A file that n1 makes once it serves: nobody learns of a leader before there is one."""
    return Path(data_dir).parents[1] / "n1" / "data" / "serving"


def count_start(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "starts").open("a") as starts:
        starts.write("x")


async def serve(flags: argparse.Namespace) -> None:
    names = [seed.partition("=")[0] for seed in flags.seeds.split(",")]
    print(f"{flags.name} is up", file=sys.stderr, flush=True)
    count_start(Path(flags.data_dir))
    mark, leads = serving_mark(flags.data_dir), flags.name == "n1"
    if leads:
        mark.unlink(missing_ok=True)
    while not leads and not mark.exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    start_us = time.time_ns() // 1000

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        if request.startswith(b"GET /status "):
            writer.write(head + msgspec.json.encode(status(flags.name, names, flags.client_url)))
            writer.close()
        elif request.startswith(b"GET /events "):
            pieces = [b"id: b.%d.0\ndata: %s\n\n" % (e.seq, to_line(e)) for e in events(flags.name, start_us)]
            writer.write(head + b"".join(pieces))  # and stay open
        else:
            writer.close()

    server = await asyncio.start_server(answer, flags.host, int(flags.port))
    if leads:
        mark.touch()
    stop = asyncio.Event()
    if flags.name in os.environ.get("STAND_IN_DEAF", "").split(","):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("name", "seeds", "data-dir", "host", "port", "client-url"):
        parser.add_argument(f"--{flag}")
    flags, _ = parser.parse_known_args()
    for rule in filter(None, os.environ.get("STAND_IN_FAILS", "").split(",")):
        name, _, code = rule.partition(":")
        if name == flags.name:
            print(f"{name} was told to fail", file=sys.stderr)
            sys.exit(int(code))
    asyncio.run(serve(flags))


if __name__ == "__main__":
    main()
