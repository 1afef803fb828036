"""What a node believes of what others say."""

import pytest

from node.runtime.looking import CLOCK_SKEW_US_MAX, later_backup

NOW = 1_000_000_000_000_000


@pytest.mark.parametrize(
    ("known", "told", "then"),
    [
        (0, NOW - 5, NOW - 5),
        (NOW - 5, 0, NOW - 5),
        (NOW - 5, NOW - 9, NOW - 5),
        (NOW - 9, NOW + CLOCK_SKEW_US_MAX, NOW + CLOCK_SKEW_US_MAX),
        (NOW - 9, NOW + CLOCK_SKEW_US_MAX + 1, NOW - 9),
    ],
    ids=["heard of", "of none", "of an older one", "a clock a little ahead", "a clock of another day"],
)
def test_the_last_backup_is_the_newest_that_any_peer_tells_of_but_from_no_clock_far_ahead(
    known: int, told: int, then: int
) -> None:
    assert later_backup(known, told, NOW) == then
