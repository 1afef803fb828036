"""The blocking face of the client: the same calls and errors, from threads that have no event loop."""

import asyncio
import inspect
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from raftclient import Change, NotDone, OutcomeUnknown, RevisionMismatch, Value
from raftclient import RaftClient as Awaited
from raftclient.blocking import RaftClient
from tests.client.breaking import DONE, Breaking, answer, breaking, problem

_T = TypeVar("_T")
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
        threads = [threading.Thread(target=lambda: got.append(client.put("k", "v"))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
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
