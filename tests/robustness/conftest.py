"""Google's client has a thread for all channels of a process, which ends with the last: here it stays for all tests."""

import asyncio
from collections.abc import Iterator

import grpc
import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread_of_the_client() -> Iterator[None]:
    asyncio.run(_begin())  # whatever tests were before: it asks for a loop
    yield
    grpc.aio.shutdown_grpc_aio()


async def _begin() -> None:
    grpc.aio.init_grpc_aio()
