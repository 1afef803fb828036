"""The carrier over MPI: a rank a node, lanes as tags, every call of MPI on one thread."""
