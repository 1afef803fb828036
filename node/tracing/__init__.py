"""Traces of writes for OpenTelemetry, from the client to the disks; off unless an address to send them to is set.

Why it exists: whoever runs many services sees them all in one place, and asks there where a slow write spent its time.
The algorithm and the driver do not know it: it sees what passes the ports that they have anyhow.
"""
