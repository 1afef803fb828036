"""What a node tells at birth of how it is reached: what its own seed says, and no URL that nobody could use."""

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
        ({"name": "n3", "peer_port": "9001"}, None),
    ],
)
def test_a_seed_is_reached_as_the_seeds_say_and_others_do_not_know(
    flags: dict[str, str], address: MemberAddress | None
) -> None:
    settings = load({"name": "n1", "seeds": SEEDS, "data_dir": "d"} | flags, {}).settings
    assert own_address(settings) == address
