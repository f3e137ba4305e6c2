"""`fit bernoulli-mixture` and its models, against closed forms, planted truth and frozen results."""

import json
import math
import os
import random

from files import read_npy, read_rows, read_safetensors, write_npy, write_safetensors
from harness import DATA, GOLDEN, near

FIT = ["fit", "bernoulli-mixture"]


def planted_bits(n, means, seed):
    draw = random.Random(seed)
    return [[float(draw.random() < p) for p in means[i % len(means)]] for i in range(n)]


TWO = [[0.9] * 6 + [0.1] * 6, [0.1] * 6 + [0.8] * 6]


def log_prob(model, row):
    logs = [math.log(w) + math.fsum(math.log(p) if x else math.log1p(-p) for x, p in zip(row, mean))
            for w, mean in zip(model["weights"], model["means"])]
    most = max(logs)
    return most + math.log(math.fsum(math.exp(v - most) for v in logs)), logs


def test_one_component_is_the_share_of_ones(box):
    rows = planted_bits(300, TWO, 1)
    write_npy(box.path("x.npy"), rows)
    for smoothing in (0, 2):
        run = box.ok(*FIT, "x.npy", "--smoothing", smoothing, "--model", "m.safetensors")
        tensors, metadata = read_safetensors(box.path("m.safetensors"))
        share = [(math.fsum(r[j] for r in rows) + smoothing) / (300 + 2 * smoothing)
                 for j in range(12)]
        near(tensors["means"], [share], 1e-14, "means")
        assert tensors["weights"] == [1.0] and metadata["culatent.method"] == "bernoulli-mixture"
        assert run["options"]["smoothing"] == smoothing


def test_a_frozen_fit(box):
    for name, smoothing in (("digits_map", 1), ("digits_clip", 0)):
        folder = f"{GOLDEN}/bernoulli_mixture/{name}"
        with open(f"{folder}/case.json", encoding="utf-8") as file:
            expected = json.load(file)["expected"]
        write_safetensors(box.path("s.safetensors"), {"weights": read_npy(f"{folder}/w0.npy")[2],
                                                      "means": read_rows(f"{folder}/p0.npy")})
        run = box.ok(*FIT, f"{DATA}/digits.npy", "--binarize", 7.5, "--dtype", "float64",
                     "--smoothing", smoothing, "--init", "s.safetensors", "--max-iter", 40, "--tol",
                     0, "--model", "m.safetensors")
        near([1797 * t["log_likelihood"] for t in run["trace"]],
             read_npy(f"{folder}/expected_loglik.npy")[2], expected["loglik"]["atol_f64"], name)
        near(read_safetensors(box.path("m.safetensors"))[0]["means"],
             read_rows(f"{folder}/expected_p_T.npy"), expected["p_T"]["atol_f64"], name)


def test_what_a_model_says_of_rows(box):
    rows = planted_bits(400, TWO, 2)
    write_npy(box.path("x.npy"), rows)
    run = box.ok(*FIT, "x.npy", "--components", 2, "--seed", 1, "--tol", 1e-9, "--max-iter", 500,
                 "--order", "weight", "--model", "m.safetensors", "--report", "r.json")
    assert run["converged"] and run["trace"][-1]["objective"] == run["objective"]
    model = read_safetensors(box.path("m.safetensors"))[0]
    for truth in TWO:
        nearest = min(model["means"], key=lambda m: math.dist(m, truth))
        near(nearest, truth, 5 * 0.5 / math.sqrt(200), "five standard errors")
    box.ok("predict", "m.safetensors", "x.npy", "--output", "l.npy")
    box.ok("transform", "m.safetensors", "x.npy", "--output", "t.npy")
    score = box.ok("score", "m.safetensors", "x.npy", "--output", "s.npy")
    labels, parts, logs = (read_npy(box.path("l.npy"))[2], read_rows(box.path("t.npy")),
                           read_npy(box.path("s.npy"))[2])
    for i, row in enumerate(rows):
        total, joint = log_prob(model, row)
        near(logs[i], total, 1e-12, "log_prob")
        near(parts[i], [math.exp(v - total) for v in joint], 1e-12, "responsibilities")
        assert labels[i] == max(range(2), key=joint.__getitem__)
    total = math.fsum(logs)
    near(score["total_log_likelihood"], total, 1e-9, "total")
    assert score["n_parameters"] == 1 + 2 * 12
    near(score["bic"], -2 * total + 25 * math.log(400), 1e-9, "bic")
    near(score["aic"], -2 * total + 50, 1e-9, "aic")
    box.ok("sample", "m.safetensors", "--rows", 50, "--seed", 3, "--output", "d.npy")
    assert set(read_npy(box.path("d.npy"))[2]) <= {0.0, 1.0}


def test_missing_values_and_soft_rows(box):
    rows = planted_bits(300, TWO, 4)
    rows[7][3] = float("nan")
    rows[9][2] = 0.25
    write_npy(box.path("x.npy"), rows)
    box.fails(3, *FIT, "x.npy", "--components", 2, "--model", "m.safetensors",
              words=["row 7", "column 3"])
    run = box.ok(*FIT, "x.npy", "--components", 2, "--missing", "--seed", 1, "--model",
                 "m.safetensors")
    assert "missing" in [w["code"] for w in run["warnings"]]


def test_bad_input(box):
    write_npy(box.path("x.npy"), [[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    model = ["--model", "m.safetensors"]
    box.fails(3, *FIT, "x.npy", *model, words=["row 1", "column 0", "--binarize"])
    box.fails(3, *FIT, "x.npy", "--binarize", 0.5, "--components", 4, *model, words=["3 rows for 4"])
    box.fails(2, *FIT, "x.npy", "--smoothing", -1, *model, words=["--smoothing"])
    box.fails(2, *FIT, "x.npy", "--min-probability", 0.6, "--binarize", 1, *model,
              words=["--min-probability"])
    box.fails(2, *FIT, "x.npy", "--binarize", "half", *model, words=["--binarize"])
    assert not os.path.exists(box.path("m.safetensors"))
    box.ok(*FIT, "x.npy", "--binarize", 0.5, *model)
    box.fails(3, "predict", "m.safetensors", "x.npy", "--output", "l.npy", words=["row 1"])
    assert not os.path.exists(box.path("l.npy"))


def test_a_page_of_images(box):
    box.ok(*FIT, f"{DATA}/digits.npy", "--binarize", 7.5, "--components", 10, "--seed", 1,
           "--model", "m.safetensors", "--html", "m.html", "--image-shape", "8x8", "--labels",
           f"{DATA}/digits_labels.npy")
    page = box.bytes("m.html").decode()
    for words in ("10 components", "Labels and components", "data:image/png", "Objective"):
        assert words in page, words


def test_same_seed_same_file(box):
    write_npy(box.path("x.npy"), planted_bits(4000, TWO, 5))
    files = []
    for threads, chunk in ((1, 1024), (3, 4000)):
        box.ok(*FIT, "x.npy", "--components", 3, "--seed", 3, "--threads", threads, "--chunk-rows",
               chunk, "--model", "m.safetensors")
        files.append(box.bytes("m.safetensors"))
    assert files[0] == files[1]
