"""The walks take a minute of processor time: `make test-slow` has them. That nothing lacks a case is always tested."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/bounds/" in item.path.as_posix() and not item.name.startswith("test_every_"):
            item.add_marker(pytest.mark.slowest)
