"""Watching the nodes: samples of `/status`, their traces, their clocks."""
