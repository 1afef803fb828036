"""Host names of the client: a name server that is silent takes no node away, and one that answers is believed."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from raftclient import RaftClient, names
from raftclient.names import SILENT_SECONDS, TRIES_MAX, TRY_AGAIN_SECONDS, Addresses, Names
from tests.client.breaking import DONE, breaking

NO_SUCH_HOST = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
TRY_AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
FIRST, SECOND = "10.0.0.1", "10.0.0.2"
STOOD_STILL_SECONDS_MAX = 5.0
"""What this machine may take away; a look-up that is waited for takes thirty."""
TIMEOUT_SECONDS = 20.0


class NameServer:
    """What each look-up answers next; `silent` ones end when the test does, and then without an answer."""

    def __init__(self, address: str = FIRST) -> None:
        self.address = address
        self.failure: OSError | None = None
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.over = threading.Event()

    def look_up(self, host: str) -> Addresses:
        self.asked.append(host)
        if host in self.silent:
            self.over.wait(30)
            raise TRY_AGAIN
        if self.failure is not None:
            raise self.failure
        return [(socket.AF_INET, self.address)]

    async def was_asked(self, host: str, times: int) -> None:
        async with asyncio.timeout(10):
            while self.asked.count(host) < times:  # noqa: ASYNC110 - another thread's list has no event to await
                await asyncio.sleep(0.01)


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.over.set()


async def found(resolver: Names, host: str = "n1") -> list[str]:
    return [one["host"] for one in await resolver.resolve(host, 8001)]


async def test_a_silent_name_server_takes_no_address_away(server: NameServer) -> None:
    resolver = Names(server.look_up)
    assert await found(resolver) == [FIRST]
    server.silent.add("n1")
    began = time.monotonic()
    assert await found(resolver) == [FIRST]
    assert time.monotonic() - began < SILENT_SECONDS + STOOD_STILL_SECONDS_MAX


async def test_a_failure_that_may_pass_takes_no_address_away_and_one_that_will_not_does(server: NameServer) -> None:
    resolver = Names(server.look_up)
    assert await found(resolver) == [FIRST]
    server.failure = TRY_AGAIN
    assert await found(resolver) == [FIRST]
    server.failure = NO_SUCH_HOST
    for failure in (NO_SUCH_HOST, TRY_AGAIN):  # and it is forgotten
        server.failure = failure
        with pytest.raises(socket.gaierror) as caught:
            await found(resolver)
        assert caught.value.errno == failure.errno


async def test_a_name_server_that_answers_is_believed_each_time(server: NameServer) -> None:
    resolver = Names(server.look_up)
    assert await found(resolver) == [FIRST]
    server.address = SECOND
    assert await found(resolver) == [SECOND]


async def test_last_addresses_are_forgotten(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "KEPT_SECONDS", 0.0)
    resolver = Names(server.look_up)
    assert await found(resolver) == [FIRST]
    server.failure = TRY_AGAIN
    with pytest.raises(socket.gaierror):
        await found(resolver)


async def test_look_ups_that_hang_are_few_delay_no_other_host_and_are_given_up_for_one_that_answers(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "TRY_AGAIN_SECONDS", 0.02)
    resolver = Names(server.look_up)
    server.silent.add("n1")
    waiting = [asyncio.create_task(found(resolver)) for _ in range(50)]
    await server.was_asked("n1", TRIES_MAX)
    await asyncio.wait(waiting, timeout=5 * names.TRY_AGAIN_SECONDS)
    assert server.asked.count("n1") == TRIES_MAX
    assert await found(resolver, "n2") == [FIRST]
    for task in waiting[1:]:
        task.cancel()
    await asyncio.wait(waiting[1:])
    await resolver.close()
    with pytest.raises(OSError, match="the client was closed"):
        await waiting[0]


async def test_where_the_system_gives_no_thread_it_is_an_error_of_the_network_and_tried_again(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = Names(server.look_up)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        with pytest.raises(OSError, match="n1 was not looked up: can't start new thread"):
            await found(resolver)
    assert await found(resolver) == [FIRST]


async def test_another_look_up_beside_one_that_hangs_is_enough(server: NameServer) -> None:
    resolver = Names(server.look_up)
    server.silent.add("n1")
    waiting = asyncio.create_task(found(resolver))
    await server.was_asked("n1", 1)
    server.silent.clear()  # the next packet goes to another name server
    began = time.monotonic()
    assert await waiting == [FIRST]
    assert time.monotonic() - began < TRY_AGAIN_SECONDS + STOOD_STILL_SECONDS_MAX
    assert len(server.asked) == 2


async def test_a_client_goes_on_at_another_node_though_no_name_server_answers_any_more(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "numeric_addresses", server.look_up)
    server.address = "127.0.0.1"
    async with breaking(DONE, b"") as dies, breaking() as other:
        urls = [one.url.replace("127.0.0.1", host) for host, one in (("n1.test", dies), ("n2.test", other))]
        async with RaftClient(urls, timeout_s=TIMEOUT_SECONDS) as client:
            await client.put("k", "1")
            server.silent |= {"n1.test", "n2.test"}
            await client.put("k", "2")
            assert other.requests == ["PUT /kv/k"]
            assert client.longest_stall_s < TIMEOUT_SECONDS / 2


def test_a_look_up_that_hangs_keeps_no_process() -> None:
    program = (
        "import asyncio, socket, time\n"
        "socket.getaddrinfo = lambda *_, **__: time.sleep(60)\n"
        "from raftclient import RaftClient\n"
        "async def main():\n"
        "    async with RaftClient(['http://n1.test:8001'], timeout_s=0.3) as client:\n"
        "        try:\n"
        "            await client.get('k')\n"
        "        except Exception as error:\n"
        "            print(type(error).__name__)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "NotDone", "")
