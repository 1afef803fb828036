"""This process's place in an MPI world: one thread that makes every call of MPI, and queues on both of its sides.

Why it exists: MPI blocks, knows no event loop, and promises least to those who call it from one thread alone, which is
therefore what happens. It has no event to wait for, so this thread looks: often while there is traffic, else every
two milliseconds. A send is a synchronous one: it is over when the other rank has begun to take it. So what a rank that
is stopped, busy or dead does not take is known, and bounded: MPI's own buffers are shared by all, and a rank that fills
them with words to a dead one could not speak to the living. It must not know what a message means.

MPI is never finalized: that waits for every rank, and a dead one would never come.
"""

import asyncio
import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from node.raft.messages import Lane

SENDS_MAX = 4
"""Messages on their way to a rank on one lane that it has not begun to take."""
WORDS_WAIT_MAX = 16
"""Messages that wait for those, of one rank and lane; one more is not sent."""
TAKEN_BYTES_MAX = 4 * 1024 * 1024
"""What was taken and waits for the loop; above, nothing more is taken of the bulk lane, and above four times as much
nothing at all."""
TURN_BYTES_MAX = 64 * 1024
"""What is handed over in one turn of the loop, and one message at least."""
MESSAGE_BYTES_MAX = 5 * 1024 * 1024
"""A longer one is taken and thrown away: no carrier sends it."""
LOOK_BUSY_S = 0.0002
LOOK_IDLE_S = 0.002
BUSY_LOOKS = 20
"""So many looks without traffic, then they become rare."""
JOIN_S_MAX = 60.0
"""How long the other ranks of a world have to come."""
LEAVE_S_MAX = 1.0

SHARED_MEMORY = "/dev/shm/mpich_"
"""How MPICH names it on Linux."""

TAGS = {Lane.CONTROL: 1, Lane.BULK: 2}


class MpiError(Exception):
    """There is no MPI, or no world; the message is one sentence."""


class Hearer(Protocol):
    """Who is told on the loop's thread."""

    def on_message(self, rank: int, lane: Lane, message: bytes) -> None: ...

    def on_room(self, rank: int, lane: Lane) -> None:
        """A message was taken, so that another may be posted."""


class _Way:
    """To one rank on one lane. The loop appends, the thread takes."""

    def __init__(self, rank: int, lane: Lane) -> None:
        self.rank, self.lane = rank, lane
        self.waiting: deque[bytes] = deque()
        self.sends: list[tuple[Any, bytes]] = []
        self.taken = 0


class MpiWorld:
    """`join` first; then `attach`, and `post`. One per process."""

    def __init__(self) -> None:
        self.rank = self.size = -1
        self.library = ""
        self._ways: dict[tuple[int, Lane], _Way] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hearer: Hearer | None = None
        self._taken: deque[tuple[int, Lane, bytes]] = deque()
        self._handed_bytes = self._told_bytes = 0
        """Each is written by one side alone."""
        self._telling = False
        self._posted = threading.Event()
        self._ending = threading.Event()
        self._joined: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="mpi", daemon=True)

    def join(self, seconds_max: float = JOIN_S_MAX) -> None:
        """Begin the thread, and wait until all ranks have come. Raises `MpiError`."""
        self._thread.start()
        try:
            self._joined.result(seconds_max)
        except TimeoutError:
            raise MpiError(f"the ranks of this MPI world did not come together within {seconds_max:.0f} s") from None

    def attach(self, loop: asyncio.AbstractEventLoop, hearer: Hearer) -> None:
        """From now on `hearer` is told, on `loop`."""
        self._hearer, self._loop = hearer, loop

    def post(self, rank: int, lane: Lane, message: bytes) -> bool:
        """Send it after what was posted before on this way; False: too much waits, and it is certainly not sent."""
        way = self._ways[rank, lane]
        if len(way.waiting) >= WORDS_WAIT_MAX:
            return False
        way.waiting.append(message)
        self._posted.set()
        return True

    def room(self, rank: int, lane: Lane) -> bool:
        """Whether a long message could leave at once."""
        way = self._ways[rank, lane]
        return len(way.waiting) + len(way.sends) < SENDS_MAX

    def taken(self, rank: int, lane: Lane) -> int:
        """How many messages that rank has taken: it lives, where the number grows."""
        return self._ways[rank, lane].taken

    def leave(self) -> None:
        """Let what was posted leave for a moment, and end the thread."""
        self._ending.set()
        self._posted.set()
        self._thread.join(LEAVE_S_MAX + 1)

    # --- on the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            world, mpi = self._begin()
        except BaseException as error:
            self._joined.set_exception(error if isinstance(error, MpiError) else MpiError(f"MPI fails: {error}"))
            return
        self._joined.set_result(None)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._work(world, mpi)

    def _begin(self) -> tuple[Any, Any]:
        try:
            import mpi4py

            mpi4py.rc.initialize = mpi4py.rc.finalize = False
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            raise MpiError(f"there is no mpi4py, or no MPI, here ({error}): pip install '.[mpi]' brings both") from None
        MPI.Init_thread(MPI.THREAD_FUNNELED)
        world = MPI.COMM_WORLD
        world.Set_errhandler(MPI.ERRORS_RETURN)
        self.rank, self.size = world.Get_rank(), world.Get_size()
        world.Barrier()  # all have attached to what they share
        _unname_shared_memory()
        self.library = MPI.Get_library_version().splitlines()[0].strip("\x00 ")
        self._ways = {(rank, lane): _Way(rank, lane) for lane in TAGS for rank in range(self.size)}
        return world, MPI

    def _work(self, world: Any, mpi: Any) -> None:
        quiet = 0
        give_up = 0
        while not self._ending.is_set() or (self._unsent() and give_up < LEAVE_S_MAX / LOOK_BUSY_S):
            give_up += self._ending.is_set()
            moved = self._send(world, mpi)
            moved = self._take(world, mpi) or moved
            quiet = 0 if moved else quiet + 1
            if not moved:
                self._posted.wait(LOOK_BUSY_S if quiet < BUSY_LOOKS else LOOK_IDLE_S)
            self._posted.clear()

    def _unsent(self) -> bool:
        return any(way.waiting or way.sends for way in self._ways.values() if way.rank != self.rank)

    def _send(self, world: Any, mpi: Any) -> bool:
        """Control of all ranks first, for that is the order of the ways."""
        moved = False
        for way in self._ways.values():
            if way.sends:
                left = [send for send in way.sends if not _is_over(send[0], mpi)]
                if len(left) < len(way.sends):
                    way.taken += len(way.sends) - len(left)
                    way.sends = left
                    moved = True
                    self._tell_room(way)
            while way.waiting and len(way.sends) < SENDS_MAX:
                message = way.waiting.popleft()
                try:
                    request = world.Issend([message, mpi.BYTE], dest=way.rank, tag=TAGS[way.lane])
                except mpi.Exception:
                    continue  # lost on the way, as on any network: links notice by silence
                way.sends.append((request, message))
                moved = True
        return moved

    def _tell_room(self, way: _Way) -> None:
        if self._loop is not None and self._hearer is not None:
            self._loop.call_soon_threadsafe(self._hearer.on_room, way.rank, way.lane)

    def _take(self, world: Any, mpi: Any) -> bool:
        moved = False
        status = mpi.Status()
        for lane, tag in TAGS.items():
            limit = TAKEN_BYTES_MAX if lane is Lane.BULK else 4 * TAKEN_BYTES_MAX
            while self._handed_bytes - self._told_bytes < limit:
                try:
                    found = world.Improbe(mpi.ANY_SOURCE, tag, status)
                    if not found:
                        break
                    message = bytearray(status.Get_count(mpi.BYTE))
                    found.Recv([message, mpi.BYTE])
                except mpi.Exception:
                    break
                moved = True
                self._hand_over(status.Get_source(), lane, message)
                if lane is Lane.BULK:
                    break  # control is looked for after each
        return moved

    def _hand_over(self, rank: int, lane: Lane, message: bytearray) -> None:
        if len(message) > MESSAGE_BYTES_MAX or self._loop is None:
            return
        self._handed_bytes += len(message)
        self._taken.append((rank, lane, bytes(message)))
        if not self._telling:
            self._telling = True
            self._loop.call_soon_threadsafe(self._tell)

    # --- on the loop --------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Some of what was taken; the rest in the next turn."""
        told = 0
        try:
            while self._taken and told < TURN_BYTES_MAX:
                rank, lane, message = self._taken.popleft()
                told += len(message) or 1
                self._told_bytes += len(message)
                if self._hearer is not None:
                    self._hearer.on_message(rank, lane, message)
        finally:
            self._telling = False  # first: what the thread adds from now on it tells of, or is seen below
            if self._taken and self._loop is not None:
                self._telling = True
                self._loop.call_soon(self._tell)

    @property
    def quiet(self) -> bool:
        """Nothing is on its way that this process knows of."""
        return not self._taken and not any(way.waiting or way.sends for way in self._ways.values())


def _unname_shared_memory() -> None:
    """What is mapped stays; without its name it goes with the last process. MPI takes the name away when it is
    finalized, which never happens here, and each world would leave megabytes behind."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            path = line[line.find("/") :]
            if path.startswith(SHARED_MEMORY):
                with contextlib.suppress(OSError):  # another rank was first
                    Path(path).unlink()


def _is_over(request: Any, mpi: Any) -> bool:
    try:
        return bool(request.Test())
    except mpi.Exception:
        return True
