"""One simulated server: a disk that stays, and processes that come and go on it.

Why it exists: it runs the production driver, log, links and state machine, with only clock, disk and network put
in their place. It must not contain a rule of the product.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from node.guests import GUESTS_MAX, Guests
from node.observe.events import TraceEvent, to_line
from node.raft.core import Raft
from node.raft.effects import ConfigChanged
from node.raft.events import Deadline, PeerGone, PeerUp
from node.raft.messages import Message
from node.raft.settings import RaftSettings
from node.raft.state import Identity
from node.raft.types import Member, MemberAddress, Role
from node.restoring import restored
from node.runtime.applicants import of_applicant
from node.runtime.auto_members import LOOK_S, AutoMembers
from node.runtime.commands import check, find
from node.runtime.driver import Driver
from node.runtime.hooks import CommandReplied, Hooks
from node.runtime.inbox import Inbox
from node.runtime.inputs import Arrived, Input, WantOrder, WantRead, WantWrite
from node.runtime.membership import Membership
from node.runtime.ports import CommandOutcome, ReadFailed, Unknown
from node.runtime.snapshot_taking import SnapshotSettings
from node.simulation.carrier import SimCarrier
from node.simulation.chance import Chance
from node.simulation.network import SimNetwork
from node.simulation.scheduler import Scheduler
from node.simulation.storage import FragileDisk, PowerCut, TimedStorage, TimedWorker
from node.statemachine.store import KeyValueStore
from node.storage.errors import StorageError
from node.storage.recovery import Recovered
from node.storage.snapshots import Snapshots
from node.storage.wal import open_wal
from node.transport.links import PeerLinks
from node.watching.hub import WatchHub

PORT = 9_000

SEGMENT_BYTES = 16 * 1024
"""Small, so that a log of a few seconds has several."""

SNAPSHOTS = SnapshotSettings(entries=12, size_bytes=8_000, tail_entries=4, piece_bytes=700)
"""Several in a world of a few hundred writes, each sent in several pieces, and a tail that a server outlives which was
down for a second."""

RECENT_EVENTS_MAX = 8
BEHIND_REVISIONS_MAX = 6
WATCH_WORK_PER_TURN_MAX = 12
"""Of watches: so few that in a world of a few hundred writes those who are slow read the history, and that a revision
takes more than one turn to be told."""

OWN_ORDER_US = 5_000_000
"""How long a server waits for what became of its own order."""

EPOCH_US = 1_700_000_000_000_000
"""What the wall clock shows when a world begins."""


class Observer:
    """What a world wants to hear of its servers; see world.py."""

    def on_line(self, line: bytes) -> None: ...

    def on_told(self, server: "Server", kind: str, detail: Mapping[str, object]) -> None: ...

    def on_start(self, recovered: Recovered) -> None: ...

    def on_sent(self, server: "Server", to: str, message: Message) -> None: ...

    def on_boot(self, server: "Server", core: Raft) -> None: ...

    def on_step(self, server: "Server", core: Raft) -> None: ...

    def on_log_failed(self, server: "Server", error: StorageError) -> None: ...


class Server:
    """`start` and `kill` (or `cut_power`) in turns; `driver` is None while no process runs."""

    def __init__(
        self,
        name: str,
        seeds: Sequence[str],
        settings: RaftSettings,
        scheduler: Scheduler,
        network: SimNetwork,
        rng: Chance,
        observer: Observer,
        label: str = "",
    ) -> None:
        self.name = name
        self.label = label or name
        """Which of several servers that bear one name; it names the disk's owner to the judge."""
        self.disk = FragileDisk(name)
        self.driver: Driver | None = None
        self.machine = KeyValueStore()
        self.hub = WatchHub(self.machine)
        """Of the present process, as the store is: who follows it there."""
        self.boots = 0
        self.incarnations = 0
        self.incarnation = ""
        """The id of its disk, once a process has run on it."""
        self.fresh = False
        """Its disk was lost, and no process has begun on the new one yet."""
        self.paused = False
        self.failed: str = ""
        """Why the log gave up, where that ended the process."""
        self.reads_open = 0
        """Reads that clients still wait for."""
        self.told: dict[str, int] = {}
        """How often each kind of transition was traced."""
        self.auto_members: tuple[str, ...] = ()
        """Names that its processes let in by themselves; see `AutoMembers`."""
        self.wall_offset_us = 0
        """By how much its wall clock is wrong."""
        self._seeds = tuple(seeds)
        self._settings = settings
        self._scheduler = scheduler
        self._network = network
        self._rng = rng
        self._observer = observer
        self._endpoint: SimCarrier | None = None
        self._inbox = Inbox()
        self._scheduled = False
        self._timer_at: int | None = None
        self._sequence = 0
        self._frozen: list[Callable[[], None]] = []

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process on the disk as it is. Raises StorageError where the log refuses to be opened."""
        try:
            self._start()
        except PowerCut:
            self.cut_power()
        except StorageError:
            self.disk.kill()
            raise

    def _start(self) -> None:
        self.boots += 1
        boot = self.boot
        self.failed = ""
        self.incarnations += 1
        wal, recovered = open_wal(
            self.disk, self.name, f"{self.label}-{self.incarnations}", self._fatal, segment_bytes=SEGMENT_BYTES
        )
        self.incarnation = recovered.incarnation
        worker = TimedWorker(self.disk, self._scheduler, self._rng, self._in_process(boot), self._fatal)
        storage = TimedStorage(wal, self.disk, self._scheduler, self._rng, self._in_process(boot))
        snapshots = Snapshots(
            self.disk, worker, latest=recovered.snapshot, partial=recovered.partial, compact=storage.compact
        )
        self.machine, applied = restored(snapshots)
        hub = self.hub = WatchHub(self.machine, self._wake)
        hub.recent_events_max, hub.behind_revisions_max = RECENT_EVENTS_MAX, BEHIND_REVISIONS_MAX
        membership = Membership(self.name, [address_of(seed) for seed in self._seeds])
        address = address_of(self.name)
        identity = Identity(self.name, recovered.incarnation, boot, self._seeds, address)
        self._observer.on_start(recovered)
        log = recovered.hard_state, recovered.entries, recovered.base
        core = Raft(identity, self._settings, self._rng, *log, applied)
        links = PeerLinks(
            name=self.name,
            incarnation=recovered.incarnation,
            boot=boot,
            cluster_id=recovered.cluster_id,
            deliver=self.hear,
            on_link=lambda *_: None,
            on_process_up=lambda member, boot: self.post(PeerUp(member, boot)),
            on_process_gone=lambda member, boot: self.post(PeerGone(member, boot)),
            address=(address.host, address.port),
        )
        endpoint = self._network.endpoint(self.name, membership.peers, links, self.label, GUESTS_MAX)
        self._endpoint = endpoint
        links.attach(endpoint)
        self._open_door(endpoint, links, membership, boot)
        self._inbox, self._scheduled, self._timer_at, self.paused = Inbox(), False, None, False

        def configured(change: ConfigChanged) -> None:
            membership.adopt(change.configuration, change.leaving)
            links.set_cluster_id(change.cluster_id)

        hooks = Hooks(self._wake, configured, lambda *_: None, lambda: hub.advance(WATCH_WORK_PER_TURN_MAX))
        self.driver = Driver(
            core,
            boot,
            storage,
            self.machine,
            _Observed(self, links),
            self,
            hooks,
            snapshots,
            snapshot_settings=SNAPSHOTS,
        )
        self._in_process(boot)(self._begin)

    def kill(self) -> None:
        """kill -9: the process is gone, what it wrote stays in the machine's cache."""
        self._end()
        self.disk.kill()

    def cut_power(self) -> None:
        """The machine is gone: what was not synced is lost, in part or whole."""
        self._end()
        self.disk.crash(self._rng)

    def wipe(self) -> None:
        """The disk is lost and replaced by an empty one."""
        self._end()
        self.disk = FragileDisk(self.name)
        self.fresh = True

    def pause(self) -> None:
        """SIGSTOP: nothing runs, what arrives waits."""
        self.paused = True
        self._network.pause(self.label)

    def resume(self) -> None:
        """SIGCONT: what has arrived is handled before a timer is looked at, as the shell does it."""
        self.paused = False
        self._scheduled = False
        frozen, self._frozen = self._frozen, []
        for action in frozen:
            action()
        self._network.resume(self.label)
        self._wake()

    def later(self, in_us: int, action: Callable[[], None]) -> None:
        """Do it in the process that runs now, unless that is gone by then."""
        run = self._in_process(self.boot)
        self._scheduler.schedule(self._scheduler.now() + in_us, lambda: run(action))

    def reset_links(self) -> None:
        """Every connection of this server breaks."""
        if self._endpoint is not None:
            self._endpoint.reset()

    @property
    def leads(self) -> bool:
        return self.driver is not None and self.driver.core.role is Role.LEADER

    @property
    def boot(self) -> str:
        return f"{self.label}.{self.boots}"

    def _begin(self) -> None:
        if self.driver is not None:
            self._observer.on_boot(self, self.driver.core)
            self.driver.start(self._scheduler.now())
            self._arm()
            if self.auto_members:
                self._let_in(AutoMembers(self.auto_members, self._settings.election_max_us, self._order_itself))

    def _let_in(self, auto: AutoMembers) -> None:
        """As assembly.py has it: look again and again."""
        run = self._in_process(self.boot)

        def look() -> None:
            now = self._scheduler.now()
            if self.driver is not None:
                auto.look(self.driver.core.status(now), now)
            self._scheduler.schedule(now + int(LOOK_S * 1e6), lambda: run(look))

        look()

    def _order_itself(self, command: str, given: Mapping[str, str], reply: CommandReplied) -> None:
        self.order(command, given, self._scheduler.now() + OWN_ORDER_US, reply)

    # --- the process --------------------------------------------------------------------------------------------

    def post(self, item: Input) -> None:
        """Into the inbox; handled together with all else that waits, soon."""
        self._inbox.post(self._counted(item) if isinstance(item, WantRead) else item)
        self._wake()

    def _counted(self, read: WantRead) -> WantRead:
        self.reads_open += 1

        def reply(failed: ReadFailed | None) -> None:
            self.reads_open -= 1
            read.reply(failed)

        return WantRead(read.deadline_us, reply)

    def order(self, command: str, given: Mapping[str, str], deadline_us: int, reply: CommandReplied) -> None:
        """An operator's command, as `runtime/obeying.py` takes it."""
        if self.driver is None:
            reply(CommandOutcome(command, self.name, "no-link", "nobody is there"))
            return
        spec = find(command)
        assert spec is not None, command
        applicants = self.driver.core.status(self._scheduler.now()).applicants
        filled = of_applicant(command, check(spec, given), applicants)
        if isinstance(filled, CommandOutcome):
            reply(filled)
        else:
            self.post(WantOrder(command, deadline_us, reply, filled))

    def transition(self, kind: str, term: int, role: str, detail: dict[str, str | int | bool]) -> None:
        """TraceSink."""
        self._sequence += 1
        self._observer.on_told(self, kind, detail)
        self.told[kind] = self.told.get(kind, 0) + 1
        at_us = self._wall_us()
        self._observer.on_line(to_line(TraceEvent(self._sequence, at_us, self.label, kind, term, role, detail)))

    def message(self, sent: bool, peer: str, message: Message) -> None:
        """TraceSink: every byte that is said is part of the trace."""
        arrow = b">" if sent else b"<"
        said = msgspec.msgpack.encode(message).hex().encode()
        line = b"%d %s %s %s %s" % (self._scheduler.now(), self.label.encode(), arrow, peer.encode(), said)
        self._observer.on_line(line)

    def sent(self, to: str, message: Message) -> None:
        self._observer.on_sent(self, to, message)

    def hear(self, sender: Member, message: Message) -> None:
        """A link brought it."""
        self.post(Arrived(sender, message))

    def _wake(self) -> None:
        if self._scheduled or self.driver is None or self.paused:
            return
        self._scheduled = True
        delay_us = 20 + int(self._rng.random() * 200)
        run = self._in_process(self.boot)
        self._scheduler.schedule(self._scheduler.now() + delay_us, lambda: run(self._drain))

    def _drain(self) -> None:
        if self.driver is None:
            return
        self._scheduled = False
        now = self._scheduler.now()
        deadline = self.driver.deadline
        if deadline is not None and now >= deadline:
            self._inbox.post(Deadline())
        self.driver.handle(self._inbox.take_turn(), now, self._wall_us())
        if self._inbox:
            self._wake()
        self._observer.on_step(self, self.driver.core)
        self._arm()

    def _arm(self) -> None:
        at = self.driver.deadline if self.driver is not None else None
        if at is None:
            return
        now = self._scheduler.now()
        if self._timer_at is not None and now < self._timer_at <= at:
            return
        self._timer_at = at
        run = self._in_process(self.boot)
        self._scheduler.schedule(at, lambda: run(self._timer))

    def _timer(self) -> None:
        if self.driver is None:
            return
        at = self.driver.deadline
        if at is not None and at <= self._scheduler.now():
            self._wake()
        else:
            self._timer_at = None
            self._arm()

    def _in_process(self, boot: str) -> Callable[[Callable[[], None]], None]:
        """Run something as part of the process `boot`: not if that is gone; it may be the last that it does."""

        def run(action: Callable[[], None]) -> None:
            if self.driver is None or boot != self.boot:
                return
            if self.paused:
                self._frozen.append(lambda: run(action))
                return
            try:
                action()
            except PowerCut:
                self.cut_power()
            if self.failed:
                self.kill()  # as the product does: exit code 3

        return run

    def _wall_us(self) -> int:
        return EPOCH_US + self._scheduler.now() + self.wall_offset_us

    def _open_door(self, endpoint: SimCarrier, links: PeerLinks, membership: Membership, boot: str) -> None:
        """Links follow the membership, and who is no member may come and ask."""
        run = self._in_process(boot)

        def later(seconds: float, action: Callable[[], None]) -> None:
            self._scheduler.schedule(self._scheduler.now() + int(seconds * 1e6), lambda: run(action))

        def follow() -> None:
            members = membership.peers
            endpoint.set_peers((*members, *(name for name in guests.addresses() if name not in members)))

        guests = Guests(membership, GUESTS_MAX, links.hears, links.forget, follow, later)
        membership.observe(follow)
        links.open_door(guests)

    def _fatal(self, error: StorageError) -> None:
        self.failed = str(error)
        self._observer.on_log_failed(self, error)

    def _end(self) -> None:
        """The process is gone: its links break, and its clients see a broken connection, not an answer."""
        self._frozen.clear()
        self.paused = False
        if self._endpoint is not None:
            self._network.crash(self.label)
            self._endpoint = None
        inbox = self._inbox.drain()
        driver, self.driver = self.driver, None
        if driver is not None:
            driver.stop()
        for item in inbox:
            if isinstance(item, WantWrite):
                item.reply(Unknown("the connection broke"))
            elif isinstance(item, WantRead):
                item.reply(ReadFailed("connection", "the connection broke"))
            elif isinstance(item, WantOrder):
                item.reply(CommandOutcome(item.command, self.name, "unknown", "the connection broke"))


def address_of(name: str) -> MemberAddress:
    """Where the simulated network finds a server: under its name."""
    return MemberAddress(name, name, PORT)


class _Observed:
    """The links, with an eye on what is sent."""

    def __init__(self, server: Server, links: PeerLinks) -> None:
        self._server = server
        self._links = links

    def send(self, to: str, message: Message) -> bool:
        self._server.sent(to, message)
        return self._links.send(to, message)

    def flush(self) -> None:
        self._links.flush()

    def connected(self, to: str) -> bool:
        return self._links.connected(to)
