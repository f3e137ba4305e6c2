"""What the comparisons with other packages share: their options, and how figures are shown."""

import argparse
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def parse_case(text):
    sizes = tuple(int(part) for part in text.lower().split("x"))
    if len(sizes) != 3 or min(sizes) < 1:
        raise argparse.ArgumentTypeError("three sizes, as 200000x16x16")
    return sizes


def parser(description, cases, third):
    """Options that every comparison has; `third` is what a case has beside rows and features."""
    result = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawTextHelpFormatter)
    result.set_defaults(default_cases=list(cases))
    result.add_argument("--culatent", default=ROOT / "build/release/host/cli/culatent",
                        type=pathlib.Path, help="the command to measure")
    default = " and ".join("x".join(map(str, case)) for case in cases)
    result.add_argument("--case", action="append", type=parse_case, metavar="NxDxK",
                        help=f"rows x features x {third}; may be repeated (default {default})")
    result.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    result.add_argument("--repeats", type=int, default=3)
    result.add_argument("--iterations", type=int, default=10)
    result.add_argument("--json", type=pathlib.Path, help="also write every figure to this file")
    return result


def parse(options_parser):
    """The options. To be called before numpy is loaded: OpenMP and BLAS then read the threads."""
    if "numpy" in sys.modules:
        raise RuntimeError("numpy is loaded: its threads are set")
    options = options_parser.parse_args()
    options.case = options.case or options.default_cases
    if not options.culatent.is_file():
        options_parser.error(f"there is no {options.culatent}: build it by ./build.sh")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    return options


def alternate(runners, repeats, once=()):
    """Calls all runners in turn, `repeats` times, those named in `once` in the first turn alone.
    A runner returns its seconds and what it found. Returns the seconds of each by name, and what
    each found last."""
    seconds = {name: [] for name in runners}
    found = {}
    for repeat in range(repeats):
        for name, run in runners.items():
            if repeat > 0 and name in once:
                continue
            taken, found[name] = run()
            seconds[name].append(taken)
    return seconds, found
