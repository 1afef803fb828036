"""Google's client of gRPC, as in tests/grpc: its thread stays for all tests."""

from tests.grpc.conftest import one_thread_of_the_client

__all__ = ["one_thread_of_the_client"]
