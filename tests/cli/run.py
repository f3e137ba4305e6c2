"""Drives the built command through a group of the contract's cases.

    python3 run.py --culatent PATH [GROUP ...]      all groups when none is named

Prints a line a case and ends with 'N passed, N failed'; exit 1 when any failed.
"""

import argparse
import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402

GROUPS = ["usage", "golden", "kmeans", "bernoulli", "tsne", "tsne_input", "clustering_quality",
          "fit", "apply", "density", "data", "bad_input", "outputs", "stopping", "reproducible",
          "resources", "device"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--culatent", required=True)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS])
    arguments = parser.parse_args()
    command = os.path.abspath(arguments.culatent)
    if not os.access(command, os.X_OK):
        parser.error(f"{command} is no command")
    total = [0, 0, 0]
    for group in arguments.groups or GROUPS:
        module = importlib.import_module(group + "_cases")
        counts = harness.run_group(module, command)
        total = [a + b for a, b in zip(total, counts)]
    if total[2]:
        print(f"{total[2]} skipped, for the reasons above")
    print(f"{total[0]} passed, {total[1]} failed")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
