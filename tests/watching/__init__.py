"""Tests of node/watching."""
