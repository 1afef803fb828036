"""What a node tells of how it is reached: an address that others can dial, and no URL that nobody could use."""

import pytest

from node.raft.types import MemberAddress
from node.recovering import own_address
from node.settings import load

SEEDS = "n1=raft-0.raft:9001,n2=raft-1.raft:9001"


@pytest.mark.parametrize(
    ("flags", "address"),
    [
        ({}, MemberAddress("n1", "raft-0.raft", 9001, "http://127.0.0.1:8001")),
        ({"host": "::1"}, MemberAddress("n1", "raft-0.raft", 9001, "http://[::1]:8001")),
        ({"host": "0.0.0.0"}, MemberAddress("n1", "raft-0.raft", 9001)),
        ({"host": "::"}, MemberAddress("n1", "raft-0.raft", 9001)),
        ({"port": "0"}, MemberAddress("n1", "raft-0.raft", 9001)),
        (
            {"host": "0.0.0.0", "client_url": "http://raft-0:80"},
            MemberAddress("n1", "raft-0.raft", 9001, "http://raft-0:80"),
        ),
        ({"peer_address": "outside:1"}, MemberAddress("n1", "outside", 1, "http://127.0.0.1:8001")),
        (
            {"name": "n3", "peer_host": "10.0.0.3", "peer_port": "9001"},
            MemberAddress("n3", "10.0.0.3", 9001, "http://127.0.0.1:8001"),
        ),
        (
            {"name": "n3", "peer_host": "::", "peer_port": "9001", "peer_address": "[::1]:9003", "port": "0"},
            MemberAddress("n3", "::1", 9003),
        ),
    ],
)
def test_a_seed_is_reached_as_the_seeds_say_and_others_as_they_say_themselves(
    flags: dict[str, str], address: MemberAddress
) -> None:
    settings = load({"name": "n1", "seeds": SEEDS, "data_dir": "d"} | flags, {}).settings
    assert own_address(settings) == address
