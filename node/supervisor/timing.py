"""How a cluster on one machine is timed, where nobody says otherwise.

Why it exists: all its nodes share a few processors with whatever else runs there, so a leader's heartbeat may be late
by what a busy machine takes to give it one; nodes with a machine each have no such neighbours. It must not override
what anybody has set.
"""

from collections.abc import Mapping

LOCAL_TIMING = {"heartbeat_ms": "50", "election_timeout_ms": "175-350"}
"""A leader may be without a processor for 125 ms between two heartbeats, more than twice as long as with `serve`'s
defaults, and a new one still leads within 350 ms after most deaths."""


LOCAL_WAIT = {"leaderless_wait_ms": "500"}
"""Whoever breaks a cluster on a laptop, by hand or with raft-chaos, cuts it for a second or two, and wants to see what
the minority says. A new leader is there within 350 ms after most deaths."""


def local_timing(origins: Mapping[str, str]) -> Mapping[str, str]:
    """What to add to the settings of all nodes. `origins`: where each setting in force came from."""
    added: dict[str, str] = {}
    for together in (LOCAL_TIMING, LOCAL_WAIT):
        if all(origins[key] == "default" for key in together):
            added |= together
    return added
