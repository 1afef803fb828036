"""`mpiexec -n 3 python -m tests.conformance.mpi_ranks FOLDER`: rank 0 runs the suite, the others are told what to do.

Why it exists: three carriers in three ranks of a real MPI world, and a suite that speaks to all of them. What rank 0
tells another is a call over a socket, whose answer comes after everything that was heard there before it.
"""

import asyncio
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.raft.messages import Lane
from node.transport.mpi.carrier import MpiCarrier, Nobody
from node.transport.mpi.world import MpiWorld
from tests.conformance.mpi_wire import Rank

SUITE = "tests/conformance/carrier_on_mpi.py"
CALL_BYTES = 4
VERDICT = "verdict"
"""The file in which rank 0 keeps how its pytest ended. mpiexec's own exit code does not say it: MPI is never finalized,
so mpiexec kills the ranks that end after the first, and reports that."""
WORLD: list[MpiWorld] = []
"""Of rank 0: joined before pytest begins, for its thread is nobody's leak."""
SOCKETS: list[socket.socket] = []
"""To the ranks 1 and 2."""


def packed(value: Any) -> bytes:
    body = msgspec.msgpack.encode(value)
    return len(body).to_bytes(CALL_BYTES) + body


class Told:
    """A receiver that writes everything to rank 0."""

    def __init__(self, link: asyncio.StreamWriter) -> None:
        self._link = link
        self.answer: str | None = None

    def on_outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        self._link.write(packed(["out", peer, lane.value, up, reason]))

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        self._link.write(packed(["in", peer, lane.value, up, reason]))

    def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
        self._link.write(packed(["frame", peer, lane.value, frame]))
        return self.answer


class Obedient:
    """What rank 0 may ask of another."""

    def __init__(self, rank: Rank, reader: asyncio.StreamReader, link: asyncio.StreamWriter) -> None:
        self._rank, self._reader, self._link = rank, reader, link
        self._told = Told(link)

    async def obey(self) -> None:
        self._rank.world.attach(asyncio.get_running_loop(), Nobody(self._rank.world))
        while True:
            try:
                head = await self._reader.readexactly(CALL_BYTES)
            except asyncio.IncompleteReadError:
                return
            what, *words = msgspec.msgpack.decode(await self._reader.readexactly(int.from_bytes(head)))
            answer = await self._do(what, words)
            self._link.write(packed(["answer", answer]))

    async def _do(self, what: str, words: list[Any]) -> Any:
        rank, carrier = self._rank, self._rank.carrier
        if what == "start":
            self._told.answer = None
            await rank.start(self._told)
        elif what == "answer":
            self._told.answer = words[0]
        elif what in ("kill", "leave", "quiet"):
            done = getattr(rank, what)()
            if done is not None:
                await done
        elif what in ("wait", "cut"):
            getattr(rank.held, what)(*words)
        elif what == "stall":
            rank.held.stall(words[0], Lane(words[1]), words[2])
        else:
            assert isinstance(carrier, MpiCarrier)
            if what in ("send", "outbound_up"):
                words[1] = Lane(words[1])
            if what == "set_peers":
                words[0] = tuple(words[0])
            return getattr(carrier, what)(*words)
        return None


def main(folder: Path) -> int:
    world = MpiWorld()
    world.join()
    path = str(folder / "control")
    if world.rank:
        link = _connected(path)
        link.sendall(bytes([world.rank]))
        rank = Rank("abc"[world.rank], world)
        asyncio.run(_obey(rank, link))
        return 0
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    accepted = {}
    for _ in range(world.size - 1):
        link, _ = listener.accept()
        accepted[link.recv(1)[0]] = link
    SOCKETS.extend(accepted[number] for number in sorted(accepted))
    WORLD.append(world)
    print(f"{world.size} ranks of {world.library}", flush=True)
    options = ["-p", "no:cacheprovider", f"--basetemp={folder}/pytest", "--timeout=60", *sys.argv[2:]]
    code = int(pytest.main([SUITE, *options]))
    (folder / VERDICT).write_text(str(code))
    return code


async def _obey(rank: Rank, link: socket.socket) -> None:
    await Obedient(rank, *await asyncio.open_connection(sock=link)).obey()


def _connected(path: str) -> socket.socket:
    """Rank 0 listens a moment later."""
    link = socket.socket(socket.AF_UNIX)
    for _ in range(1000):
        try:
            link.connect(path)
            return link
        except OSError:
            time.sleep(0.01)
    raise SystemExit("rank 0 does not listen")


if __name__ == "__main__":
    if __package__ and sys.modules["__main__"].__spec__ is not None:
        sys.modules["tests.conformance.mpi_ranks"] = sys.modules["__main__"]  # the suite imports this very module
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(code)  # MPI is not finalized: see node.transport.mpi.world
