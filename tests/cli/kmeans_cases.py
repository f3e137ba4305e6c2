"""`fit kmeans` and its models, against closed forms, planted truth and scikit-learn's results."""

import json
import math
import os
import signal
import time

from files import (BLOBS, planted, read_npy, read_rows, read_safetensors, write_npy,
                   write_safetensors)
from harness import DATA, GOLDEN, near

FIT = ["fit", "kmeans"]


def squared(a, b):
    return math.fsum((x - y) ** 2 for x, y in zip(a, b))


def test_what_a_fit_leaves(box):
    rows = planted(900, BLOBS, seed=5)
    write_npy(box.path("x.npy"), rows)
    run = box.ok(*FIT, "x.npy", "--clusters", 3, "--seed", 1, "--tol", 0, "--model",
                 "m.safetensors", "--report", "r.json", "--order", "weight")
    with open(box.path("r.json"), encoding="utf-8") as file:
        assert json.load(file) == run
    tensors, metadata = read_safetensors(box.path("m.safetensors"))
    assert sorted(tensors) == ["centroids", "counts"]
    assert metadata["culatent.method"] == "kmeans" and metadata["culatent.n_features"] == "3"
    assert run["method"] == "kmeans" and run["options"]["clusters"] == 3 and run["converged"]
    assert tensors["counts"] == [300, 300, 300]
    for centre in BLOBS:
        nearest = min(tensors["centroids"], key=lambda m: math.dist(m, centre))
        near(nearest, centre, 5 * 0.3 / math.sqrt(300), "five standard errors")
    inertia = math.fsum(min(squared(row, c) for c in tensors["centroids"]) for row in rows)
    near(run["objective"], inertia, 1e-12 * inertia, "objective")
    assert run["trace"][-1] == {"inertia": run["objective"], "moved": 0}
    assert run["trace"][0]["moved"] is None
    assert len(run["trace"]) == run["n_iter"] + 1


def test_scikit_learns_results(box):
    with open(f"{GOLDEN}/kmeans/digits/case.json", encoding="utf-8") as file:
        expected = json.load(file)["expected"]
    start = read_rows(f"{GOLDEN}/kmeans/digits/C0.npy")
    write_safetensors(box.path("start.safetensors"), {"centroids": start})
    run = box.ok(*FIT, f"{DATA}/digits.npy", "--dtype", "float64", "--init", "start.safetensors",
                 "--tol", 0, "--model", "m.safetensors")
    assert run["n_iter"] + 1 == expected["n_iter"]["value"]  # it counts passes
    near(run["objective"], expected["inertia"]["value"], expected["inertia"]["atol_f64"], "inertia")
    box.ok("predict", "m.safetensors", f"{DATA}/digits.npy", "--output", "l.npy")
    shape, dtype, labels = read_npy(box.path("l.npy"))
    assert (shape, dtype) == ((1797,), "<i4")
    assert labels == read_npy(f"{GOLDEN}/kmeans/digits/expected_labels.npy")[2]


def test_labels_distances_and_inertia_of_a_model(box):
    rows = planted(500, BLOBS, seed=6)
    write_npy(box.path("x.npy"), rows)
    box.ok(*FIT, "x.npy", "--clusters", 4, "--seed", 2, "--model", "m.safetensors")
    centroids = read_safetensors(box.path("m.safetensors"))[0]["centroids"]
    box.ok("predict", "m.safetensors", "x.npy", "--output", "l.npy")
    box.ok("transform", "m.safetensors", "x.npy", "--output", "d.npy")
    score = box.ok("score", "m.safetensors", "x.npy", "--output", "s.npy")
    labels, distances = read_npy(box.path("l.npy"))[2], read_rows(box.path("d.npy"))
    nearest = read_npy(box.path("s.npy"))[2]
    for i, row in enumerate(rows):
        exact = [squared(row, c) for c in centroids]
        assert labels[i] == min(range(4), key=exact.__getitem__)
        near(distances[i], [math.sqrt(x) for x in exact], 1e-12, "distances")
        near(nearest[i], min(exact), 1e-12, "squared distance")
    near(score["inertia"], math.fsum(nearest), 1e-9, "inertia")


def test_the_options(box):
    rows = planted(600, BLOBS, seed=7)
    write_npy(box.path("x.npy"), rows)
    for init in ("kmeans++", "kmeans-parallel", "random"):
        run = box.ok(*FIT, "x.npy", "--clusters", 3, "--init", init, "--n-init", 4, "--seed", 1,
                     "--model", "m.safetensors")
        assert run["options"]["init"] == init and run["options"]["n_init"] == 4
    run = box.ok(*FIT, "x.npy", "--clusters", 3, "--mini-batch", 100, "--seed", 1, "--model",
                 "m.safetensors")
    assert run["options"]["mini_batch"] == 100 and run["converged"]
    assert sum(read_safetensors(box.path("m.safetensors"))[0]["counts"]) == 600
    box.ok(*FIT, "x.npy", "--clusters", 3, "--metric", "cosine", "--seed", 1, "--model",
           "c.safetensors")
    tensors, metadata = read_safetensors(box.path("c.safetensors"))
    assert metadata["metric"] == "cosine"
    near([math.hypot(*c) for c in tensors["centroids"]], [1.0] * 3, 1e-14, "unit length")
    write_npy(box.path("w.npy"), [2.0] * 600)
    run = box.ok(*FIT, "x.npy", "--clusters", 3, "--weights", "w.npy", "--seed", 1, "--model",
                 "m.safetensors")
    assert sum(read_safetensors(box.path("m.safetensors"))[0]["counts"]) == 1200
    again = box.ok(*FIT, "x.npy", "--init", "c.safetensors", "--max-iter", 0, "--model",
                   "again.safetensors")
    assert again["options"]["metric"] == "cosine" and again["n_iter"] == 0


def test_same_seed_same_file(box):
    write_npy(box.path("x.npy"), planted(5000, BLOBS, seed=8))
    files = []
    for threads, chunk in ((1, 1024), (2, 2048), (3, 5000)):
        box.ok(*FIT, "x.npy", "--clusters", 7, "--seed", 3, "--threads", threads, "--chunk-rows",
               chunk, "--model", "m.safetensors")
        files.append(box.bytes("m.safetensors"))
    assert files[0] == files[1] == files[2]


def test_killed_and_resumed_to_the_same_bits(box):
    write_npy(box.path("x.npy"), planted(40000, BLOBS, seed=9))
    fit = [*FIT, "x.npy", "--clusters", 40, "--seed", 4, "--tol", 0, "--max-iter", 60]
    box.ok(*fit, "--model", "whole.safetensors")
    options = ["--checkpoint", "state", "--checkpoint-every", 1, "--resume", "--model",
               "m.safetensors"]
    kills = 0
    for delay in (0.05, 0.1, 0.15):
        process = box.start(*fit, *options)
        deadline = time.monotonic() + 60
        while not os.path.exists(box.path("state")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(delay)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if os.path.exists(box.path("m.safetensors")):
            break
    assert kills > 0
    box.ok(*fit, *options)
    assert box.bytes("m.safetensors") == box.bytes("whole.safetensors")
    assert not os.path.exists(box.path("state"))


def test_a_page_that_fetches_nothing(box):
    box.ok(*FIT, f"{DATA}/digits.npy", "--clusters", 10, "--seed", 1, "--model", "m.safetensors",
           "--html", "m.html", "--image-shape", "8x8", "--labels", f"{DATA}/digits_labels.npy")
    page = box.bytes("m.html").decode()
    for words in ("10 clusters of 1,797 rows", "Inertia", "Rows and centroids", "data:image/png"):
        assert words in page, words
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page


def test_bad_input(box):
    write_npy(box.path("x.npy"), planted(5, BLOBS, seed=1))
    model = ["--model", "m.safetensors"]
    box.fails(3, *FIT, "x.npy", "--clusters", 6, *model, words=["5 rows for 6 clusters"])
    box.fails(2, *FIT, "x.npy", "--clusters", 0, *model, words=["--clusters"])
    box.fails(2, *FIT, "x.npy", "--metric", "manhattan", *model, words=["--metric"])
    box.fails(2, *FIT, "x.npy", "--mini-batch", 0, *model, words=["--mini-batch"])
    box.fails(2, *FIT, "x.npy", "--init", "nowhere", *model, words=["--init"])
    write_npy(box.path("nan.npy"), [[1.0, 2.0], [3.0, float("nan")], [4.0, 5.0]])
    box.fails(3, *FIT, "nan.npy", "--clusters", 2, *model, words=["row 1", "column 1"])
    write_npy(box.path("zero.npy"), [[1.0, 2.0], [0.0, 0.0], [4.0, 5.0]])
    box.fails(3, *FIT, "zero.npy", "--clusters", 2, "--metric", "cosine", *model, words=["row 1"])
    write_safetensors(box.path("s.safetensors"), {"centroids": [[1.0, 2.0]]})
    box.fails(3, *FIT, "x.npy", "--init", "s.safetensors", *model, words=["1 x 2"])
    assert not os.path.exists(box.path("m.safetensors"))
    write_safetensors(box.path("bad.safetensors"), {"centroids": [[1.0, float("inf")]]})
    box.fails(3, "predict", "bad.safetensors", "zero.npy", "--output", "l.npy", words=["finite"])


def test_more_clusters_than_distinct_rows(box):
    write_npy(box.path("x.npy"), [[float(i % 3), 0.0] for i in range(30)])
    run = box.ok(*FIT, "x.npy", "--clusters", 5, "--seed", 1, "--model", "m.safetensors")
    assert run["n_empty"] == 2 and run["objective"] == 0.0 and run["converged"]
    assert [w["code"] for w in run["warnings"]] == ["empty"]
