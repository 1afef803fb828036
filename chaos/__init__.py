"""raft-chaos: breaks a running cluster on purpose, always heals it, and tells the truth about what happened.

It knows of a node what any client knows: HTTP, events, processes, pods. It must never import `node`: a checker that
shares code with the system shares its bugs.
"""
