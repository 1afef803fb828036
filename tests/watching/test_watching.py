"""The hub and its streams against a naive model: each watcher gets exactly its events, in order, whatever happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.types import Entry, EntryKind
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Compact, DeleteRange, KeyValue, Put, Txn, encode_write, prefix_end
from node.watching import hub as hub_module
from node.watching import stream as stream_module
from node.watching.events import Response
from node.watching.hub import WatchHub
from node.watching.stream import WatchStream
from tests.statemachine.model import inside
from tests.statemachine.snapshots import restore, snapshot, tidied, write
from tests.statemachine.test_against_a_naive_model import writes
from tests.statemachine.test_history import KeyWrite, Recording

EVERYTHING = 10**9
RANGES = st.sampled_from(
    [(b"a", b""), (b"a", b"b"), (b"a", b"a\0\1"), (b"b", b"\0"), (b"", b"\0"), (b"\xff", b"\0"), (b"q", b"")]
)


class Client:
    """What a client of one stream sees, and what it should have seen."""

    def __init__(self, hub: WatchHub) -> None:
        self.ready = 0
        self.stream = WatchStream(hub, self._on_ready)
        self.answers: list[Response] = []

    def _on_ready(self) -> None:
        self.ready += 1

    def take(self, bytes_max: int = EVERYTHING, work_max: int = EVERYTHING) -> list[Response]:
        said = self.stream.take(bytes_max, work_max)
        self.answers += said
        return said

    def take_all(self) -> list[Response]:
        said = self.take()
        while self.stream.more:
            said += self.take()
        return said

    def events(self, watch_id: int) -> list[tuple[bytes, int, bytes | None]]:
        """Key, revision and value (None: deleted)."""
        told = (event for said in self.answers if said.watch_id == watch_id for event in said.events)
        return [(e.kv.key, e.kv.mod_revision, None if e.is_delete else e.kv.value) for e in told]


def expected(model: Recording, start: bytes, end: bytes, after: int) -> list[tuple[bytes, int, bytes | None]]:
    """All that a watch of that range is to see of the revisions after that one."""
    found = []
    for at in range(after + 1, model.revision + 1):
        for key in model.changed.get(at, ()):
            if inside(key, start or b"\0", end):
                cell = model.history[at].get(key)
                found.append((key, at, cell.value if cell else None))
    return found


@contextmanager
def narrow() -> Iterator[None]:
    """Few recent events, little work in a turn: all that is rare happens often."""
    with (
        patch.object(hub_module, "RECENT_EVENTS_MAX", 3),
        patch.object(hub_module, "BEHIND_REVISIONS_MAX", 4),
        patch.object(stream_module, "RESPONSE_REVISIONS_MAX", 3),
    ):
        yield


steps = st.one_of(
    writes,
    writes,
    st.tuples(st.just("take"), st.integers(0, 3), st.integers(1, 400), st.integers(1, 12)),
    st.tuples(st.just("advance"), st.integers(1, 9)),
    st.tuples(st.just("watch"), RANGES, st.integers(0, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 3)),
    st.tuples(st.just("progress"), st.integers(0, 3)),
    st.sampled_from([("tidy",), ("restore",), ("tick",)]),
)


def _play(given_steps: list[KeyWrite | tuple[object, ...]]) -> None:
    store, model = KeyValueStore(), Recording()
    hub = WatchHub(store)
    clients: list[Client] = []
    watches: list[tuple[Client, bytes, bytes, int]] = []
    cancelled: set[int] = set()
    for step in given_steps:
        match step:
            case ("take", at, bytes_max, work_max) if clients:
                clients[at % len(clients)].take(bytes_max, work_max)  # type: ignore[operator, arg-type]
            case ("advance", work):
                hub.advance(work)  # type: ignore[arg-type]
            case ("watch", (start, end), revision):
                client = Client(hub)
                client.stream.create(start, end, revision, progress=True)  # type: ignore[arg-type]
                clients.append(client)
                watches.append((client, start, end, (revision or hub.revision + 1) - 1))  # type: ignore[arg-type, operator]
            case ("cancel", at) if clients:
                cancelled.add(at % len(clients))  # type: ignore[operator]
                clients[at % len(clients)].stream.cancel(0)  # type: ignore[operator]
            case ("progress", at) if clients:
                clients[at % len(clients)].stream.progress()  # type: ignore[operator]
            case ("tidy",):
                tidied(store)
            case ("tick",):
                hub.tick()
            case ("restore",):
                restore(store, snapshot(store))
            case tuple():
                pass
            case command:
                write(store, command)
                model.apply(command)
    while hub.revision < store.revision or hub._to_tell:
        hub.advance(2)
    for at, (client, start, end, after) in enumerate(watches):
        client.take_all()
        _judge(model, store, client, start, end, after, cancelled=at in cancelled)


def _judge(
    model: Recording, store: KeyValueStore, client: Client, start: bytes, end: bytes, after: int, *, cancelled: bool
) -> None:
    told, wanted = client.events(0), expected(model, start, end, after)
    gone = [said for said in client.answers if said.compact_revision]
    if gone or cancelled:
        assert told == wanted[: len(told)]
        if gone:
            next_untold = wanted[len(told)][1] if len(told) < len(wanted) else 10**9
            assert after + 1 < model.compacted or next_untold < model.compacted
    else:
        assert told == wanted
    seen = after
    for said in client.answers:
        if said.events:
            revisions = [event.kv.mod_revision for event in said.events]
            assert revisions[0] > seen, "a revision was split, or told twice"
            assert revisions[-1] <= said.revision
            seen = said.revision
        elif not (said.created or said.canceled):
            assert not [at for _, at, _ in wanted[len(_before(client, said)) :] if at <= said.revision], "too early"


def _before(client: Client, said: Response) -> list[object]:
    """Events that were told before that answer."""
    at = next(i for i, each in enumerate(client.answers) if each is said)
    return [event for each in client.answers[:at] for event in each.events]


def hub_of(*commands: KeyWrite) -> tuple[KeyValueStore, WatchHub, Client]:
    store = KeyValueStore()
    write(store, *commands)
    hub = WatchHub(store)
    return store, hub, Client(hub)


def said_of(answers: list[Response]) -> list[tuple[object, ...]]:
    """Id, what it is, and revision."""
    return [
        (a.watch_id, a.created, a.canceled, a.cancel_reason, a.compact_revision, len(a.events), a.revision)
        for a in answers
    ]


def test_ids_are_chosen_by_the_stream_or_the_client_as_in_etcd() -> None:
    _, _, client = hub_of()
    client.stream.create(b"a", watch_id=1)
    client.stream.create(b"a")
    client.stream.create(b"a")
    client.stream.create(b"a", watch_id=1)
    client.stream.create(b"b", b"a")
    client.stream.create(b"b", revision=-3)
    assert [(a.watch_id, a.canceled, a.cancel_reason) for a in client.take_all()] == [
        (1, False, ""),
        (0, False, ""),
        (2, False, ""),
        (-1, True, "mvcc: duplicate watch ID provided on the WatchStream"),
        (-1, True, "mvcc: watcher range is empty"),
        (-1, True, "etcdserver: mvcc: required revision has been compacted"),
    ]


def test_a_watch_at_the_compacted_revision_sees_the_delete_and_one_below_is_told() -> None:
    _, _, client = hub_of(Put(b"a", b"1"), DeleteRange(b"a"), Put(b"b", b"1"), Compact(3))
    client.stream.create(b"a", revision=3, prev_kv=True)
    client.stream.create(b"a", revision=2)
    assert said_of(client.take_all()) == [
        (0, True, False, "", 0, 0, 4),
        (1, True, False, "", 0, 0, 4),
        (0, False, False, "", 0, 1, 4),
        (1, False, True, "", 3, 0, 0),
    ]
    (event,) = client.answers[2].events
    assert (event.is_delete, event.previous) == (True, None)


def test_an_idle_watch_outlives_the_compaction_of_all_that_it_has_passed() -> None:
    with narrow():
        store, hub, client = hub_of(Put(b"a", b"1"))
        client.stream.create(b"a")
        client.take_all()
        for number in range(40):
            write(store, Put(b"b", b"%d" % number))
            hub.advance()
        write(store, Compact(store.revision))
        tidied(store)
        write(store, Txn((), tuple(Put(key, b"x") for key in (b"a", b"b", b"c", b"d")), ()))
        hub.advance()
        restore(store, snapshot(store))
        for key in (b"b", b"c", b"d", b"e", b"f"):
            write(store, Put(key, b"y"))
        hub.advance()
        client.take_all()
    assert client.events(0) == [(b"a", 43, b"x")]
    assert not any(said.canceled for said in client.answers)


def test_filters_and_the_version_before() -> None:
    store, hub, client = hub_of(Put(b"a", b"1"))
    client.stream.create(b"a", no_put=True)
    client.stream.create(b"a", no_delete=True, prev_kv=True)
    write(store, Put(b"a", b"2"), DeleteRange(b"a"))
    hub.advance()
    client.take_all()
    assert client.events(0) == [(b"a", 4, None)]
    assert client.events(1) == [(b"a", 3, b"2")]
    (event,) = client.answers[-1].events
    assert isinstance(event.previous, KeyValue)
    assert event.previous.value == b"1"


def test_all_watchers_of_a_write_share_its_event() -> None:
    store, hub, client = hub_of()
    others = [Client(hub) for _ in range(3)]
    for each, (start, end) in zip(
        [client, *others], [(b"a", b""), (b"a", b"b"), (b"a", b"b"), (b"", b"\0")], strict=True
    ):
        each.stream.create(start, end)
        each.take_all()
    write(store, Put(b"a", b"1"))
    hub.advance()
    assert len({id(each.take_all()[0].events[0]) for each in [client, *others]}) == 1


def test_progress_waits_until_every_watch_of_the_stream_has_caught_up() -> None:
    store, _, client = hub_of(*(Put(b"a", b"%d" % number) for number in range(50)))
    client.stream.create(b"a", revision=2)
    client.stream.create(b"b")
    client.stream.progress()
    said = client.take(EVERYTHING, 20)
    assert not any(a.watch_id == -1 for a in said)
    said = client.take_all()
    assert (said[-1].watch_id, said[-1].revision, said[-1].events) == (-1, 51, ())
    write(store, Put(b"a", b"x"))
    client.stream.progress()
    assert client.take_all()[-1].revision == 51, "what the hub has not seen yet is not passed"


def test_progress_comes_by_itself_to_those_who_want_it_and_heard_nothing() -> None:
    store, hub, client = hub_of()
    client.stream.create(b"a", progress=True)
    client.stream.create(b"b")
    client.take_all()
    heard = []
    for round_number in range(3):
        if round_number == 1:
            write(store, Put(b"a", b"1"))
            hub.advance()
            client.take_all()
        for _ in range(hub_module.TICK_PARTS):
            hub.tick()
        heard.append(said_of(client.take_all()))
    assert heard == [[(0, False, False, "", 0, 0, 1)], [], [(0, False, False, "", 0, 0, 2)]]


def test_a_long_response_comes_in_fragments_where_the_client_takes_them() -> None:
    value = b"x" * (700 * 1024)
    store, hub, client = hub_of()
    client.stream.create(b"a", b"b", fragment=True)
    client.stream.create(b"a", b"b")
    write(store, Txn((), tuple(Put(b"a%d" % number, value) for number in range(5)), ()))
    hub.advance()
    said = [(a.watch_id, a.fragment, len(a.events)) for a in client.take_all() if a.events]
    assert said == [(0, True, 2), (0, True, 2), (0, False, 1), (1, False, 5)]


def test_a_client_that_does_not_read_costs_nothing_and_misses_nothing() -> None:
    with narrow():
        store, hub, client = hub_of()
        client.stream.create(b"a", b"b")
        client.take_all()
        for number in range(100):
            write(store, Put(b"a", b"%d" % number))
            hub.advance()
    assert client.ready == 2
    assert hub._recent_events <= 3
    client.take_all()
    assert [at for _, at, _ in client.events(0)] == [*range(2, 102)]
    assert hub.fell_behind == 1


def test_streams_end_without_a_leader_where_the_client_asked_for_it() -> None:
    _, hub, client = hub_of()
    other = WatchStream(hub, lambda: None, needs_leader=True)
    hub.no_leader()
    assert (client.stream.ended, other.ended) == ("", "etcdserver: no leader")
    hub.stop()
    assert client.stream.ended == "etcdserver: server stopped"


def test_nothing_is_left_of_streams_that_closed() -> None:
    store, hub, client = hub_of()
    client.stream.create(b"a", prefix_end(b"a"))
    client.stream.create(b"b")
    client.stream.create(b"c", b"\0")
    write(store, Put(b"a", b"1"))
    hub.advance()
    client.stream.close()
    assert (hub.watches, len(hub.streams), bool(hub.interests)) == (0, 0, False)
    assert not any((hub.interests._prefixes, hub.interests._exact, hub.interests._ranges))
    write(store, Put(b"a", b"2"))
    hub.advance()
    assert hub.revision == 3


def test_one_turn_does_a_bounded_part_however_much_was_applied() -> None:
    store, hub, client = hub_of(Txn((), tuple(Put(b"a%d" % number, b"") for number in range(100)), ()))
    client.stream.create(b"a", b"b")
    woken = []
    hub._wake = lambda: woken.append(1)
    write(store, DeleteRange(b"a", b"b"))
    hub.advance(30)
    assert (hub.revision, len(woken)) == (2, 1)
    assert not client.take_all()[1:]
    while hub.revision < 3 or hub._to_tell:
        hub.advance(30)
    assert 3 <= len(woken) <= 20
    assert len(client.take_all()[0].events) == 100


def test_a_watch_that_begins_in_the_middle_of_a_revision_misses_nothing_of_it() -> None:
    store, hub, client = hub_of(*(Put(b"a%d" % number, b"") for number in range(20)))
    client.stream.create(b"a", b"b")
    client.take_all()
    write(store, DeleteRange(b"a", b"b"))
    hub.advance(10)
    late = Client(hub)
    late.stream.create(b"a", b"\0")
    while hub.revision < store.revision or hub._to_tell:
        hub.advance(10)
    late.take_all()
    assert [key for key, _, _ in late.events(0)] == sorted(b"a%d" % number for number in range(20))


def test_the_version_before_is_told_where_it_is_the_oldest_that_is_kept() -> None:
    store, _, client = hub_of(Put(b"a", b"1"), Put(b"a", b"2"), Put(b"a", b"3"), Compact(3))
    client.stream.create(b"a", revision=3, prev_kv=True)
    told = [(event.kv.value, event.previous and event.previous.value) for event in client.take_all()[1].events]
    assert told == [(b"2", None), (b"3", b"2")]
    assert store.compact_revision == 3


def test_of_two_changes_of_a_key_in_one_revision_the_last_is_told_once() -> None:
    store, hub, client = hub_of(Put(b"a", b"0"))
    client.stream.create(b"a")
    client.stream.create(b"a", revision=2)
    write(store, Txn((), (Put(b"a", b"1"), DeleteRange(b"a", b"\0")), ()))
    hub.advance()
    client.take_all()
    assert client.events(0) == [(b"a", 3, None)]
    assert client.events(1) == [(b"a", 2, b"0"), (b"a", 3, None)]


def test_after_a_jump_as_by_a_restore_everybody_reads_on_from_the_history() -> None:
    store, hub, client = hub_of()
    client.stream.create(b"a")
    client.take_all()
    with narrow():
        write(store, *(Put(b"a", b"%d" % number) for number in range(20)))
        restore(store, snapshot(store))
        hub.advance()
    assert client.ready == 2
    client.take_all()
    assert [at for _, at, _ in client.events(0)] == [*range(2, 22)]


def test_progress_by_itself_does_not_come_while_there_are_events_to_tell() -> None:
    _, hub, client = hub_of(*(Put(b"a", b"%d" % number) for number in range(50)))
    client.stream.create(b"a", revision=2, progress=True)
    client.take(EVERYTHING, 20)
    for _ in range(2 * hub_module.TICK_PARTS):
        hub.tick()
    assert all(said.events for said in client.take(EVERYTHING, 20))
    client.take_all()
    assert [at for _, at, _ in client.events(0)] == [*range(2, 52)]


def test_a_key_that_is_itself_a_prefix_is_told_once_to_those_who_watch_it() -> None:
    store, hub, client = hub_of()
    for prefix in (b"ab", b"abcde", b"a"):
        client.stream.create(prefix, prefix_end(prefix))
    client.stream.create(b"ab")
    client.stream.create(b"aa", b"ac")
    client.take_all()
    write(store, Put(b"ab", b"1"))
    hub.advance()
    client.take_all()
    assert [len(client.events(watch_id)) for watch_id in range(5)] == [1, 0, 1, 1, 1]


@given(st.lists(steps, max_size=50))
@settings(max_examples=100, deadline=None)
def test_each_watch_gets_its_events_and_no_others_in_order(given_steps: list[KeyWrite | tuple[object, ...]]) -> None:
    with narrow():
        _play(given_steps)


def test_answers_to_requests_are_taken_so_many_at_once_in_their_order_and_before_all_events() -> None:
    store = KeyValueStore()
    client = Client(WatchHub(store))
    for number in range(2 * stream_module.SAID_AT_ONCE_MAX + 10):
        client.stream.create(b"a", watch_id=number + 1)
    store.apply([Entry(1, 1, EntryKind.WRITE, encode_write(Put(b"a", b"v")))])
    client.stream.hub.advance()
    for first in (0, stream_module.SAID_AT_ONCE_MAX):
        said = client.take()
        assert [each.watch_id for each in said] == list(range(first + 1, first + stream_module.SAID_AT_ONCE_MAX + 1))
        assert client.stream.more
    said = client.take_all()
    assert [each.created for each in said[:10]] == [True] * 10
    assert len(client.events(1)) == len(client.events(2 * stream_module.SAID_AT_ONCE_MAX + 10)) == 1
