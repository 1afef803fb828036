"""The blocking face of the client: the same calls and errors, from threads that have no event loop."""

import asyncio
import inspect
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from node.statemachine.writes import LeaseRevoke
from raftclient import (
    Change,
    Election,
    Leader,
    LeaseLost,
    Lock,
    NotDone,
    OutcomeUnknown,
    RevisionMismatch,
    Value,
    leases,
    threads,
)
from raftclient import RaftClient as Awaited
from raftclient.blocking import RaftClient
from tests.api.double import Server, serving
from tests.client.breaking import DONE, Breaking, answer, breaking, problem

_T = TypeVar("_T")
SAID_AT_5 = b'id: 5\nevent: put\ndata: {"key_base64":"aw==","value_base64":"djE=","revision":5}\n\n'
VALUE = b'HTTP/1.1 200 OK\r\nETag: "9"\r\nContent-Length: 2\r\n\r\nhi'


def public(kind: type) -> dict[str, list[str]]:
    return {
        name: [] if isinstance(value, property) else list(inspect.signature(value).parameters)
        for name, value in vars(kind).items()
        if not name.startswith("_")
    }


def test_it_has_every_call_of_the_other_face_with_the_same_arguments() -> None:
    blocking, awaited = public(RaftClient), public(Awaited)
    assert {name: blocking[name] for name in awaited} == awaited
    counters = {name for name, value in vars(RaftClient).items() if isinstance(value, property)}
    assert counters <= vars(Awaited(["http://127.0.0.1:1"])).keys()
    assert set(blocking) == set(awaited) | counters


@pytest.mark.parametrize(("blocking", "awaited"), [(threads.Lock, Lock), (threads.Election, Election)])
def test_what_is_held_has_every_call_of_the_other_face_with_the_same_arguments(blocking: type, awaited: type) -> None:
    mine = public(blocking)
    inherited = {name for base in blocking.__mro__ for name in vars(base) if not name.startswith("_")}
    assert {name: mine[name] for name in public(awaited) if name in mine} == {
        name: parameters for name, parameters in public(awaited).items() if name in mine
    }
    assert public(awaited).keys() - inherited == {"lost"}, "an event that is there once it is made"


async def aside(work: Callable[[], _T]) -> _T:
    """In a thread that is gone afterwards."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


async def in_a_thread(server: Breaking, use: Callable[[RaftClient], _T], **options: Any) -> _T:
    def work() -> _T:
        with RaftClient([server.url], **options) as client:
            return use(client)

    return await aside(work)


async def test_calls_wait_for_their_answers_and_count_them() -> None:
    def use(client: RaftClient) -> list[object]:
        done: list[object] = [client.put("k", "v"), client.compare_and_set("k", "v", 3), client.delete("k")]
        return [*done, client.status(), client.attempts, client.retries, client.longest_stall_s > 0]

    async with breaking(DONE, status={"role": "leader", "term": 1}) as server:
        got = await in_a_thread(server, use)
        assert got == [7, 7, 7, {server.url: {"role": "leader", "term": 1}}, 3, 0, True]
        assert server.requests == ["PUT /kv/k", "PUT /kv/k", "DELETE /kv/k"]
    async with breaking(VALUE) as server:
        assert await in_a_thread(server, lambda client: client.get("k")) == Value(b"hi", 9)


async def test_changes_that_the_collector_ends_in_the_clients_thread_hold_it_up_for_nothing() -> None:
    """A loop that was left in the middle may be in a cycle, which any thread may come upon."""
    said = b"id: 4\nevent: watching\ndata: {}\n\n" + SAID_AT_5

    def use(client: RaftClient) -> int:
        changes = client.watch("k", 5)
        next(changes)
        assert client._loop is not None
        ended: Future[None] = Future()
        client._loop.call_soon_threadsafe(lambda: ended.set_result(changes.close()))  # type: ignore[attr-defined]
        ended.result(5.0)
        return client.put("k", "v")

    async with breaking(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + said, DONE) as server:
        assert await in_a_thread(server, use) == 7


async def test_changes_are_followed_until_the_loop_is_left() -> None:
    event = 'event: put\ndata: {"key_base64":"aw==","value_base64":"djE=","revision":%d}\n\n'
    said = "".join(f"id: {revision}\n{event % revision}" for revision in (5, 6)).encode()
    stream = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nid: 4\nevent: watching\ndata: {}\n\n" + said

    def use(client: RaftClient) -> list[Change]:
        changes = client.watch("k", 5)
        got = [next(changes), next(changes)]
        changes.close()  # type: ignore[attr-defined]  # it is a generator
        return got

    async with breaking(stream) as server:
        assert await in_a_thread(server, use) == [Change(b"k", b"v1", 5), Change(b"k", b"v1", 6)]
        assert server.requests == ["GET /kv/"]


async def test_errors_are_those_of_the_other_face() -> None:
    mismatch = problem(412, "revision-mismatch", "a sentence", revision=4)
    for said, error in ((problem(400, "malformed"), NotDone), (mismatch, RevisionMismatch)):
        async with breaking(said) as server:
            with pytest.raises(error):
                await in_a_thread(server, lambda client: client.compare_and_set("k", "v", 1))
    async with breaking(...) as server:
        with pytest.raises(OutcomeUnknown):
            await in_a_thread(server, lambda client: client.put("k", "v"), timeout_s=0.5, exactly_once=False)
    with pytest.raises(TypeError, match="endpoints"):
        RaftClient("http://127.0.0.1:8001")


async def test_many_threads_share_one_client() -> None:
    def use(client: RaftClient) -> set[int]:
        got: list[int] = []
        started = [threading.Thread(target=lambda: got.append(client.put("k", "v"))) for _ in range(20)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        assert len(got) == 20
        return set(got)

    async with breaking(answer(200, {"revision": 7}, 'ETag: "7"')) as server:
        assert await in_a_thread(server, use) == {7}


async def test_a_call_under_way_when_it_is_closed_is_unknown_and_later_calls_are_refused() -> None:
    async with breaking(...) as server:

        def work() -> tuple[list[BaseException], float]:
            failed: list[BaseException] = []

            def call() -> None:
                try:
                    client.put("k", "v")
                except BaseException as error:
                    failed.append(error)

            with RaftClient([server.url], exactly_once=False) as client:
                thread = threading.Thread(target=call)
                thread.start()
                asked.wait()
            began = time.monotonic()
            thread.join()
            with pytest.raises(RuntimeError, match="is not open"):
                client.get("k")
            return failed, time.monotonic() - began

        asked = threading.Event()
        working = asyncio.create_task(aside(work))
        while not server.requests:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)
        asked.set()
        failed, took_s = await working
        assert [type(error) for error in failed] == [OutcomeUnknown]
        assert took_s < 2.0


def test_ctrl_c_ends_a_call_and_the_client_can_be_used_again() -> None:
    """The main thread waits in a call, as programs do; the server has a thread of its own."""
    served, ended, urls = threading.Event(), threading.Event(), list[str]()

    async def serve() -> None:
        async with breaking(..., DONE) as server:
            urls.append(server.url)
            served.set()
            while not server.requests:  # noqa: ASYNC110 - the server has no event
                await asyncio.sleep(0.01)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await asyncio.to_thread(ended.wait, 20.0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    served.wait()
    with RaftClient(urls, timeout_s=15.0, exactly_once=False) as client:
        with pytest.raises(KeyboardInterrupt):
            client.put("k", "v")
        assert client.put("k", "v") == 7
    ended.set()
    thread.join()


def test_ctrl_c_ends_it_while_it_is_opened() -> None:
    """Its nodes take connections, and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        main, asked = threading.main_thread().ident or 0, threading.Event()

        def interrupt() -> None:
            with silent.accept()[0] as one:
                one.recv(1)
                signal.pthread_kill(main, signal.SIGINT)
                asked.set()
                while one.recv(65536):
                    pass

        thread = threading.Thread(target=interrupt)
        thread.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt), RaftClient([f"http://127.0.0.1:{silent.getsockname()[1]}"]):
            pass
        thread.join()
        assert asked.is_set()
        assert time.monotonic() - began < 10
    assert [one for one in threading.enumerate() if one.name == "raftclient"] == []


def test_a_lock_and_an_election_are_held_by_threads_and_tell_of_their_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEATS_PER_TTL", 40)
    with node_aside() as (url, do), RaftClient([url]) as one, RaftClient([url]) as two:
        with one.lock("q", ttl_s=2) as lock:
            lock.check()
            assert (lock.alive, lock.lost.is_set(), lock.key.startswith(b"q/")) == (True, False, True)
            with pytest.raises(TimeoutError, match="others were before"):
                two.lock("q", wait_s=0.1).__enter__()
            do(lambda server: server.node.do(LeaseRevoke(int(lock.key[2:], 16))))
            assert lock.lost.wait(1.5)
            with pytest.raises(LeaseLost):
                lock.check()
        with two.lock("q") as later:
            assert later.token > lock.token
            assert later.revision >= later.token
        with one.election("chief") as election:
            election.campaign("a")
            observing = two.election("chief").observe()
            assert next(observing).value == b"a"
            said = election.proclaim("b")
            assert next(observing) == Leader(election.key, b"b", election.token, said)
            observing.close()  # type: ignore[attr-defined]  # it is a generator
            election.resign()
            assert not election.alive
            assert election.lost.wait(1.5)
        assert do(lambda server: server.node.store.lease_count) == 0


def test_two_threads_count_and_no_count_is_lost() -> None:
    with node_aside() as (url, _do), RaftClient([url]) as client:

        def count() -> None:
            for _ in range(20):
                with client.lock("counting"):
                    found = client.get("count")
                    client.put("count", str(int(found.value) + 1 if found else 1))

        started = [threading.Thread(target=count) for _ in range(2)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        found = client.get("count")
        assert found is not None
        assert found.value == b"40"


def test_ctrl_c_leaves_the_queue_before_it_is_raised() -> None:
    with node_aside() as (url, do), RaftClient([url]) as one, RaftClient([url]) as two, one.lock("q"):

        def press() -> None:
            while do(lambda server: server.node.store.key_count) < 2:
                time.sleep(0.01)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            two.lock("q").__enter__()
        assert do(lambda server: server.node.store.key_count) == 1
        assert do(lambda server: server.node.store.lease_count) == 1
        thread.join()


@contextmanager
def node_aside() -> Iterator[tuple[str, Callable[[Callable[[Server], Any]], Any]]]:
    """A node in a thread of its own: its URL, and how something is done with it there."""
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, Server]] = Future()

    async def live() -> None:
        async with serving() as server:
            ended = asyncio.Event()
            begun.set_result((asyncio.get_running_loop(), ended, server))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    loop, ended, server = begun.result(10.0)

    def do(what: Callable[[Server], Any]) -> Any:
        async def doing() -> Any:
            return what(server)

        return asyncio.run_coroutine_threadsafe(doing(), loop).result(10.0)

    try:
        yield server.url, do
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
