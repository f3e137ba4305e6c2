"""fit kde and score under it, against the sum written out."""

import math

from files import npy_bytes, planted, read_npy, read_safetensors, write_npy
from harness import DATA, near

ROWS = planted(40, [[0.0, 0.0], [3.0, -1.0]], 1.0, seed=2)


def log_density(y, rows, h):
    terms = [-0.5 * sum(((y[j] - x[j]) / h[j])**2 + math.log(2 * math.pi * h[j]**2)
                        for j in range(len(y))) for x in rows]
    top = max(terms)
    return top + math.log(math.fsum(math.exp(t - top) for t in terms) / len(rows))


def deviation(rows, j, ddof):
    mean = math.fsum(r[j] for r in rows) / len(rows)
    return math.sqrt(math.fsum((r[j] - mean)**2 for r in rows) / (len(rows) - ddof))


def test_the_sum_over_kernels(box):
    write_npy(box.path("x.npy"), ROWS)
    queries = ROWS[:5] + [[40.0, 0.0], [0.5, 0.5]]
    write_npy(box.path("y.npy"), queries)
    report = box.ok("fit", "kde", "x.npy", "--bandwidth", 0.4, "--model", "k.safetensors")
    assert report["method"] == "kde" and report["n_iter"] == 0 and report["converged"] is True
    assert report["trace"] == [] and report["objective"] is None and isinstance(report["seed"], int)
    tensors, metadata = read_safetensors(box.path("k.safetensors"))
    assert tensors["rows"] == ROWS and tensors["bandwidth"] == [0.4, 0.4]
    assert metadata["culatent.method"] == "kde"
    score = box.ok("score", "k.safetensors", "y.npy", "--output", "lp.npy")
    expected = [log_density(y, ROWS, [0.4, 0.4]) for y in queries]
    near(read_npy(box.path("lp.npy"))[2], expected, 1e-11, "log_prob")
    near(score["log_likelihood"], sum(expected) / len(expected), 1e-11, "mean")
    assert score["n_rows"] == len(queries)


def test_leave_one_out(box):
    write_npy(box.path("x.npy"), ROWS)
    box.ok("fit", "kde", "x.npy", "--bandwidth", 0.4, "--model", "k.safetensors")
    score = box.ok("score", "k.safetensors", "x.npy", "--leave-one-out", "--output", "lp.npy")
    expected = [log_density(y, ROWS[:i] + ROWS[i + 1:], [0.4, 0.4]) for i, y in enumerate(ROWS)]
    near(read_npy(box.path("lp.npy"))[2], expected, 1e-12, "log_prob")
    near(score["log_likelihood"], sum(expected) / 40, 1e-12, "mean")
    write_npy(box.path("y.npy"), ROWS[:7])
    box.fails(3, "score", "k.safetensors", "y.npy", "--leave-one-out")


def test_rules_of_thumb(box):
    write_npy(box.path("x.npy"), ROWS)
    n, d = 40, 2
    factors = {"scott": n**(-1 / (d + 4)), "silverman": (n * (d + 2) / 4)**(-1 / (d + 4))}
    for rule, factor in factors.items():
        report = box.ok("fit", "kde", "x.npy", "--bandwidth", rule, "--model", "k.safetensors")
        bandwidth = read_safetensors(box.path("k.safetensors"))[0]["bandwidth"]
        near(bandwidth, [factor * deviation(ROWS, j, 1) for j in range(2)], 1e-14, rule)
        assert report["bandwidth"] == bandwidth and report["options"]["bandwidth"] == rule
    box.ok("fit", "kde", "x.npy", "--model", "default.safetensors")
    near(read_safetensors(box.path("default.safetensors"))[0]["bandwidth"],
         [factors["scott"] * deviation(ROWS, j, 1) for j in range(2)], 1e-14, "default")


def test_what_a_density_does_not_have_is_a_usage_error(box):
    write_npy(box.path("x.npy"), ROWS)
    box.ok("fit", "kde", "x.npy", "--model", "k.safetensors")
    for verb in ("predict", "transform"):
        box.fails(2, verb, "k.safetensors", "x.npy", "--output", "o.npy", words=["kde", verb])
    box.fails(2, "sample", "k.safetensors", "--rows", 5, "--output", "o.npy", words=["kde"])
    box.ok("fit", "gaussian-mixture", "x.npy", "--model", "m.safetensors")
    box.fails(2, "score", "m.safetensors", "x.npy", "--leave-one-out", words=["--leave-one-out"])
    assert "o.npy" not in box.files()


def test_bad_data(box):
    write_npy(box.path("nan.npy"), [[1.0, 2.0], [float("nan"), 0.0]])
    box.fails(3, "fit", "kde", "nan.npy", "--model", "k.safetensors", words=["row 1", "column 0"])
    write_npy(box.path("flat.npy"), [[1.0, 2.0], [1.0, 3.0]])
    box.fails(3, "fit", "kde", "flat.npy", "--model", "k.safetensors")
    box.ok("fit", "kde", "flat.npy", "--bandwidth", 1, "--model", "k.safetensors")
    box.fails(3, "score", "k.safetensors", "nan.npy")
    write_npy(box.path("x3.npy"), [[1.0, 2.0, 3.0]])
    box.fails(3, "score", "k.safetensors", "x3.npy", words=["3 columns"])
    box.write("none.npy", npy_bytes([], (0, 2)))
    box.fails(3, "fit", "kde", "none.npy", "--bandwidth", 1, "--model", "n.safetensors")
    assert "n.safetensors" not in box.files()


def test_results_do_not_depend_on_threads(box):
    write_npy(box.path("x.npy"), planted(3000, [[0.0, 0.0]], 1.0))
    box.ok("fit", "kde", "x.npy", "--model", "k.safetensors")
    seen = set()
    for threads, chunk in ((1, 3000), (2, 100), (3, 1024), (7, 2999)):
        result = box.run("score", "k.safetensors", "x.npy", "--threads", threads, "--chunk-rows",
                         chunk, "--output", "lp.npy")
        seen.add((result.out, box.bytes("lp.npy")))
    assert len(seen) == 1


def test_the_plan_and_the_page(box):
    data = f"{DATA}/old_faithful.npy"
    plan = box.ok("fit", "kde", data, "--dry-run")
    assert plan["rows"] == 272 and plan["columns"] == 2 and plan["host_bytes"] >= 272 * 2 * 8
    result = box.run("fit", "kde", data, "--dry-run", "--memory-limit", "1KiB")
    assert result.code == 4, str(result)
    box.fails(4, "fit", "kde", data, "--memory-limit", "1KiB", "--model", "k.safetensors")
    box.ok("fit", "kde", data, "--model", "k.safetensors", "--html", "k.html")
    assert b"</html>" in box.bytes("k.html")
