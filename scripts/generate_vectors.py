"""Write the conformance vectors: `vectors/<topic>.json` for each module in `scripts/vectors/`.

    python scripts/generate_vectors.py            # write
    python scripts/generate_vectors.py --check    # exit 1 when a file is not what would be written

Everything comes from fixed seeds, so that the same build writes the same bytes. A topic is a module
with a docstring, which becomes the file's description, and a function `vectors()` that returns what
JSON can hold.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "vectors"


def topics() -> list[str]:
    """The names of all topics."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules([str(Path(__file__).parent / "vectors")])
        if not module.name.startswith("_")
    )


def content(topic: str) -> str:
    """What belongs into the file of a topic."""
    module = importlib.import_module(f"scripts.vectors.{topic}")
    described = {"description": (module.__doc__ or "").strip(), **module.vectors()}
    return json.dumps(described, indent=1, ensure_ascii=True) + "\n"


def main() -> int:
    """Write or check all files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    different = []
    for topic in topics():
        path = VECTORS / f"{topic}.json"
        wanted = content(topic)
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        different.append(topic)
        if not check:
            VECTORS.mkdir(exist_ok=True)
            path.write_text(wanted, encoding="utf-8")
    verb = "differ" if check else "written"
    print(f"{verb}: {', '.join(different) or 'none'}")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
