"""How a cluster on one machine is timed, where nobody says otherwise.

Why it exists: all its nodes share a few processors with whatever else runs there, so a leader's heartbeat may be late
by what a busy machine takes to give it one; nodes with a machine each have no such neighbours. It must not override
what anybody has set.
"""

from collections.abc import Mapping

LOCAL_TIMING = {"heartbeat_ms": "50", "election_timeout_ms": "175-350"}
"""A leader may be without a processor for 125 ms between two heartbeats, more than twice as long as with `serve`'s
defaults, and a new one still leads within 350 ms after most deaths."""


def local_timing(origins: Mapping[str, str]) -> Mapping[str, str]:
    """What to add to the settings of all nodes. `origins`: where each setting in force came from."""
    if all(origins[key] == "default" for key in LOCAL_TIMING):
        return LOCAL_TIMING
    return {}
