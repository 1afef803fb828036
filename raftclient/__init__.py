"""The client that applications import: `from raftclient import OutcomeUnknown, RaftClient`. See client.py.

It has a name of its own because an application has one site-packages for everything, and `node` says nothing there.
It must import nothing of `node` or `chaos`: it needs the standard library and aiohttp alone. Neither imports it, but
for the commands `raft-node lock` and `elect`.
"""

from raftclient.client import RaftClient, Value
from raftclient.elections import Election, Leader
from raftclient.errors import ClientError, HistoryGone, LeaseLost, NotDone, OutcomeUnknown, RevisionMismatch
from raftclient.leases import Lease
from raftclient.locks import Lock
from raftclient.watching import Change

__all__ = [
    "Change",
    "ClientError",
    "Election",
    "HistoryGone",
    "Leader",
    "Lease",
    "LeaseLost",
    "Lock",
    "NotDone",
    "OutcomeUnknown",
    "RaftClient",
    "RevisionMismatch",
    "Value",
]
