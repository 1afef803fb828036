"""Figures: how fast the cluster writes, reads and fails over, beside etcd where there is one.

Why it exists: a claim about speed is worth what can be repeated, so one command measures everything in one run:
`python -m benchmarks`. It must not import `node`: what is measured are processes, spoken to as clients speak to them.
"""
