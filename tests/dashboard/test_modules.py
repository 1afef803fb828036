"""The page's pure modules, in the JavaScript runtime's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "js"
SECONDS_MAX = 60


def _runtime() -> str:
    """Where a new enough `node` (JavaScript) is, or the reason why the tests cannot run."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no JavaScript runtime: install Node.js 20 or newer to test the page's modules")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.lstrip("v").split(".")[:2])) < (20, 19):
        pytest.skip(f"Node.js {version} is too old to test the page's modules: 20.19 or newer is needed")
    return found


def test_the_modules_of_the_page_pass_their_own_tests() -> None:
    files = sorted(str(path) for path in TESTS.glob("*.test.js"))
    assert files
    done = subprocess.run([_runtime(), "--test", *files], capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "# fail 0" in done.stdout or "ℹ fail 0" in done.stdout
