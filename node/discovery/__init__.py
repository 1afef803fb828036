"""Where peers are. Names are identity; addresses are looked up on every dial and never stored."""
