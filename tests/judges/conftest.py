"""Everything in this folder needs a judge, but the tests of what reads their verdicts."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
TIMEOUT_SECONDS = 600


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks all tests here `judges`, and gives those that state no other time ten minutes."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.name != "test_judging.py":
            item.add_marker(pytest.mark.judges)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))
