"""Runs one core: `driver.py` is synchronous and is what the simulator drives too, `shell.py` is asyncio round it."""
