#!/usr/bin/env python3
"""bench/report.py on results made by hand: whose figure is shown, and what is refused."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

REPORT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "report.py"
CASE = "full 1000000x64 K=64 float32"
ITERATION = "gaussian_mixture.iteration"


def result(date, commit, entries, quick=False, gpu="NVIDIA H200"):
    return {"machine": {"gpu": gpu}, "date": date + "T10:00:00Z", "commit": commit, "quick": quick,
            "entries": entries, "checks": []}


def entry(seconds, name=ITERATION, case=CASE, **more):
    return {"name": name, "case": case, "seconds": seconds,
            "percent_of_floor": 100 * 3.3e-3 / seconds if seconds else None, **more}


class ReportTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="culatent_report_")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "results").mkdir()
        self.page = self.folder / "RESULTS.md"

    def add(self, name, content):
        text = content if isinstance(content, str) else json.dumps(content)
        (self.folder / "results" / name).write_text(text)

    def report(self, *arguments):
        return subprocess.run(
            [sys.executable, "-B", REPORT, "--results", self.folder / "results", "--output",
             self.page, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def row(self, case=CASE, name=ITERATION):
        self.assertEqual(self.report().returncode, 0)
        rows = [line for line in self.page.read_text().splitlines()
                if line.startswith(f"| {name} | {case} |")]
        self.assertEqual(len(rows), 1)
        return [cell.strip() for cell in rows[0].split("|")[3:-1]]

    def test_nothing_is_measured_until_something_is(self):
        self.assertEqual(self.row(), ["3.3 ms", "6 ms", *["not measured"] * 5])

    def test_a_figure_with_its_floor_peer_date_and_commit(self):
        peer = dict(peer="PyTorch 2.9", peer_seconds=0.02, ratio=2.5)
        self.add("a.json", result("2026-11-30", "0123456789abcdef",
                                  [entry(8e-3), entry(8e-3, **peer)]))
        self.assertEqual(self.row(), ["3.3 ms", "6 ms", "8 ms", "41 %", "2.50 (PyTorch 2.9)",
                                      "2026-11-30", "0123456789"])

    def test_the_newest_whole_run_counts_figure_by_figure(self):
        other = "diagonal 10000000x16 K=32 float32"
        self.add("1.json", result("2026-11-01", "old", [entry(9e-3), entry(1e-3, case=other)]))
        self.add("2.json", result("2026-11-20", "new", [entry(7e-3), entry(None, case=other)]))
        self.add("3.json", result("2026-11-29", "quick", [entry(5e-3)], quick=True))
        self.assertEqual(self.row()[2], "7 ms")
        self.assertEqual(self.row()[-2:], ["2026-11-20", "new"])
        self.assertEqual(self.row(other)[-2:], ["2026-11-01", "old"])

    def test_a_quick_run_is_better_than_nothing(self):
        self.add("a.json", result("2026-11-29", "quick", [entry(5e-3)], quick=True))
        self.assertEqual(self.row()[2], "5 ms")

    def test_rates_of_the_machine(self):
        self.add("a.json", result("2026-11-29", "c", [
            {"name": "limits.copy", "case": "kernel, read and written", "seconds": 1e-3,
             "rate": 4.0e12, "percent_of_floor": 93.02}]))
        self.assertEqual(self.row("kernel, read and written", "copy"),
                         ["4.3 TB/s", "4 TB/s", "93 %", "2026-11-29", "c"])

    def test_a_rate_is_held_against_what_the_machine_reached(self):
        name, case = "gaussian_mixture.streamed_iteration", "diagonal 10000000x16 K=32 float32"
        streamed = {"name": name, "case": case, "seconds": 0.016, "rate": 4e10, "unit": "B/s"}
        self.add("a.json", result("2026-11-29", "c", [streamed]))
        self.assertEqual(self.row(case, name)[:4],
                         ["upload pinned host memory", "", "16 ms, 40 GB/s", "not measured"])
        limit = {"name": "limits.upload", "case": "pinned host memory", "seconds": 5e-3,
                 "rate": 5e10}
        self.add("b.json", result("2026-11-29", "c", [limit]))
        self.assertEqual(self.row(case, name)[:4],
                         ["upload pinned host memory, 50 GB/s", "", "16 ms, 40 GB/s", "80 %"])

    def test_steps_without_an_aim_are_shown(self):
        self.add("a.json", result("2026-11-29", "c", [
            entry(2e-6, name="gaussian_mixture.factorise", floor_seconds=1e-6)]))
        self.assertEqual(self.row(name="gaussian_mixture.factorise")[:3], ["1 µs", "", "2 µs"])

    def test_a_machine_without_a_gpu_leaves_no_trace(self):
        self.add("none.json", result("2026-11-29", "c", [], gpu=None))
        self.assertEqual(self.report().returncode, 0)
        self.assertNotIn("2026-11-29", self.page.read_text())

    def test_check_sees_a_page_that_is_out_of_date(self):
        self.assertEqual(self.report("--check").returncode, 1)
        self.report()
        self.assertEqual(self.report("--check").returncode, 0)
        self.add("a.json", result("2026-11-29", "c", [entry(5e-3)]))
        self.assertEqual(self.report("--check").returncode, 1)

    def test_a_file_that_is_no_result_is_refused_by_name(self):
        for content in ("{", "[]", "{}", {"machine": {"gpu": "x"}}):
            self.add("bad.json", content)
            run = self.report()
            self.assertEqual(run.returncode, 1)
            self.assertIn("bad.json", run.stderr)
            self.assertNotIn("Traceback", run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
