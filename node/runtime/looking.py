"""What a node says of itself, and what it knows of the others by what they say of themselves.

Why it exists: operators, metrics and the other nodes ask the same questions, and must get one answer. Twice a second it
tells its peers its own, in a Report, for their `/cluster`. It must not change anything.
"""

import zlib
from collections.abc import Callable, Iterator

import msgspec

from node.raft.messages import Report
from node.raft.status import CoreStatus
from node.raft.types import Entry, Member, MemberAddress
from node.runtime.membership import Membership
from node.runtime.ports import Faults, Links, LogLine, PeerView, Readiness, Status, StoreSummary
from node.runtime.shell import Shell, monotonic_us, wall_us
from node.runtime.views import Views, encode_report

REPORT_INTERVAL_S = 0.5
"""How often a node tells its peers its status, for `/cluster`."""

CLOCK_SKEW_US_MAX = 60_000_000
"""A peer whose clock is further ahead is not believed when a backup was taken: it would be late only years later."""

LOG_LINES_MAX = 1000
"""Entries in one answer of `log`."""


class About(msgspec.Struct, frozen=True):
    """What a process knows of itself from its start on. `boot` is new in every process; see `ports.Status`."""

    name: str
    boot: str
    version: str
    client_url: str
    peer_scheme: str = "http"
    address: MemberAddress | None = None


class Looking:
    """The looking half of `NodeHandle`. `faults` None: not enabled. `describe`: an entry in a few words. `store`: what
    it holds now; asked often, so it must cost no walk."""

    def __init__(
        self,
        about: About,
        shell: Shell,
        membership: Membership,
        links: Links,
        faults: Faults | None,
        describe: Callable[[Entry], str],
        store: Callable[[], StoreSummary],
    ) -> None:
        self._about = about
        self._shell = shell
        self._membership = membership
        self._links = links
        self._faults = faults
        self._describe = describe
        self._store = store
        self._views = Views(about.name, membership)
        self._backup_at_us = 0

    # --- of itself ---------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """See NodeHandle."""
        now = monotonic_us()
        about, shell = self._about, self._shell
        return Status(
            core=self._with_contacts(shell.core.status(now), now),
            boot=about.boot,
            version=about.version,
            uptime_us=now - shell.started_us,
            client_url=about.client_url,
            links_up=tuple(peer for peer in self._membership.peers if self._links.connected(peer)),
            fatal=shell.fatal,
            faults=self._faults.active() if self._faults is not None else (),
            time_us=wall_us(),
            leaving=shell.readiness().leaving,
            snapshot=shell.snapshot_view(now),
            store=self._store(),
            peer_scheme=about.peer_scheme,
            backup_at_us=self._backup_at_us,
            address=about.address,
        )

    def _with_contacts(self, core: CoreStatus, now: int) -> CoreStatus:
        """Followers say nothing of Raft to each other; their Reports are signs of life all the same."""
        peers = tuple(
            msgspec.structs.replace(peer, contact_age_us=self._views.contact_age_us(peer, now)) for peer in core.peers
        )
        return msgspec.structs.replace(core, peers=peers)

    def timers_us(self) -> dict[str, int]:
        """Microseconds until each timer that runs is due, by name."""
        return self._shell.core.timers(monotonic_us())

    def log(self, from_index: int, limit: int) -> Iterator[LogLine]:
        """See NodeHandle."""
        entries = self._shell.core.entries(from_index, min(limit, LOG_LINES_MAX))
        return (_log_line(entry, self._describe(entry)) for entry in entries)

    def readiness(self) -> Readiness:
        """See NodeHandle."""
        return self._shell.readiness()

    def loop_age_us(self) -> int:
        """See NodeHandle."""
        return self._shell.loop_age_us()

    def backup_done(self) -> None:
        """A backup of the cluster was completed just now; the peers hear of it with the next Report, and keep it while
        this process starts anew."""
        self._backup_at_us = wall_us()

    # --- to and of the others ----------------------------------------------------------------------------------

    def views(self) -> tuple[PeerView, ...]:
        """See NodeHandle."""
        return self._views.all(self.status(), monotonic_us())

    def start_reporting(self) -> None:
        """From now on, tell every peer again and again, until the shell stops."""
        self.tell_everyone()
        self._shell.wake()  # an idle driver without a deadline, such as one that waits to be let in, is alive, too
        self._shell.later(REPORT_INTERVAL_S, self.start_reporting)

    def tell_everyone(self, answer: bool = False) -> None:
        """Send this node's Report to every peer; `answer`: ask for theirs."""
        message = Report(encode_report(self.status()), 0, answer)
        for peer in self._membership.peers:
            self._links.send(peer, message)

    def on_report(self, sender: Member, body: bytes) -> None:
        """A peer tells: the driver's hook."""
        status = self._views.heard(sender, body, monotonic_us())
        if status is not None:
            self._backup_at_us = later_backup(self._backup_at_us, status.backup_at_us, wall_us())

    def on_report_wanted(self, peer: str) -> None:
        """A peer asks: the driver's hook."""
        self._links.send(peer, Report(encode_report(self.status())))


def later_backup(known_us: int, told_us: int, clock_us: int) -> int:
    """When the last backup was made, of what this node knew and what a peer tells."""
    return told_us if known_us < told_us <= clock_us + CLOCK_SKEW_US_MAX else known_us


def _log_line(entry: Entry, summary: str) -> LogLine:
    checksum = zlib.crc32(msgspec.msgpack.encode(entry))
    kind = entry.kind.name.lower()
    return LogLine(
        entry.index, entry.term, kind, entry.size_bytes, f"{checksum:08x}", summary, entry.session, entry.sequence
    )
