"""A server that ends forgets nobody, however late the last one dialled."""

import asyncio
import socket

import pytest

from chaos.listeners import HANDED_OVER_TURNS, listen_no_more

ENDED_SECONDS_MAX = 5.0


@pytest.mark.parametrize("turns", range(HANDED_OVER_TURNS + 3))
async def test_who_dialled_so_many_turns_of_the_loop_before_the_end_is_served_or_refused(turns: int) -> None:
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    dialled = socket.create_connection(server.sockets[0].getsockname())  # no turn of the loop passes
    for _ in range(turns):
        await asyncio.sleep(0)
    await listen_no_more(server)
    tasks = [task for task in serving if task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    dialled.setblocking(False)
    with dialled:
        try:
            said = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(dialled, 1), ENDED_SECONDS_MAX)
            assert said == b""
        except ConnectionResetError:
            assert not tasks, "a handler ends a connection in order"


async def test_one_that_is_closed_may_be_closed_again() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    server.close()
    await listen_no_more(server)
