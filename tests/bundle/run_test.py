#!/usr/bin/env python3
"""bench/run.sh on a bundle of stand-ins: shell scripts that print and exit as the real programs do
on machines good and bad. Standard library only; no GPU."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

LIMITS = r"""
if [ "$1" = --describe ]; then
  printf 'gpu NVIDIA "H200" \\ test\ncompute_capability 9.0\nmultiprocessors 132\n'
  exit 0
fi
while [ $# -gt 0 ]; do if [ "$1" = --json ]; then out=$2; fi; shift; done
echo '{"name": "limits.fma", "case": "float32", "seconds": 0.5, "rate": 6e13}' >"$out"
echo "limits.fma float32 0.5 s"
"""
NO_DEVICE = r"""
echo "limits: error: no CUDA device (no NVIDIA driver: install one): run it elsewhere" >&2
exit 5
"""
BENCH = r"""
while [ $# -gt 0 ]; do if [ "$1" = --json ]; then out=$2; fi; shift; done
echo '{"name": "gaussian_mixture.iteration", "case": "full", "seconds": 0.001}' >"$out"
"""
TESTS = r"""
echo '[ RUN      ] Steps.Agree/0'
echo '[       OK ] Steps.Agree/0 (3 ms)'
echo '[       OK ] Steps.Agree/1 (4 ms)'
echo '[  SKIPPED ] Steps.NeedMemory (0 ms)'
echo '[==========] 3 tests from 1 test suite ran. (7 ms total)'
"""
FAILING_TESTS = r"""
echo '[       OK ] Steps.Agree/0 (3 ms)'
echo '[  FAILED  ] Steps.Agree/1, where GetParam() = 5x3 (4 ms)'
echo '[  FAILED  ] 1 test, listed below:'
echo '[  FAILED  ] Steps.Agree/1, where GetParam() = 5x3'
exit 1
"""
CRASHING_TESTS = r"""
echo '[ RUN      ] Steps.Crash'
kill -SEGV $$
"""
SKIPPING_TESTS = r"""
echo 'cuda_test.cpp:12: Skipped'
echo '%s'
echo '[  SKIPPED ] Steps.Agree (0 ms)'
"""
# A fit's model depends on all options but --chunk-rows.
CULATENT = r"""
verb=$1 words=""
while [ $# -gt 0 ]; do
  case $1 in
    --model | --output) out=$2; shift ;;
    --chunk-rows) shift ;;
    *) words="$words $1" ;;
  esac
  shift
done
echo "$words %s" >"$out"
"""
SANITIZER = r"""
case "$2 $*" in %s) echo '========= Error: Race reported'; exit 86 ;; esac
exit 0
"""


class Bundle:
    """A folder that looks like a bundle, and the ways it is run."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder) / "the bundle"
        self.path = pathlib.Path(folder) / "path"
        self.output = pathlib.Path(folder) / "my results"
        for name in ("bin", "bench", "tests/data", "peers"):
            (self.root / name).mkdir(parents=True)
        self.path.mkdir()
        for name in ("run.sh", "run_parts.sh"):
            shutil.copy(REPOSITORY / "bench" / name, self.root)
        (self.root / "about.txt").write_text("version 1.2.3\ncommit abc\n")
        self.program("bench/limits", LIMITS)
        self.program("bench/gaussian_mixture_cuda_bench", BENCH)
        self.program("bin/culatent", CULATENT % "")
        self.program("tests/steps_gpu", TESTS)
        self.python("")

    def program(self, name, script):
        file = (self.path if "/" not in name else self.root) / name
        file.write_text("#!/bin/bash\n" + script)
        file.chmod(0o755)

    def python(self, imports):
        """A python that takes `import torch` or not, and runs the peer's script by `imports`."""
        self.program("fake_python", imports or "exit 1")

    def run(self, *arguments):
        environment = {**os.environ, "PATH": f"{self.path}:/usr/bin:/bin",
                       "PYTHON": str(self.path / "fake_python"), "CUDA_HOME": "/nowhere"}
        result = subprocess.run(
            [self.root / "run.sh", "--output", self.output, *arguments], text=True,
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        files = list(self.output.glob("results-*.json"))
        results = json.loads(files[0].read_text()) if len(files) == 1 else None
        return result, results, files


def verdicts(results):
    return {check["name"]: (check["result"], check["words"]) for check in results["checks"]}


class RunTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="culatent_bundle_")
        self.addCleanup(self.folder.cleanup)
        self.bundle = Bundle(self.folder.name)

    def expect(self, results, name, result, words=""):
        found = verdicts(results)
        self.assertIn(name, found)
        self.assertEqual(found[name][0], result, found[name])
        self.assertIn(words, found[name][1])

    def test_without_a_device_it_says_so_and_leaves_a_report(self):
        self.bundle.program("bench/limits", NO_DEVICE)
        result, results, files = self.bundle.run()
        self.assertEqual(result.returncode, 5, result.stdout)
        self.assertIn("no CUDA device", result.stdout)
        self.assertIn("no NVIDIA driver", result.stdout)
        self.assertEqual([file.name for file in files], ["results-none.json"])
        self.assertIsNone(results["machine"]["gpu"])
        self.assertEqual(results["entries"], [])
        self.expect(results, "device", "FAILED", "no CUDA device")

    def test_a_program_that_cannot_start_is_no_missing_device(self):
        self.bundle.program("bench/limits", "exit 127")
        result, results, _ = self.bundle.run()
        self.assertEqual(result.returncode, 1, result.stdout)
        self.expect(results, "device", "FAILED", "exit 127")

    def test_all_is_well(self):
        self.bundle.program("compute-sanitizer", SANITIZER % "nothing")
        self.bundle.python('case "$*" in *torch.py*) shift 2; ' + BENCH + "esac; exit 0")
        result, results, files = self.bundle.run("--time", "60")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual([file.name for file in files], ["results-nvidia-h200-test.json"])
        self.assertEqual(results["machine"]["gpu"], 'NVIDIA "H200" \\ test')
        self.assertEqual((results["version"], results["commit"]), ("1.2.3", "abc"))
        self.assertRegex(results["date"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertIs(results["quick"], False)
        self.expect(results, "steps_gpu", "ok", "2 passed, 0 failed, 1 skipped")
        self.expect(results, "limits", "ok", "1 figures")
        self.expect(results, "gaussian_mixture_cuda_bench", "ok", "1 figures")
        self.expect(results, "peers", "ok")
        for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
            self.expect(results, f"compute-sanitizer {tool}", "ok",
                        "10 of 10 fits clean; of the test programs 1 clean")
        for kind in ("full float32", "tied float32", "diagonal float32", "full float64"):
            for way in ("twice", "small chunks"):
                self.expect(results, f"determinism, {kind}, {way}", "ok", "the same bits")
        self.assertEqual([entry["name"] for entry in results["entries"]],
                         ["limits.fma", "gaussian_mixture.iteration", "gaussian_mixture.iteration"])
        last = result.stdout.strip().splitlines()[-1]
        self.assertIn("0 failed", last)
        self.assertIn(str(files[0]), last)

    def test_what_is_missing_is_said_and_is_no_failure(self):
        result, results, _ = self.bundle.run("--only", "peers,sanitizers")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.expect(results, "peers", "skipped", "no PyTorch")
        self.expect(results, "sanitizers", "skipped", "no compute-sanitizer")
        self.assertEqual(len(results["checks"]), 3)

    def test_failing_crashing_and_skipping_tests(self):
        self.bundle.program("tests/fails_gpu", FAILING_TESTS)
        self.bundle.program("tests/crashes_gpu", CRASHING_TESTS)
        self.bundle.program("tests/skips_gpu", SKIPPING_TESTS % "needs 200 GiB")
        self.bundle.program("tests/blind_gpu", SKIPPING_TESTS % "no CUDA device")
        result, results, _ = self.bundle.run("--only", "tests")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("3 failed", result.stdout.splitlines()[-1])
        self.expect(results, "fails_gpu", "FAILED", "1 passed, 1 failed, 0 skipped: Steps.Agree/1")
        self.expect(results, "crashes_gpu", "FAILED", "exit 139 in Steps.Crash")
        self.expect(results, "skips_gpu", "skipped", "needs 200 GiB")
        self.expect(results, "blind_gpu", "FAILED", "sees no CUDA device")
        self.expect(results, "steps_gpu", "ok")

    def test_a_program_that_hangs_ends_with_its_time(self):
        self.bundle.program("tests/hangs_gpu", TESTS + "\nsleep 100\n")
        self.bundle.program("bench/gaussian_mixture_cuda_bench",
                            BENCH + "printf '{\"name\": \"half' >>\"$out\"; sleep 100\n")
        begin = time.monotonic()
        result, results, _ = self.bundle.run("--only", "tests,benchmarks", "--time", "10")
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.expect(results, "hangs_gpu", "FAILED", "2 passed, 0 failed, 1 skipped, not finished")
        self.expect(results, "gaussian_mixture_cuda_bench", "skipped", "the time was over")
        self.assertEqual(len(results["entries"]), 1)  # not the half line

    def test_other_bits_are_a_failure(self):
        self.bundle.program("bin/culatent", CULATENT % "$RANDOM$RANDOM$RANDOM")
        result, results, _ = self.bundle.run("--only", "determinism")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.expect(results, "determinism, full float32, twice", "FAILED", "the models differ")

    def test_a_fit_that_fails_is_a_failure(self):
        self.bundle.program("bin/culatent",
                            CULATENT % "" + 'case "$words" in *cuda*) echo "no memory"; exit 4;; esac')
        result, results, _ = self.bundle.run("--only", "determinism")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.expect(results, "determinism, full float32", "FAILED", "no memory")

    def test_what_a_sanitizer_finds_is_a_failure(self):
        self.bundle.program("compute-sanitizer", SANITIZER % "racecheck*steps_gpu*")
        self.bundle.program("tests/other_gpu", TESTS)
        result, results, _ = self.bundle.run("--only", "sanitizers")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.expect(results, "compute-sanitizer memcheck", "ok", "of the test programs 2 clean")
        self.expect(results, "compute-sanitizer racecheck", "FAILED", "steps_gpu")

    def test_what_a_sanitizer_finds_in_a_fit_is_a_failure(self):
        self.bundle.program("compute-sanitizer", SANITIZER % "initcheck*tied*")
        result, results, _ = self.bundle.run("--only", "sanitizers")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.expect(results, "compute-sanitizer memcheck", "ok")
        self.expect(results, "compute-sanitizer initcheck", "FAILED",
                    "3 of 10 fits clean, errors in gaussian-mixture --components 3 "
                    "--reg-covar 1 --covariance tied")

    def test_what_a_sanitizer_does_not_finish_is_not_ok(self):
        self.bundle.program("compute-sanitizer", 'case "$*" in *steps_gpu*) sleep 100;; esac')
        result, results, _ = self.bundle.run("--only", "sanitizers", "--time", "20")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.expect(results, "compute-sanitizer memcheck", "skipped", "1 not finished in time")

    def test_wrong_usage(self):
        for arguments in (["--slow"], ["--time"], ["--time", "0"], ["--time", "1e3"],
                          ["--only", "nothing"]):
            result, _, _ = self.bundle.run(*arguments)
            self.assertEqual(result.returncode, 2, f"{arguments}: {result.stdout}")
            self.assertIn("run.sh: ", result.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
