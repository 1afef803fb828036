"""Worlds that are drawn from a seed: whole clusters on virtual time, with a network and disks that fail on purpose.

Why it exists: what a real machine shows once in a year, in one order, happens here thousands of times an hour and can
be replayed. What runs is the production driver, log, links and store; clock, disk and network alone are simulated, and
each of those is held to the suite of the real one. It must not know the shell, the API or the settings, and nothing of
a node that runs may know this room.
"""
