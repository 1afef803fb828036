"""What is made from the tables of the code says what they say."""

import pytest

from tests.generated.pieces import PIECES, File, Piece


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: f"{piece.path}: {piece.begin.strip()}")
def test_each_piece_says_what_its_table_says(piece: Piece | File) -> None:
    assert piece.written() == piece.text(), "run: make generated"
