"""What a node says of itself to a registry."""

import pytest

from node.registering import _leads_somewhere


@pytest.mark.parametrize(
    ("url", "leads"),
    [
        ("http://10.0.0.7:8001", True),
        ("https://[fd00::7]:8001", True),
        ("http://n1.example.org:8001", True),
        ("http://0.0.0.0:8001", False),
        ("http://[::]:8001", False),
        ("http://127.0.0.1:0", False),
        ("", False),
    ],
)
def test_a_url_that_leads_nowhere_is_not_told(url: str, leads: bool) -> None:
    """The page of the registry would lead whoever reads it to their own machine."""
    assert _leads_somewhere(url) is leads
