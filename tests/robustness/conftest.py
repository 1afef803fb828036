"""Google's client is used here as in tests/grpc."""

from tests.grpc.conftest import one_thread_of_the_client as one_thread_of_the_client
