"""What this node knows of the others from their own words: the last Report of each, and how old it is.

Why it exists: `/cluster` shows the whole cluster from one node. Silence is *unknown*, never "dead": a node cannot
tell a dead peer from a cut link. It must not influence the algorithm.
"""

import msgspec

from node.raft.status import PeerStatus
from node.raft.types import Member
from node.runtime.membership import Membership
from node.runtime.ports import PeerView, Status

REACHABLE_AGE_US = 2_000_000
"""A peer heard within this long is reachable."""

_DECODER = msgspec.msgpack.Decoder(Status)
_ENCODER = msgspec.msgpack.Encoder()


class Views:
    """The last view of every peer; who is no peer any more is forgotten."""

    def __init__(self, own_name: str, membership: Membership) -> None:
        self._own_name = own_name
        self._membership = membership
        self._heard: dict[str, tuple[Status, int]] = {}
        membership.observe(self._forget_others)

    def heard(self, sender: Member, body: bytes, now: int) -> Status | None:
        """Keep a Report. One that cannot be read, or that speaks for another node, is dropped: None."""
        try:
            status = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # another version's words: the peer's row stays "unknown"
        if sender.name not in self._membership.peers or status.core.name != sender.name:
            return None
        self._heard[sender.name] = (status, now)
        return status

    def contact_age_us(self, peer: PeerStatus, now: int) -> int | None:
        """Microseconds since anything at all was heard of `peer`: its last message or its last Report."""
        ages = [] if peer.contact_age_us is None else [peer.contact_age_us]
        if peer.name in self._heard:
            ages.append(now - self._heard[peer.name][1])
        return min(ages, default=None)

    def all(self, own: Status, now: int) -> tuple[PeerView, ...]:
        """Every node, this one included, sorted by name."""
        return tuple(self._view(name, own, now) for name in self._membership.names)

    def _forget_others(self) -> None:
        self._heard = {name: heard for name, heard in self._heard.items() if name in self._membership.peers}

    def _view(self, name: str, own: Status, now: int) -> PeerView:
        if name == self._own_name:
            return PeerView(name, own, 0, True)
        heard = self._heard.get(name)
        if heard is None:
            return PeerView(name, None, None, None)
        status, at = heard
        age_us = now - at
        return PeerView(name, status, age_us, True if age_us < REACHABLE_AGE_US else None)


def encode_report(status: Status) -> bytes:
    """The body of a Report."""
    return _ENCODER.encode(status)
