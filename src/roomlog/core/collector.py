"""Pausing the cycle collector while many small objects without cycles are made.

Decoding nodes makes thousands of objects that live until the nodes are merged. The collector would
visit all of them again and again, for half of the time that a large import takes, to find nothing.
"""

import gc


def pause_collector() -> bool:
    """Stop automatic collection; whether it had been running. Give that to `resume_collector`.

    Only around work that makes no cycles and waits for nothing: what other threads drop in cycles
    stays meanwhile.
    """
    if not gc.isenabled():
        return False
    gc.disable()
    return True


def resume_collector(was_running: bool) -> None:
    """Let automatic collection go on if it had been running."""
    if was_running:
        gc.enable()
