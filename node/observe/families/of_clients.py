"""Metrics of those who are served: sessions, watches, connections, bodies, HTTP/2, TLS, tokens."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from node.observe.families.making import counter, gauge, single
from node.observe.families.views import (
    AccessView,
    BodiesView,
    ClientsView,
    Http2View,
    SessionsView,
    TlsView,
    WatchesView,
)


def session_metrics(sessions: SessionsView) -> Iterator[Metric]:
    yield gauge("raft_sessions", "Sessions of clients.", len(sessions))
    yield gauge("raft_sessions_bytes", "Size of all sessions, with the answers that they keep.", sessions.size_bytes)
    ended: dict[tuple[str, ...], int] = {("idle",): sessions.expired, ("room",): sessions.evicted}
    yield counter("raft_sessions_ended", "Sessions forgotten: idle for too long, or to make room.", ["why"], ended)
    repeats: dict[tuple[str, ...], int] = {(): sessions.repeats}
    yield counter("raft_writes_repeated", "Writes in a session that came again, and were not done again.", [], repeats)


def watch_metrics(watches: WatchesView) -> Iterator[Metric]:
    yield gauge("raft_watches", "Watches of clients.", watches.watches)
    yield gauge("raft_watch_streams", "Streams of clients that watch.", len(watches.streams))
    sent: dict[tuple[str, ...], int] = {(): watches.events_sent}
    yield counter("raft_watch_events_sent", "Events told to watches.", [], sent)
    behind: dict[tuple[str, ...], int] = {(): watches.fell_behind}
    yield counter("raft_watches_fell_behind", "Watches that were too slow, and had to read the history.", [], behind)
    refused: dict[tuple[str, ...], int] = {(): watches.refused}
    told = (
        "Watches that were refused: their client, or all, have as many as there may be, or too many different ranges."
    )
    yield counter("raft_watches_refused", told, [], refused)


def clients_metrics(clients: ClientsView) -> Iterator[Metric]:
    yield gauge("raft_clients", "Connections of clients.", clients.count)
    yield gauge("raft_clients_limit", "Connections of clients that there may be.", clients.most)
    idle: dict[tuple[str, ...], int] = {(): clients.made_room}
    refused: dict[tuple[str, ...], int] = {(): clients.refused}
    yield counter("raft_clients_closed_for_others", "Idle connections closed for new ones.", [], idle)
    yield counter("raft_clients_refused", "Connections refused: none was idle.", [], refused)
    over: dict[tuple[str, ...], int] = {(): clients.over_share}
    yield counter("raft_clients_over_share", "Of those, whose client had three quarters of all.", [], over)
    slow: dict[tuple[str, ...], int] = {(why,): count for why, count in clients.given_up.items()}
    yield counter("raft_clients_given_up", "Connections ended: too slow with what they sent or took.", ["why"], slow)
    yield from bodies_metrics(clients.bodies)


def bodies_metrics(bodies: BodiesView) -> Iterator[Metric]:
    yield gauge("raft_bodies_held_bytes", "Long bodies of requests that are held, or on their way.", bodies.held_bytes)
    waited: dict[tuple[str, ...], int] = {(): bodies.waited}
    yield counter("raft_bodies_waited", "Long bodies that waited for room, before they were read.", [], waited)
    refused: dict[tuple[str, ...], int] = {(): bodies.refused}
    yield counter("raft_bodies_refused", "Of those, for which there was no room in time: 503.", [], refused)


def http2_metrics(http2: Http2View) -> Iterator[Metric]:
    yield gauge("raft_http2_connections", "Connections of clients that speak HTTP/2.", http2.connections)
    yield gauge("raft_http2_streams", "Requests and streams of gRPC that are open.", http2.streams)
    held = "Bytes held for clients of HTTP/2: requests that are not whole, answers that they do not take."
    yield gauge("raft_http2_held_bytes", held, http2.held_bytes)
    begun: dict[tuple[str, ...], int] = {(): http2.requests}
    refused: dict[tuple[str, ...], int] = {(): http2.refused}
    yield counter("raft_http2_requests", "Requests that began over HTTP/2.", [], begun)
    yield counter("raft_http2_refused", "Requests over HTTP/2 that were not begun: too much at once.", [], refused)
    over: dict[tuple[str, ...], int] = {(): http2.over_share}
    waited: dict[tuple[str, ...], int] = {(): http2.waited}
    unread = "Connections of HTTP/2 left unread until other calls of their client were done."
    yield counter("raft_http2_waited", unread, [], waited)
    yield counter("raft_http2_over_share", "Of those, whose client had its share: code 8.", [], over)
    yield counter(
        "raft_http2_faults",
        "Streams and connections of HTTP/2 that were ended for what their client did.",
        ["why"],
        single(dict(http2.faults)),
    )


def tls_metrics(tls: TlsView) -> Iterator[Metric]:
    expiry = GaugeMetricFamily(
        "raft_tls_certificate_expiry_timestamp_seconds",
        "When the certificate in force ends, seconds since the epoch.",
        labels=["for"],
    )
    for purpose, certificate in tls.certificates.items():
        expiry.add_metric([purpose], certificate.not_after_s)
    yield expiry
    yield counter("raft_tls_handshakes", "Connections that came with TLS.", ["port"], single(dict(tls.handshakes)))
    plain = "Connections that came without TLS where both are accepted."
    yield counter("raft_tls_plain_connections", plain, ["port"], single(dict(tls.plain)))
    refused: dict[tuple[str, ...], int] = {(port, reason): count for (port, reason), count in tls.refused.items()}
    why = "Connections not let in: their handshake failed, or their certificate does not prove their name."
    yield counter("raft_tls_handshakes_refused", why, ["port", "why"], refused)
    reloads: dict[tuple[str, ...], int] = {(of, result): count for (of, result), count in tls.reloads.items()}
    what = "New files of certificates: taken, or refused while the old ones stay in force."
    yield counter("raft_tls_reloads", what, ["for", "result"], reloads)


def access_metrics(access: AccessView) -> Iterator[Metric]:
    yield gauge("raft_tokens", "Tokens in force; 0: none is asked for.", access.tokens)
    why = "Requests refused: nobody had their token (unauthenticated), or its holder lacks the role (denied)."
    yield counter("raft_access_refused", why, ["why"], single(dict(access.refusals)))
    failed: dict[tuple[str, ...], int] = {(): access.logins_failed}
    yield counter("raft_logins_failed", "Names and passwords of users that did not fit, at any door.", [], failed)
    audited: dict[tuple[str, ...], int] = {
        (needs, outcome): count for (needs, outcome), count in access.audited.items()
    }
    done = "What operators did, and writes where they are audited, by the role that was needed and outcome."
    yield counter("raft_audited", done, ["needs", "outcome"], audited)
    what = "New files of tokens: taken, or refused while the old one stays in force."
    yield counter("raft_tokens_reloads", what, ["result"], single(dict(access.reloads)))
