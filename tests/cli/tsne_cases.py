"""`embed tsne` and `score tsne`, against frozen results, brute force and planted truth."""

import base64
import hashlib
import json
import math
import os
import re
import struct

from embeddings import EMBED, QUICK, blobs, float32, golden
from files import BLOBS, planted, read_npy, read_rows, write_npy
from harness import DATA, near


def check_golden(box, case):
    folder, data, perplexity, expected = golden(case)
    for name in ("small", "wide"):
        embedding = os.path.join(folder, f"Y_{name}.npy")
        run = box.ok(*EMBED, *data, "--init", embedding, "--max-iter", 0, "--perplexity",
                     perplexity, "--dense", "--output", "y.npy", "--report", "r.json")
        value, atol = (expected[f"kl_{name}"][key] for key in ("value", "atol_f32"))
        near(run["kl"], value, atol, f"{case} {name} kl")
        assert run["objective"] == run["kl"] == run["trace"][-1]["kl"] and len(run["trace"]) == 1
        assert run["n_iter"] == 0 and run["exact_kl"] is True and run["affinities"] == "dense"
        shape, _, values = read_npy(embedding)
        assert read_npy(box.path("y.npy")) == (shape, "<f4", float32(values))
        score = box.ok("score", "tsne", *data, "--embedding", embedding, "--perplexity", perplexity)
        near(score["kl"], value, atol, f"{case} {name} score")


def test_the_divergence_of_iris(box):
    check_golden(box, "iris_perturbed_p20")


def test_the_divergence_of_digits(box):
    check_golden(box, "digits300_p30")


def test_what_a_run_leaves(box):
    blobs(box)
    result = box.run(*EMBED, "x.npy", "--output", "y.npy", "--report", "r.json", *QUICK)
    assert result.code == 0, str(result)
    run = result.json
    assert box.bytes("r.json").decode() == result.out
    for key in ("method n_rows n_features options seed device dtype n_iter converged objective kl "
                "exact_kl repulsion affinities n_affinities recall trace seconds memory bytes_read "
                "warnings version output").split():
        assert key in run, key
    assert (run["method"], run["n_rows"], run["n_features"]) == ("tsne", 150, 3)
    assert run["dtype"] == "float32" and run["seed"] == 1 and "interrupted" not in run
    assert set(run["seconds"]) == {"load", "init", "fit", "total"}
    assert set(run["memory"]) == {"planned_bytes", "peak_host_bytes", "peak_device_bytes"}
    assert run["n_iter"] == 120 and len(run["trace"]) == 121
    with_kl = [t for t, entry in enumerate(run["trace"]) if "kl" in entry]
    assert with_kl == [0, 50, 100, 120], with_kl
    assert all(entry["gradient_norm"] > 0 for entry in run["trace"])
    assert run["kl"] == run["objective"] == run["trace"][-1]["kl"] < run["trace"][0]["kl"]
    shape, dtype, values = read_npy(box.path("y.npy"))
    assert (shape, dtype) == ((150, 2), "<f4") and all(map(math.isfinite, values))
    assert box.files() == ["labels.npy", "r.json", "x.npy", "y.npy"]


def test_planted_groups_stay_groups(box):
    blobs(box, 300)
    for options in ([], ["--dimensions", 1], ["--dimensions", 3], ["--repulsion", "exact"],
                    ["--repulsion", "fft"], ["--init", "random"], ["--init", "spectral"]):
        box.ok(*EMBED, "x.npy", "--output", "y.npy", "--max-iter", 400, "--seed", 2, *options)
        score = box.ok("score", "tsne", "x.npy", "--embedding", "y.npy", "--labels", "labels.npy")
        # Blobs ten deviations apart: no row has a neighbour of another one.
        assert score["knn_accuracy"] == 1.0, (options, score)


def test_the_divergence_of_a_run_is_that_of_its_embedding(box):
    blobs(box, 400)
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", *QUICK)
    score = box.ok("score", "tsne", "x.npy", "--embedding", "y.npy", "--perplexity", 10)
    # Affinities are floats, sums over 400² pairs in double.
    near(score["kl"], run["kl"], 1e-5, "kl")
    again = box.ok(*EMBED, "x.npy", "--output", "z.npy", "--init", "y.npy", "--max-iter", 0,
                   "--perplexity", 10)
    near(again["kl"], run["kl"], 1e-5, "kl from the file")
    assert box.bytes("y.npy") == box.bytes("z.npy")


def nearest(rows, i):
    def key(j):
        return math.fsum((a - b) ** 2 for a, b in zip(rows[i], rows[j])), j
    return sorted((j for j in range(len(rows)) if j != i), key=key)


def test_quality_by_brute_force(box):
    blobs(box, 90)
    box.ok(*EMBED, "x.npy", "--output", "y.npy", *QUICK)
    rows, places = read_rows(box.path("x.npy")), read_rows(box.path("y.npy"))
    labels = [i % 7 for i in range(90)]  # not the groups: the accuracy is below 1
    write_npy(box.path("l.npy"), labels, "<i4")
    n, k = 90, 4
    penalty, kept, right = 0, 0, 0
    for i in range(n):
        near_in_data, near_in_map = nearest(rows, i), nearest(places, i)[:k]
        rank = {j: r + 1 for r, j in enumerate(near_in_data)}
        penalty += sum(max(0, rank[j] - k) for j in near_in_map)
        kept += len(set(near_in_data[:k]) & set(near_in_map))
        votes = [labels[j] for j in near_in_map]
        best = max(votes.count(v) for v in votes)
        right += next(v for v in votes if votes.count(v) == best) == labels[i]
    score = box.ok("score", "tsne", "x.npy", "--embedding", "y.npy", "--n-neighbors", k,
                   "--perplexity", 10, "--labels", "l.npy")
    near(score["trustworthiness"], 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty, 1e-12, "trust")
    near(score["neighbour_preservation"], kept / (n * k), 1e-12, "preservation")
    near(score["knn_accuracy"], right / n, 1e-12, "accuracy")
    assert score["n_neighbors"] == k and score["n_rows"] == 90 and score["method"] == "tsne"


def test_the_options(box):
    blobs(box)
    given = {"dimensions": 1, "perplexity": 7.5, "early_exaggeration": 4.0, "exaggeration_iter": 20,
             "learning_rate": 33.0, "momentum": 0.7, "max_iter": 60, "min_gradient": 1e-9,
             "init": "random", "repulsion": "exact", "neighbors": "exact"}
    words = [w for key, value in given.items() for w in ("--" + key.replace("_", "-"), value)]
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", *words)
    assert {key: run["options"][key] for key in given} == given
    assert run["options"]["sigma"] is None and run["options"]["dense"] is False
    assert run["repulsion"] == "exact" and run["n_iter"] == 60
    assert read_npy(box.path("y.npy"))[0] == (150, 1)
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--max-iter", 1, "--perplexity", "5,20",
                 "--learning-rate", "auto")
    assert run["options"]["perplexity"] == [5, 20] and run["options"]["learning_rate"] == "auto"
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--max-iter", 1, "--sigma", 0.5)
    assert run["options"]["perplexity"] is None and run["options"]["sigma"] == 0.5
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--max-iter", 1, "--dense")
    assert run["affinities"] == "dense" and run["n_affinities"] == 150 * 149
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--repulsion", "fft", *QUICK)
    assert run["repulsion"] == "fft" and run["converged"] is False
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--min-gradient", 1e9, *QUICK)
    assert run["converged"] is True and 50 < run["n_iter"] <= 120


def test_a_start_from_a_file(box):
    blobs(box)
    write_npy(box.path("start.npy"), [[math.sin(i), math.cos(3 * i), i % 5] for i in range(150)])
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--init", "start.npy", "--max-iter", 0)
    assert run["options"]["dimensions"] == 3 and run["options"]["init"] == "start.npy"
    expected = float32([v for row in read_rows(box.path("start.npy")) for v in row])
    assert read_npy(box.path("y.npy"))[2] == expected
    box.fails(3, *EMBED, "x.npy", "--output", "z.npy", "--init", "start.npy", "--dimensions", 2,
              words=["start.npy", "150x3"])
    write_npy(box.path("short.npy"), [[0.0, 1.0]] * 149)
    box.fails(3, *EMBED, "x.npy", "--output", "z.npy", "--init", "short.npy", words=["149x2"])
    write_npy(box.path("wide.npy"), [[0.0] * 5] * 150)
    box.fails(3, *EMBED, "x.npy", "--output", "z.npy", "--init", "wide.npy", words=["150x5"])
    write_npy(box.path("nan.npy"), [[math.nan, 1.0]] * 150)
    box.fails(3, *EMBED, "x.npy", "--output", "z.npy", "--init", "nan.npy")
    box.fails(3, *EMBED, "x.npy", "--output", "z.npy", "--init", "missing.npy",
              words=["missing.npy"])
    box.fails(2, *EMBED, "x.npy", "--output", "z.npy", "--init", "umap", words=["--init", "umap"])
    assert "z.npy" not in box.files()


def test_same_seed_same_file(box):
    blobs(box, 1500)
    for options in ([], ["--repulsion", "exact"], ["--init", "random", "--dimensions", 1]):
        files = []
        for threads in (1, 2, 1):
            box.ok(*EMBED, "x.npy", "--output", "y.npy", "--threads", threads, *QUICK, *options)
            files.append(box.bytes("y.npy"))
        assert files[0] == files[1] == files[2], options
    box.ok(*EMBED, "x.npy", "--output", "other.npy", *QUICK[:-1], 2, "--init", "random")
    assert box.bytes("other.npy") != box.bytes("y.npy")


def test_a_drawn_seed_is_reported(box):
    blobs(box)
    start = ["--max-iter", 20, "--init", "random"]
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", *start)
    box.ok(*EMBED, "x.npy", "--output", "z.npy", *start, "--seed", run["seed"])
    assert box.bytes("y.npy") == box.bytes("z.npy")


def test_the_plan(box):
    blobs(box, 400)
    plan = box.ok(*EMBED, "x.npy", "--dry-run")
    for key in ("rows", "columns", "chunk_rows", "host_bytes", "device_bytes"):
        assert isinstance(plan[key], int), key
    assert plan["rows"] == 400 and plan["columns"] == 3 and plan["host_bytes"] > 0
    assert box.files() == ["labels.npy", "x.npy"]
    with_start = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--html", "p.html", "--labels",
                        "labels.npy", "--dry-run")
    assert with_start["host_bytes"] == plan["host_bytes"] + 8 * 400
    result = box.run(*EMBED, "x.npy", "--dry-run", "--memory-limit", "8KiB")
    assert result.code == 4 and result.json["host_bytes"] > 8192, str(result)
    box.check_error(result, ["--memory-limit"])
    box.fails(4, *EMBED, "x.npy", "--output", "y.npy", "--memory-limit", "8KiB",
              words=["--memory-limit"])
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", *QUICK)
    plan = box.ok(*EMBED, "x.npy", "--dry-run", *QUICK)
    assert run["memory"]["planned_bytes"] == plan["host_bytes"]


def test_progress(box):
    blobs(box)
    result = box.run(*EMBED, "x.npy", "--output", "y.npy", "--progress", "json", *QUICK)
    assert result.code == 0, str(result)
    events = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    fit = [event for event in events if event["phase"] == "fit"]
    assert [event["iteration"] for event in fit] == [0, 50, 100, 120]
    kl = [entry["kl"] for entry in result.json["trace"] if "kl" in entry]
    for event, value in zip(fit, kl):
        near(event["objective"], value, 1e-5, "live kl")
    assert all(event["max_iter"] == 120 for event in fit)


def test_a_page_that_runs_its_own_script_alone(box):
    blobs(box, 200)
    box.ok(*EMBED, "x.npy", "--output", "y.npy", "--html", "p.html", "--labels", "labels.npy",
           "--snapshot-every", 20, *QUICK)
    page = box.bytes("p.html").decode()
    for words in ("t-SNE of x.npy", "200 rows of 3 features placed in 2 dimensions",
                  "3 given labels", "exaggeration ends", "label 2", "class=\"player\""):
        assert words in page, words
    script = re.search(r"<script>(.*?)</script>", page, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    data = json.loads(re.search(r'id="map-data">(.*?)</script>', page, re.S).group(1))
    assert [f["iteration"] for f in data["frames"]] == [0, 20, 40, 50, 60, 80, 100, 120]
    frame, places = data["frames"][-1], read_npy(box.path("y.npy"))[2]
    at = struct.unpack("<400H", base64.b64decode(frame["at"]))
    for i, value in enumerate(places):
        low, high = frame["low"][i % 2], frame["high"][i % 2]
        near(low + at[i] / 65535 * (high - low), value, 0.51 * (high - low) / 65535, "position")
    groups = struct.unpack("<200H", base64.b64decode(data["group"]))
    assert list(groups) == [i % 3 for i in range(200)] and data["labels"] == [0, 1, 2]


def test_a_page_of_many_snapshots_keeps_some(box):
    blobs(box, 60)
    box.ok(*EMBED, "x.npy", "--output", "y.npy", "--html", "p.html", "--snapshot-every", 1,
           "--perplexity", 5, "--max-iter", 450)
    data = json.loads(re.search(r'id="map-data">(.*?)</script>', box.bytes("p.html").decode(),
                                re.S).group(1))
    iterations = [f["iteration"] for f in data["frames"]]
    assert 100 < len(iterations) <= 201 and iterations[0] == 0 and iterations[-1] == 450


def test_snapshots_in_a_file(box):
    blobs(box, 200)
    box.ok(*EMBED, "x.npy", "--output", "plain.npy", *QUICK)
    every = {"default": ([], [0, 50, 100, 120]),
             "45": (["--snapshot-every", 45], [0, 45, 50, 90, 120])}
    for options, iterations in every.values():
        for q in (1, 2, 3):
            run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--snapshots", "s.npy",
                         "--dimensions", q, *QUICK, *options)
            assert run["snapshots"] == iterations and run["options"]["snapshots"] == "s.npy"
            shape, dtype, values = read_npy(box.path("s.npy"))
            assert (shape, dtype) == ((len(iterations), 200, q), "<f4")
            assert values[-200 * q:] == read_npy(box.path("y.npy"))[2]
            # Each is where a fit of so many iterations ends: max_iter ends an interval.
            for at, n in ((0, 0), (1, iterations[1])):
                box.ok(*EMBED, "x.npy", "--output", "z.npy", "--dimensions", q, "--max-iter", n,
                       *QUICK[:2], *QUICK[4:])
                assert values[at * 200 * q:(at + 1) * 200 * q] == read_npy(box.path("z.npy"))[2]
    # Looking changes nothing.
    box.ok(*EMBED, "x.npy", "--output", "y.npy", "--snapshots", "s.npy", "--html", "p.html", *QUICK)
    assert box.bytes("y.npy") == box.bytes("plain.npy")
    assert "class=\"player\"" not in box.bytes("p.html").decode()
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", *QUICK)
    assert "snapshots" not in run and run["options"]["snapshots"] is None
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--snapshots", "s.npy", "--max-iter", 0)
    assert run["snapshots"] == [0] and read_npy(box.path("s.npy"))[0] == (1, 200, 2)
    assert box.files() == ["labels.npy", "p.html", "plain.npy", "s.npy", "x.npy", "y.npy", "z.npy"]


def test_new_rows_go_to_their_group(box):
    blobs(box, 300)
    write_npy(box.path("new.npy"), planted(60, BLOBS, seed=9), "<f4")
    box.ok(*EMBED, "x.npy", "--output", "y.npy", "--seed", 1, "--max-iter", 400)
    place = [*EMBED, "new.npy", "--reference", "x.npy", "--reference-embedding", "y.npy",
             "--output"]
    run = box.ok(*place, "z.npy", "--report", "r.json")
    with open(box.path("r.json"), encoding="utf-8") as file:
        assert json.load(file) == run
    assert run["n_rows"] == 60 and run["n_reference_rows"] == 300 and run["n_features"] == 3
    assert run["options"]["perplexity"] == 5 and run["options"]["max_iter"] == 250
    old, new = read_rows(box.path("y.npy")), read_rows(box.path("z.npy"))
    assert len(new) == 60 and len(new[0]) == 2
    for i, row in enumerate(new):
        assert min(range(300), key=lambda j: math.dist(row, old[j])) % 3 == i % 3
    # A row's place does not depend on the others, nor on threads.
    box.ok(*place, "part.npy", "--rows", "10:20", "--threads", 1)
    assert read_rows(box.path("part.npy")) == new[10:20]
    run = box.ok(*place, "w.npy", "--perplexity", 8, "--max-iter", 10, "--learning-rate", 0.2,
                 "--momentum", 0.5)
    assert run["options"] == {"perplexity": 8, "max_iter": 10, "learning_rate": 0.2,
                              "momentum": 0.5, "exaggeration": 1.5}


def test_digits_are_told_apart(box):
    run = box.ok(*EMBED, f"{DATA}/digits.npy", "--output", "y.npy", "--seed", 1, "--html", "p.html",
                 "--labels", f"{DATA}/digits_labels.npy")
    score = box.ok("score", "tsne", f"{DATA}/digits.npy", "--embedding", "y.npy", "--n-neighbors",
                   5, "--labels", f"{DATA}/digits_labels.npy")
    # scikit-learn and Rtsne, 13 runs: exact divergence 0.706 to 0.801, trustworthiness 0.9949 to
    # 0.9961; the accuracy of the nearest neighbour 0.986 to 0.988.
    assert 0.65 < run["kl"] < 0.801 and 0.994 < score["trustworthiness"] < 1, (run["kl"], score)
    one = box.ok("score", "tsne", f"{DATA}/digits.npy", "--embedding", "y.npy", "--n-neighbors", 1,
                 "--labels", f"{DATA}/digits_labels.npy")
    assert one["knn_accuracy"] > 0.985, one
