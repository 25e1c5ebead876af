"""All benchmarks, one after the other, and the page of their figures."""

from __future__ import annotations

import argparse
import subprocess
import sys

from bench import report
from bench.measure import ROOT, ROUNDS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("benches", nargs="*", help=f"of {', '.join(report.ORDER)}; all by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    unknown = set(chosen.benches) - set(report.ORDER)
    if unknown:
        parser.error(f"no bench is called {', '.join(sorted(unknown))}")
    for bench in chosen.benches or report.ORDER:
        command = [sys.executable, "-m", f"bench.{bench}", f"--rounds={chosen.rounds}"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            sys.exit(f"bench {bench} failed")
    report.write()
    print(f"written: {report.PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
