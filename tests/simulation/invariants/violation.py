"""What a run is over for."""

from __future__ import annotations


class Violation(Exception):
    """A promise was broken; `name` is the promise, short and stable: shrinking keeps to it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text
