"""Whose a connection is: an address of IPv4, a network of IPv6, and nobody's where that says nothing."""

import pytest

from node.addresses import NOBODY, whose


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        (("192.0.2.7", 4711), "192.0.2.7"),
        (("::ffff:192.0.2.7", 4711, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 4711, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 4711, 0, 2), "fe80::/64"),
        (("127.0.0.1", 4711), NOBODY),
        (("::1", 4711, 0, 0), NOBODY),
        (("::ffff:127.0.0.1", 4711, 0, 0), NOBODY),
        (("127.0.0.2", 4711), "127.0.0.2"),
        ("", NOBODY),
        (None, NOBODY),
        (("not:an:address", 1), NOBODY),
    ],
)
def test_whose(address: object, owner: str) -> None:
    assert whose(address) == owner
