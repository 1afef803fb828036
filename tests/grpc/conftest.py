"""Google's client has a thread for all channels of a process, which ends with the last: here it stays for all tests."""

from collections.abc import Iterator

import grpc
import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread_of_the_client() -> Iterator[None]:
    grpc.aio.init_grpc_aio()
    yield
    grpc.aio.shutdown_grpc_aio()
