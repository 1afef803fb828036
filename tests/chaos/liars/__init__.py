"""Nodes built to lie, to see that the chaos tool catches them: `python -m tests.chaos.liars LIE serve ...`."""
