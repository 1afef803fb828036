"""Whether a file was replaced, as it is seen from outside.

Why it exists: certificates and tokens are read anew when they are renewed, and Kubernetes renews them by turning
symbolic links. It must not read what is in a file.
"""

import os

Stamp = tuple[int, int, int]


def stamp_of(path: str) -> Stamp:
    """Differs once the file was replaced or written, also behind symbolic links. Zeros: there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
