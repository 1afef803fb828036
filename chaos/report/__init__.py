"""What a run is told as: its page, its figures, its words."""
