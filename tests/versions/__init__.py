"""Two releases of the nodes, mixed, forward and back, and what a node says of files that it cannot read.

Why it exists: UPGRADING.md promises that a release and the one before it understand each other, and that one can go
back. `previous.txt` pins the one before: the last release, or, before there is one, a commit of `main`.
"""
