"""One target under atheris, in a process of its own: `python -m tests.fuzz.fuzz_one NAME ...`.

What follows the name goes to libFuzzer. Only roomlog is watched, so it is imported here first.
"""

from __future__ import annotations

import sys
from random import Random

import atheris

from tests.fuzz.target import load

STRUCTURED = 0.5
"""How often a target's own mutator is asked, where there is one."""


def main() -> None:
    """Fuzz until libFuzzer has had enough; it ends the process."""
    name = sys.argv[1]
    with atheris.instrument_imports(include=["roomlog"]):
        target = load(name)

    def mutate(data: bytes, most_bytes: int, seed: int) -> bytes:
        random = Random(seed)
        if target.mutate is not None and random.random() < STRUCTURED:
            changed = target.mutate(bytes(data), most_bytes, random)
            if changed is not None and len(changed) <= most_bytes:
                return changed
        return bytes(atheris.Mutate(data, most_bytes))

    arguments = [sys.argv[0], f"-max_len={target.most_bytes}", *sys.argv[2:]]
    atheris.Setup(arguments, target.check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
