"""HTTP for clients and operators, on a NodeHandle."""
