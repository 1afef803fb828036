"""The command `raft-node`."""
