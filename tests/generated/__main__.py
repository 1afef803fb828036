"""`python -m tests.generated`: write every piece of README, docs and chart that is made from a table of the code."""

from tests.generated.pieces import PIECES

for piece in PIECES:
    if piece.write():
        print(f"{piece.path}: written anew")
