"""Every picture is shown, and every picture that is shown is there, for readers of light and of dark pages."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2].resolve()
IMAGES = ROOT / "docs" / "images"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_SHOWN = re.compile(r'(?:src|srcset)="([^":]+\.png)"')


def test_every_picture_is_shown_in_light_and_in_dark() -> None:
    shown = {(page.parent / path).resolve() for page in PAGES for path in _SHOWN.findall(page.read_text())}
    assert shown == set(IMAGES.iterdir())
    dark = {path.name for path in shown if "-dark-" in path.name}
    assert dark == {path.name.replace("-light-", "-dark-") for path in shown}
