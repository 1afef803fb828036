"""Opens the log and builds the core on it, on a thread of its own, so that the loop answers meanwhile.

Why it exists: to read a log of millions of entries takes seconds to minutes, and whoever asks this process to stop need
not wait for the end of it. Nothing is shared with the thread while it works: what it made is handed over once, and used
by the loop's thread alone from then on. It must not know what is started afterwards.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from node import __version__
from node.raft.core import Raft
from node.raft.settings import RaftSettings
from node.raft.state import Chance, Identity
from node.raft.types import MemberAddress
from node.restoring import restored
from node.runtime.snapshot_taking import SnapshotSettings
from node.settings import Settings
from node.settings.values import ANY_ADDRESS, address_of
from node.statemachine.store import KeyValueStore
from node.storage.files import prepare_folder
from node.storage.recovery import Recovered
from node.storage.snapshots import Snapshots
from node.storage.wal import Wal, open_wal
from node.storage.worker import ThreadedWorker

T = TypeVar("T")


class Surroundings(NamedTuple):
    """What the log and the core are given beside the settings. `new_incarnation` counts where the disk is empty.

    `clock` counts seconds. `timed` measures
    what the loop writes to the log. `guarded` runs on the loop's thread what the log's worker completed."""

    boot: str
    new_incarnation: str
    chance: Chance
    clock: Callable[[], float]
    fatal: Callable[[Exception], None]
    guarded: Callable[[Callable[[], None]], None]


class SyncClock:
    """A clock round every sync of the log, on whatever thread it runs. Nobody hears of those before `tell`: they are
    the recovery's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._listener: Callable[[float], None] | None = None

    def tell(self, listener: Callable[[float], None]) -> None:
        """From now on `listener` gets the seconds of each sync."""
        self._listener = listener

    def __call__(self, sync: Callable[[], None]) -> None:
        began = self._clock()
        sync()
        if self._listener is not None:
            self._listener(self._clock() - began)


class Opened(NamedTuple):
    """A log that is open for writing, what was in it, snapshots, a store with the state of the latest, and a core that
    was never stepped."""

    wal: Wal
    recovered: Recovered
    core: Raft
    snapshots: Snapshots
    store: KeyValueStore

    def close(self) -> None:
        """Give back the disk; raises StorageError where it did not answer in time."""
        self.snapshots.close()
        self.wal.close()


async def recover(settings: Settings, around: Surroundings, syncs: SyncClock, given_up: asyncio.Event) -> Opened | None:
    """Open the log; None where `given_up` was set first. Raises StorageError, one sentence, and InvariantViolation."""
    loop = asyncio.get_running_loop()
    return await beside_the_loop(lambda: _open(settings, around, syncs, loop), given_up, "recovery")


def _open(settings: Settings, around: Surroundings, syncs: SyncClock, loop: asyncio.AbstractEventLoop) -> Opened:
    """Runs on the thread."""
    mode = settings.fsync_mode

    def deliver(report: Callable[[], None]) -> object:
        return loop.call_soon_threadsafe(around.guarded, report)

    wal, recovered = open_wal(
        prepare_folder(settings.data_dir, syncs),
        settings.name,
        around.new_incarnation,
        around.fatal,
        deliver=None if mode == "inline" else deliver,
        adaptive=mode == "adaptive",
        clock=around.clock,
        segment_bytes=settings.segment_bytes,
    )
    # Syncs of snapshots are not the log's: nobody waits for them.
    snapshots = Snapshots(
        prepare_folder(settings.data_dir),
        ThreadedWorker(around.fatal, deliver, settings.name),
        latest=recovered.snapshot,
        partial=recovered.partial,
        compact=wal.compact,
        made_by=f"raft-node {__version__}",
    )
    try:
        store, applied = restored(snapshots)
    except BaseException:
        wal.close()
        raise
    seeds = tuple(seed.name for seed in settings.seeds)
    identity = Identity(settings.name, recovered.incarnation, around.boot, seeds, own_address(settings))
    core = Raft(
        identity,
        raft_settings(settings),
        around.chance,
        recovered.hard_state,
        recovered.entries,
        recovered.base,
        applied,
    )
    return Opened(wal, recovered, core, snapshots, store)


async def beside_the_loop(work: Callable[[], T], given_up: asyncio.Event, name: str) -> T | None:
    """What `work` returns or raises, from a thread called `name`; None where `given_up` is set before its end.

    A thread that is left behind is a daemon: it ends with the process, at any point of its work, as by kill -9.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def succeeded(result: T) -> None:
        if not done.done():
            done.set_result(result)

    def failed(error: BaseException) -> None:
        if not done.done():
            done.set_exception(error)

    def run() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            try:
                result = work()
            except BaseException as error:
                loop.call_soon_threadsafe(failed, error)
            else:
                loop.call_soon_threadsafe(succeeded, result)

    threading.Thread(target=run, name=name, daemon=True).start()
    asked = asyncio.create_task(given_up.wait(), name=f"{name}: given up")
    try:
        await asyncio.wait((done, asked), return_when=asyncio.FIRST_COMPLETED)
        return done.result() if done.done() else None
    finally:
        done.cancel()
        asked.cancel()


def own_address(settings: Settings) -> MemberAddress | None:
    """How others reach this node: for the configuration that it may be born with or let in to, and for who hears of it
    first from itself. None: it does not say.

    A listener that takes any address, or any port, has none that others could use: then no URL is told.
    """
    own = settings.own_seed
    if settings.peer_address:
        host, port = address_of(settings.peer_address)
    elif own is not None and own.host:
        host, port = own.host, own.port
    elif settings.peer_host not in ANY_ADDRESS and settings.peer_port:
        host, port = settings.peer_host, settings.peer_port
    else:
        return None
    tells = settings.client_url or (settings.port and settings.host not in ANY_ADDRESS)
    return MemberAddress(settings.name, host, port, client_url(settings) if tells else "")


def client_url(settings: Settings) -> str:
    """Where this node serves clients, where nobody says otherwise."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.tls_accept == "tls" else "http"
    return settings.client_url or f"{scheme}://{host}:{settings.port}"


def raft_settings(settings: Settings) -> RaftSettings:
    """What the algorithm is told of a node's settings; microseconds and bytes."""
    return RaftSettings(
        heartbeat_us=settings.heartbeat_ms * 1000,
        election_min_us=settings.election_timeout_ms.low * 1000,
        election_max_us=settings.election_timeout_ms.high * 1000,
        append_bytes_max=settings.max_append_bytes,
        inflight_messages_max=settings.inflight_messages,
        inflight_bytes_max=settings.inflight_bytes,
        uncommitted_bytes_max=settings.max_uncommitted_bytes,
        log_bytes_max=settings.max_log_bytes,
        wait_in_initial=settings.wait_in_initial,
    )


def snapshot_settings(settings: Settings) -> SnapshotSettings:
    """When this node takes snapshots."""
    return SnapshotSettings(settings.snapshot_entries, settings.snapshot_bytes, settings.snapshot_tail)
