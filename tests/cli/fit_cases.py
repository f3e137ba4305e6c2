"""What `fit gaussian-mixture` finds and writes, against closed forms and planted truth."""

import json
import math
import random
import re
import struct
import subprocess
import sys

from files import BLOBS, planted, read_npy, read_safetensors, write_npy, write_safetensors
from harness import DATA, Skip, near

FIT = ["fit", "gaussian-mixture"]


def moments(rows, weights=None):
    """Weighted mean and (biased) covariance in exact-enough double."""
    weights = weights or [1.0] * len(rows)
    total, d = math.fsum(weights), len(rows[0])
    mean = [math.fsum(w * r[j] for w, r in zip(weights, rows)) / total for j in range(d)]
    cov = [[math.fsum(w * (r[i] - mean[i]) * (r[j] - mean[j]) for w, r in zip(weights, rows)) / total
            for j in range(d)] for i in range(d)]
    return mean, cov


def test_one_component_is_the_sample_mean_and_covariance(box):
    rows = planted(101, BLOBS, seed=3)
    write_npy(box.path("x.npy"), rows)
    mean, cov = moments(rows)
    d = 3
    expected = {"full": [cov], "tied": cov, "diagonal": [[cov[j][j] for j in range(d)]],
                "spherical": [sum(cov[j][j] for j in range(d)) / d]}
    scale = max(map(abs, (x for row in cov for x in row)))
    for kind, covariances in expected.items():
        run = box.ok(*FIT, "x.npy", "--covariance", kind, "--reg-covar", 0, "--model",
                     "m.safetensors")
        tensors, _ = read_safetensors(box.path("m.safetensors"))
        # Sums of 101 doubles, each rounded once or twice.
        near(tensors["means"], [mean], 101 * 2.3e-16 * 10, kind)
        near(tensors["covariances"], covariances, 101 * 2.3e-16 * 10 * scale, kind)
        assert tensors["weights"] == [1.0]
        assert run["trace"][-1]["entropy"] == 0.0


def test_reg_covar_is_added_to_the_variances(box):
    rows = planted(60, BLOBS, seed=4)
    write_npy(box.path("x.npy"), rows)
    for kind in ("diagonal", "spherical"):
        found = []
        for reg in (0, 0.5):
            box.ok(*FIT, "x.npy", "--covariance", kind, "--reg-covar", reg, "--model",
                   "m.safetensors")
            values = read_safetensors(box.path("m.safetensors"))[0]["covariances"]
            found.append(values[0] if kind == "diagonal" else values)
        near(found[1], [x + 0.5 for x in found[0]], 1e-12, kind)


def test_planted_groups_are_found_from_every_initialisation(box):
    write_npy(box.path("x.npy"), planted(900, BLOBS, seed=5))
    for init in ("kmeans", "kmeans++", "random", "random-rows"):
        box.ok(*FIT, "x.npy", "--components", 3, "--init", init, "--n-init", 8, "--seed", 2,
               "--max-iter", 500, "--tol", 1e-8, "--model", "m.safetensors", "--order", "weight")
        tensors, _ = read_safetensors(box.path("m.safetensors"))
        for centre in BLOBS:
            nearest = min(tensors["means"], key=lambda m: math.dist(m, centre))
            # 300 rows of spread 0.3: five standard errors of each coordinate.
            near(nearest, centre, 5 * 0.3 / math.sqrt(300), init)
        near(tensors["weights"], [1 / 3] * 3, 1e-6, init)


def test_the_likelihood_never_falls_and_equals_the_elbo(box):
    for kind in ("full", "tied", "diagonal", "spherical"):
        run = box.ok(*FIT, f"{DATA}/iris.npy", "--components", 3, "--covariance", kind, "--dtype",
                     "float64", "--reg-covar", 0, "--init", "random", "--seed", 7, "--tol", 0,
                     "--max-iter", 60, "--model", "m.safetensors")
        trace = run["trace"]
        assert len(trace) == run["n_iter"] + 1 == 61
        for entry in trace:
            near(entry["elbo"], entry["log_likelihood"], 1e-12 * 10, "elbo")
            assert entry["free_energy"] == -entry["elbo"]
            assert -1e-15 <= entry["entropy"] <= math.log(3) + 1e-12
        for before, after in zip(trace, trace[1:]):
            # Rounding of a mean of 150 rows of size about 10.
            assert after["log_likelihood"] >= before["log_likelihood"] - 1e-13, kind
        assert run["objective"] == trace[-1]["log_likelihood"]


def test_a_fit_goes_on_from_its_model(box):
    data = f"{DATA}/iris.npy"
    common = ["--dtype", "float64", "--tol", 0]
    box.ok(*FIT, data, "--components", 3, "--seed", 1, "--max-iter", 7, *common, "--model",
           "all.safetensors")
    box.ok(*FIT, data, "--components", 3, "--seed", 1, "--max-iter", 6, *common, "--model",
           "part.safetensors")
    run = box.ok(*FIT, data, "--init", "part.safetensors", "--max-iter", 1, *common, "--model",
                 "next.safetensors")
    assert run["n_iter"] == 1 and run["options"]["components"] == 3
    whole = read_safetensors(box.path("all.safetensors"))[0]
    step = read_safetensors(box.path("next.safetensors"))[0]
    for name in whole:
        near(step[name], whole[name], 1e-12, name)


def test_a_start_in_part_is_completed(box):
    write_npy(box.path("x.npy"), planted(300, BLOBS, seed=6))
    write_safetensors(box.path("means.safetensors"), {"means": [[c + 0.2 for c in b] for b in BLOBS]})
    run = box.ok(*FIT, "x.npy", "--init", "means.safetensors", "--model", "m.safetensors")
    assert run["options"]["components"] == 3
    means = read_safetensors(box.path("m.safetensors"))[0]["means"]
    near(means, BLOBS, 5 * 0.3 / 10, "means keep the order of the start")
    write_safetensors(box.path("weights.safetensors"), {"weights": [0.5, 0.25, 0.25]})
    box.ok(*FIT, "x.npy", "--init", "weights.safetensors", "--model", "m.safetensors")


def test_precisions_are_taken_as_covariances_inverted(box):
    write_npy(box.path("x.npy"), planted(90, BLOBS, seed=6))
    start = {"means": BLOBS, "weights": [0.2, 0.3, 0.5]}
    write_safetensors(box.path("c.safetensors"), {**start, "covariances": [0.25, 4.0, 0.5]})
    write_safetensors(box.path("p.safetensors"), {**start, "precisions": [4.0, 0.25, 2.0]})
    values = [box.ok(*FIT, "x.npy", "--components", 3, "--covariance", "spherical", "--init", name,
                     "--max-iter", 0, "--model", "m.safetensors")["objective"]
              for name in ("c.safetensors", "p.safetensors")]
    assert values[0] == values[1]


def test_max_iter_0_reports_the_start(box):
    write_npy(box.path("x.npy"), [[0.0], [2.0]])
    write_safetensors(box.path("s.safetensors"),
                      {"weights": [1.0], "means": [[1.0]], "covariances": [4.0]})
    run = box.ok(*FIT, "x.npy", "--covariance", "spherical", "--init", "s.safetensors",
                 "--max-iter", 0, "--model", "m.safetensors")
    assert run["n_iter"] == 0 and len(run["trace"]) == 1
    near(run["objective"], -0.5 * math.log(2 * math.pi * 4.0) - 0.125, 4e-16, "closed form")


def test_weights_are_repeated_rows(box):
    rows = planted(60, BLOBS, seed=8)
    draw = random.Random(1)
    weights = [float(draw.randrange(4)) for _ in rows]
    write_npy(box.path("x.npy"), rows)
    write_npy(box.path("w.npy"), weights)
    write_npy(box.path("twice.npy"), [r for r, w in zip(rows, weights) for _ in range(int(w))])
    write_safetensors(box.path("s.safetensors"), {"means": BLOBS, "weights": [1 / 3] * 3,
                                                  "covariances": [1.0, 1.0, 1.0]})
    common = ["--components", 3, "--covariance", "spherical", "--init", "s.safetensors", "--tol", 0,
              "--max-iter", 5]
    one = box.ok(*FIT, "x.npy", "--weights", "w.npy", *common, "--model", "a.safetensors")
    two = box.ok(*FIT, "twice.npy", *common, "--model", "b.safetensors")
    a, b = (read_safetensors(box.path(n))[0] for n in ("a.safetensors", "b.safetensors"))
    for name in a:
        near(a[name], b[name], 1e-12, name)
    near([e["log_likelihood"] for e in one["trace"]], [e["log_likelihood"] for e in two["trace"]],
         1e-12, "trace")


def test_order_weight_sorts_and_nothing_else(box):
    rows = [r for r, n in zip(planted(3, BLOBS, 0.0), (10, 70, 30)) for _ in range(n)]
    draw = random.Random(2)
    write_npy(box.path("x.npy"), [[draw.gauss(x, 0.2) for x in r] for r in rows])
    write_safetensors(box.path("s.safetensors"), {"means": BLOBS})
    order = {}
    for word in ("model", "weight"):
        box.ok(*FIT, "x.npy", "--init", "s.safetensors", "--order", word, "--model",
               "m.safetensors")
        order[word] = read_safetensors(box.path("m.safetensors"))[0]
    near(order["model"]["weights"], [10 / 110, 70 / 110, 30 / 110], 1e-9, "as started")
    for name in order["model"]:
        assert order["weight"][name] == [order["model"][name][k] for k in (1, 2, 0)], name


def test_missing_values_are_marginalised(box):
    nan = float("nan")
    rows = [[0.0, 1.0], [2.0, nan], [4.0, 5.0], [nan, nan], [1.0, 2.0]]
    write_npy(box.path("x.npy"), rows)
    write_safetensors(box.path("s.safetensors"), {"weights": [1.0], "means": [[1.0, 2.0]],
                                                  "covariances": [[2.0, 3.0]]})
    common = ["--init", "s.safetensors", "--covariance", "diagonal", "--missing", "--model",
              "m.safetensors"]
    run = box.ok(*FIT, "x.npy", *common, "--max-iter", 0)

    def log_normal(x, mean, var):
        return 0.0 if math.isnan(x) else -0.5 * (math.log(2 * math.pi * var) + (x - mean)**2 / var)

    expected = [log_normal(r[0], 1.0, 2.0) + log_normal(r[1], 2.0, 3.0) for r in rows]
    near(run["objective"], sum(expected) / 5, 1e-14, "marginal likelihood")
    box.ok("score", "m.safetensors", "x.npy", "--missing", "--output", "lp.npy")
    near(read_npy(box.path("lp.npy"))[2], expected, 1e-14, "log_prob")
    box.write("x.csv", "a,b\n0,1\n2,\n4,5\n,\n1,2\n")
    assert box.ok(*FIT, "x.csv", *common, "--max-iter", 0)["objective"] == run["objective"]


def test_a_drawn_seed_makes_the_fit_again(box):
    write_npy(box.path("x.npy"), planted(300, BLOBS, spread=3.0, seed=9))
    common = [*FIT, "x.npy", "--components", 5, "--max-iter", 3, "--model"]
    drawn = [box.ok(*common, f"{i}.safetensors")["seed"] for i in range(2)]
    assert drawn[0] != drawn[1]
    box.ok(*common, "again.safetensors", "--seed", drawn[0])
    assert box.bytes("again.safetensors") == box.bytes("0.safetensors")
    assert box.bytes("again.safetensors") != box.bytes("1.safetensors")


def test_the_model_reads_with_the_safetensors_package(box):
    box.ok(*FIT, f"{DATA}/iris.npy", "--components", 3, "--model", "m.safetensors")
    program = ("import sys, json\n"
               "try:\n from safetensors.numpy import load_file\n"
               "except ImportError as e:\n print(e); sys.exit(9)\n"
               "t = load_file(sys.argv[1])\n"
               "print(json.dumps({k: [str(v.dtype), v.tolist()] for k, v in t.items()}))\n")
    run = subprocess.run([sys.executable, "-c", program, box.path("m.safetensors")],
                         capture_output=True, text=True)
    if run.returncode == 9:
        raise Skip(f"no safetensors package: {run.stdout.strip()}")
    assert run.returncode == 0, run.stderr
    ours = read_safetensors(box.path("m.safetensors"))[0]
    assert json.loads(run.stdout) == {k: ["float64", v] for k, v in ours.items()}


def test_the_model_file_is_aligned(box):
    box.ok(*FIT, f"{DATA}/iris.npy", "--components", 3, "--model", "m.safetensors")
    (length,) = struct.unpack("<Q", box.bytes("m.safetensors")[:8])
    assert length % 8 == 0


def test_the_page_is_written_and_whole(box):
    box.ok(*FIT, f"{DATA}/iris.npy", "--components", 3, "--model", "m.safetensors", "--html",
           "x.html", "--labels", f"{DATA}/iris_labels.npy")
    page = box.bytes("x.html").decode()
    assert page.lstrip().lower().startswith("<!doctype html") and "</html>" in page
    assert "<svg" in page
    # Nothing is fetched: the only address is the name of the SVG language.
    assert set(re.findall(r"https?://[^\s\"'<>]*", page)) <= {"http://www.w3.org/2000/svg"}
    box.ok(*FIT, f"{DATA}/digits.npy", "--components", 4, "--covariance", "diagonal", "--max-iter",
           3, "--model", "m.safetensors", "--html", "d.html", "--image-shape", "8x8")
    assert b"data:image/png;base64," in box.bytes("d.html")


def test_labels_must_be_one_a_row(box):
    data = ["fit", "gaussian-mixture", f"{DATA}/iris.npy", "--html", "x.html", "--model",
            "m.safetensors", "--labels"]
    box.fails(3, *data, f"{DATA}/digits_labels.npy", words=["1797 labels", "150 rows"])
    write_npy(box.path("l.npy"), [0.5] * 150)
    box.fails(3, *data, "l.npy", words=["l.npy"])
    box.fails(3, *data, "none.npy", words=["none.npy"])
    assert box.files() == ["l.npy"]


def test_float32_far_from_the_origin_agrees_with_float64(box):
    rows = [[round((x + 3000.0) * 1024) / 1024 for x in r] for r in planted(600, BLOBS, 0.3, 10)]
    write_npy(box.path("x.npy"), rows, "<f4")  # exact in float32
    write_safetensors(box.path("s.safetensors"),
                      {"means": [[c + 3000.0 for c in b] for b in BLOBS]})
    found = []
    for dtype in ("float32", "float64"):
        box.ok(*FIT, "x.npy", "--init", "s.safetensors", "--dtype", dtype, "--tol", 0,
               "--max-iter", 5, "--model", "m.safetensors")
        found.append(read_safetensors(box.path("m.safetensors"))[0])
    near(found[0]["means"], found[1]["means"], 1e-5, "means")
    near(found[0]["covariances"], found[1]["covariances"], 1e-5, "covariances")
