"""What must hold after every step of every server, whatever happened: figure 3 of the paper, and what goes beyond it.

Why it exists: the judge of a simulated world, one file an invariant, each with its section of the paper (thesis:
Ongaro's of 2014). They look at servers from outside and remember what these showed; they share no code with the rules
that they judge.
"""

from node.simulation.invariants.judge import Invariants
from node.simulation.invariants.violation import Violation

__all__ = ["Invariants", "Violation"]
