"""The live page at `/`: static ES modules, and the routes that serve them."""
