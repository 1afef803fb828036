"""What a browser's trace says of a page: the longest task of its main thread."""

from typing import Any

TRACED = ["toplevel", "devtools.timeline"]
"""The categories of the trace: tasks, and what the page did in them."""

_DEBUGGER = "blink.mojom.DevToolsSession"


def longest_task_ms(events: list[dict[str, Any]], url: str) -> float:
    """Processor time of the longest task of the page at `url`.

    The test asks the page through the browser's debugger, whose scripts take longer than anything of the page: of a
    task of the debugger (it also fills in fields) only what it called of the page counts.
    """
    timed = [event for event in events if "tdur" in event]
    tasks = [event for event in timed if event["name"].endswith("::RunTask")]
    assert tasks, "the browser gave a trace without any task"
    main = _threads_that_load(events, url)
    judged = [task for task in tasks if _thread(task) in main]
    if not judged:
        # A trace that lost the loading of the page still shows which thread worked most: the page's own
        threads = [_thread(task) for task in tasks]
        busiest = max(set(threads), key=threads.count)
        judged = [task for task in tasks if _thread(task) == busiest]
    asked = [event for event in timed if _is_of_debugger(event)]
    called = [event for event in timed if event["name"] == "FunctionCall" and _url(event).startswith(url)]
    longest = 0.0
    for task in sorted(judged, key=lambda task: task["tdur"], reverse=True):
        if task["tdur"] <= longest:
            break
        of_debugger = any(_within(event, task) for event in asked)
        inner = [call["tdur"] for call in called if _within(call, task)] if of_debugger else [task["tdur"]]
        longest = max(longest, *inner, 0.0)
    return longest / 1000


def _threads_that_load(events: list[dict[str, Any]], url: str) -> set[tuple[int, int]]:
    """The browser has pages of its own; this one's process is where its address was loaded, on that very thread."""
    loads = (event for event in events if event["name"] == "CommitLoad")
    return {_thread(event) for event in loads if _url(event).startswith(url)}


def _thread(event: dict[str, Any]) -> tuple[int, int]:
    return event["pid"], event["tid"]


def _url(event: dict[str, Any]) -> str:
    return str(event["args"].get("data", {}).get("url", ""))


def _is_of_debugger(event: dict[str, Any]) -> bool:
    told = event["args"].get("chrome_mojo_event_info", {})
    return str(told.get("mojo_interface_tag", "")) == _DEBUGGER


def _within(event: dict[str, Any], task: dict[str, Any]) -> bool:
    begun: float = event["ts"]
    ended: float = task["ts"] + task["dur"]
    return _thread(event) == _thread(task) and task["ts"] <= begun < ended
