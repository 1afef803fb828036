"""Operators' routes: what this node thinks of itself and of the others, its log, its health, its metrics.

Why it exists: people and tools look at a node here. Everything is a copy of what the node says, durations in
milliseconds; nothing waits for the cluster, so that a node without a quorum still answers. It must not change state.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from aiohttp import web

from node.access.principals import ANYBODY, CURRENT
from node.api.answers import JSON_HEADERS, json_answer, json_text
from node.api.inputs import Query, target_of
from node.api.slices import Slices
from node.api.streaming import answer_in_pieces, in_pieces, listed
from node.observe.alarms import alarms_of
from node.observe.health import Verdict, livez, readyz, startupz
from node.observe.metrics import CONTENT_TYPE, Metrics
from node.observe.stats import Stats, faults_body
from node.raft.status import CoreStatus, PeerStatus
from node.raft.types import Member
from node.runtime.ports import LogLine, NodeHandle, PeerView, SnapshotView, Status, StoreSummary

LOG_LINES_DEFAULT = 100
LOG_LINES_MAX = 1000

METRICS_PIECE_BYTES = 8 * 1024
"""A piece ends with the metric that brings it to this: 1 to 2 ms. One that is kept for each of 64 peers and 20 kinds of
messages takes 13."""

LOG_LINES_PER_PIECE = 200
LOG_BYTES_PER_PIECE = 4 * 1024 * 1024
"""Of entries, which are read as a whole for their checksums: 1 ns for each, and 3 us for a line."""

ROUTES = {
    "GET /kv/?prefix=&from=&limit=&revision=": "list keys",
    "GET /kv/{key}?consistency=linearizable|stale&revision=": "read a value; its revision is the ETag",
    "PUT /kv/{key}": 'write the body; If-Match: "7" or If-None-Match: * make it conditional',
    "DELETE /kv/{key}": "remove a key",
    "POST /v3/kv/range|put|deleterange|txn|compaction": "etcd's v3 API in its JSON form",
    "POST /v3/maintenance/status": "this member, as etcd says it; so do GET /version and GET /health",
    "POST /v3/maintenance/alarm|hash|hashkv|snapshot|transfer-leadership": "as etcd has them; defragment does nothing",
    "POST /v3/cluster/member/list": "all members, as etcd says it",
    "POST /sessions?idle_ms=": "a session: what names it and a number (Raft-Session, Raft-Sequence) is done once",
    "GET /openapi.json": "every route, with what it takes and answers",
    "GET /status": "this node's own view",
    "GET /cluster": "every node as seen from here; what is not heard of is unknown, not dead",
    "GET /members": "who belongs: voters, learners and how far behind they are, who asks to be let in",
    "GET /backup": "the whole state as one file, with every write that was acknowledged before",
    "GET /log?from=&limit=&last=": "index, term and checksum of log entries",
    "GET /stats": "counts of this node: elections, votes, traffic, commit latency, faults",
    "GET /commands": "what this node can be told to do",
    "POST /commands/{name}?node=": "carry a command out, here or on another node",
    "GET /livez": "200 while the process works, whatever the quorum",
    "GET /readyz": "200 while a leader is known, or was three election timeouts ago, and this node has caught up",
    "GET /startupz": "200 once the log was read and the ports are bound",
    "GET /metrics": "Prometheus",
    "GET /events?messages=1": "the live trace as server-sent events; resumes by Last-Event-ID",
}


class OperationsApi:
    """Handlers of everything that only looks."""

    def __init__(self, handle: NodeHandle, metrics: Metrics, stats: Stats | None, slices: Slices) -> None:
        self._handle = handle
        self._metrics = metrics
        self._stats = stats
        self._slices = slices

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [
            web.get("/status", self.status),
            web.get("/cluster", self.cluster),
            web.get("/log", self.log),
            *([web.get("/stats", self.stats)] if self._stats is not None else []),
            *self.watching(),
        ]

    def watching(self) -> list[web.RouteDef]:
        """Those of them that can be had without anything of the store: all that the port for operations has."""
        return [
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
            web.get("/startupz", self.startupz),
            web.get("/metrics", self.metrics),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        """This node's own view."""
        return json_answer(status_body(self._handle.status()))

    async def cluster(self, request: web.Request) -> web.StreamResponse:
        """Every configured node as seen from here."""
        core = self._handle.status().core
        about = {"node": core.name, "cluster_id": core.cluster_id}
        nodes = (json_text(_view_body(view)) for view in self._handle.views())
        pieces = in_pieces(listed(about, "nodes", nodes))
        return await answer_in_pieces(request, pieces, self._slices, JSON_HEADERS)

    async def log(self, request: web.Request) -> web.StreamResponse:
        """A piece of the log, for comparison with another node's, and how far it is at that very moment."""
        query = Query(target_of(request)[2], ("from", "limit", "last"))
        first = query.number("from", 1, low=1)
        limit = query.number("limit", LOG_LINES_DEFAULT, 1, LOG_LINES_MAX)
        last = query.number("last", 0, 1, LOG_LINES_MAX)
        core = self._handle.status().core
        if last:  # whoever follows the end of a log that grows cannot name its indexes
            first, limit = max(first, core.last_index - last + 1), last
        about = _log_about(core)
        lines = self._handle.log(first, limit)
        if CURRENT.get() is ANYBODY and not self._handle.readiness().caught_up:
            lines = _untold(lines, core.applied)
        return await answer_in_pieces(request, _log_pieces(about, lines), self._slices, JSON_HEADERS)

    async def stats(self, _request: web.Request) -> web.Response:
        """Counts since the process started."""
        if self._stats is None:
            raise RuntimeError("the route exists only with stats")
        return json_answer(self._stats.body(self._handle.status().core.role))

    async def livez(self, _request: web.Request) -> web.Response:
        """200 or 503: should this process be restarted?"""
        return _verdict(livez(self._handle.loop_age_us(), self._handle.status().fatal))

    async def readyz(self, _request: web.Request) -> web.Response:
        """200 or 503: should this node get traffic?"""
        return _verdict(ready(self._handle))

    async def startupz(self, _request: web.Request) -> web.Response:
        """200 or 503: has the start come to its end?"""
        return _verdict(startupz(self._handle.status().fatal))

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Prometheus text."""
        pieces = in_pieces(self._metrics.families(), METRICS_PIECE_BYTES)
        return await answer_in_pieces(request, pieces, self._slices, {"Content-Type": CONTENT_TYPE})


def ready(handle: NodeHandle) -> Verdict:
    """Should this node get traffic?"""
    now, core = handle.readiness(), handle.status().core
    return readyz(
        core,
        caught_up=now.caught_up,
        leaderless_us=now.leaderless_us,
        election_timeout_us=now.election_timeout_us,
        leaving=now.leaving,
        disk_silent_us=core.disk_silent_us,
    )


async def index(_request: web.Request) -> web.Response:
    """What there is."""
    return json_answer({"routes": ROUTES})


def status_body(status: Status) -> dict[str, object]:
    """One node's view as flat JSON; durations are milliseconds."""
    core = status.core
    return {
        "name": core.name,
        "incarnation": core.incarnation,
        "cluster_id": core.cluster_id,
        "role": core.role.value,
        "term": core.term,
        "vote": core.vote,
        "leader": core.leader,
        "commit": core.commit,
        "applied": core.applied,
        "durable": core.durable,
        "first_index": core.first_index,
        "last_index": core.last_index,
        "last_term": core.last_term,
        "log_bytes": core.log_bytes,
        "log_limit_bytes": core.log_limit_bytes,
        "deadline_in_ms": _ms(core.deadline_in_us),
        "election_timeout_ms": _ms(core.election_timeout_us),
        "election_due_in_ms": _ms(core.election_due_in_us),
        "transferring_to": core.transferring_to,
        "disk_silent_ms": _ms(core.disk_silent_us),
        "voters": [_member(member) for member in core.voters],
        "learners": [_member(member) for member in core.learners],
        "peers": [_peer(core, peer, peer.name in status.links_up) for peer in core.peers],
        "waiting_for": core.waiting_for,
        "removed": core.removed,
        "boot": status.boot,
        "version": status.version,
        "uptime_ms": _ms(status.uptime_us),
        "time_us": status.time_us,
        "client_url": status.client_url,
        "fatal": status.fatal,
        "leaving": status.leaving,
        "snapshot": _snapshot(status.snapshot),
        "faults": faults_body(status.faults),
        "store": None if status.store is None else _store(status.store),
        "alarms": [{"alarm": alarm.name, "message": alarm.message} for alarm in alarms_of(status)],
    }


def _store(summary: StoreSummary) -> dict[str, int]:
    return {
        "revision": summary.revision,
        "keys": summary.keys,
        "bytes": summary.size_bytes,
        "quota_bytes": summary.quota_bytes,
        "leases": summary.leases,
        "watches": summary.watches,
        "watch_streams": summary.watch_streams,
    }


def _snapshot(view: SnapshotView) -> dict[str, object]:
    sending = [{"peer": to.peer, "bytes": to.bytes_there, "of_bytes": to.size_bytes} for to in view.sending]
    return {
        "index": view.index,
        "bytes": view.size_bytes,
        "taking": view.taking,
        "receiving": view.receiving,
        "restoring": view.restoring,
        "sending": sending,
    }


def _log_about(core: CoreStatus) -> dict[str, object]:
    """How far a log is; `match`, on the leader alone: up to where each peer's is known to equal it."""
    return {
        "role": core.role.value,
        "term": core.term,
        "first_index": core.first_index,
        "last_index": core.last_index,
        "commit": core.commit,
        "applied": core.applied,
        "durable": core.durable,
        "match": {peer.name: peer.match_index for peer in core.peers if peer.progress},
    }


def _untold(lines: Iterable[LogLine], applied: int) -> Iterator[LogLine]:
    """Of a node that has just begun: what it has not applied may put users in force, and what follows may name keys
    that not everybody may see."""
    for line in lines:
        yield line if line.index <= applied else msgspec.structs.replace(line, summary="")


def _log_pieces(about: Mapping[str, object], lines: Iterable[LogLine]) -> Iterator[bytes]:
    """`lines` as JSON; a piece ends after so many of them, or with the entry that makes it heavy."""
    read_bytes = 0

    def rows() -> Iterator[bytes]:
        nonlocal read_bytes
        for line in lines:
            read_bytes += line.size_bytes
            yield json_text(line)

    piece: list[bytes] = []
    for part in listed(about, "entries", rows()):
        piece.append(part)
        if len(piece) >= LOG_LINES_PER_PIECE or read_bytes >= LOG_BYTES_PER_PIECE:
            yield b"".join(piece)
            piece, read_bytes = [], 0
    if piece:
        yield b"".join(piece)


def _peer(core: CoreStatus, peer: PeerStatus, link_up: bool) -> dict[str, object]:
    body: dict[str, object] = {
        "name": peer.name,
        "incarnation": peer.incarnation,
        "last_contact_ms": _ms(peer.contact_age_us),
        "link_up": link_up,
    }
    if peer.progress:
        body |= {
            "progress": peer.progress,
            "match_index": peer.match_index,
            "next_index": peer.next_index,
            "lag_entries": max(0, core.last_index - peer.match_index),
            "inflight_messages": peer.inflight_messages,
            "inflight_bytes": peer.inflight_bytes,
        }
    return body


def _member(member: Member) -> dict[str, str]:
    return {"name": member.name, "incarnation": member.incarnation}


def _view_body(view: PeerView) -> dict[str, object]:
    return {
        "name": view.name,
        "state": "reachable" if view.reachable else "unknown",
        "age_ms": _ms(view.age_us),
        "status": None if view.status is None else status_body(view.status),
    }


def _ms(duration_us: int | None) -> float | None:
    return None if duration_us is None else duration_us / 1000


def _verdict(verdict: Verdict) -> web.Response:
    return json_answer({"ok": verdict.ok, "reason": verdict.reason}, 200 if verdict.ok else 503)
