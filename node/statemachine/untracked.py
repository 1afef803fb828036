"""Containers that Python's cyclic collector need not look at.

Why it exists: the collector walks over every element of every list, tuple and dictionary that it tracks, and stops the
process meanwhile: 50 ms for the keys of a store of 200,000, as much for the answers of a transaction that reads them
eight times (architecture, decision 15). What holds only bytes and versions can be part of no cycle, so it is taken off
the collector's list, as CPython itself does with tuples and dictionaries of such values once it has walked over them.
It must not be used for anything that may refer to something else.
"""

import ctypes
from typing import TypeVar

T = TypeVar("T")


def _function() -> "ctypes._FuncPointer | None":
    """CPython's `PyObject_GC_UnTrack`, which is part of its stable interface; None in any other Python."""
    function = getattr(getattr(ctypes, "pythonapi", None), "PyObject_GC_UnTrack", None)
    if function is not None:
        function.argtypes, function.restype = (ctypes.py_object,), None
    return function


_UNTRACK = _function()


def untracked(container: T) -> T:
    """`container` itself. A dictionary is tracked again once a container becomes its value; lists stay as they are."""
    if _UNTRACK is not None:
        _UNTRACK(container)
    return container
