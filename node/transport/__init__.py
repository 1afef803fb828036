"""Peer links: bytes over aiohttp WebSockets (`websocket.py`), handshake and messages above them (`links.py`)."""
