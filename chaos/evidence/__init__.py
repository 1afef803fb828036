"""What a run recorded, on the disk: written while it goes on, and read back to be judged again."""
