"""`embed tsne` and `score tsne` on options and data that are wrong or hard."""

import math
import os

from embeddings import EMBED, QUICK, blobs
from files import BLOBS, npy_bytes, planted, read_npy, read_rows, write_npy


def test_wrong_options_are_usage_errors(box):
    blobs(box)
    base = [*EMBED, "x.npy", "--output", "y.npy"]
    for option, value in [
            ("--perplexity", "1"), ("--perplexity", "0"), ("--perplexity", "-3"),
            ("--perplexity", "nan"), ("--perplexity", "5,"), ("--perplexity", "5,1"),
            ("--perplexity", ""), ("--sigma", "0"), ("--sigma", "-1"), ("--sigma", "inf"),
            ("--dimensions", "0"), ("--dimensions", "4"), ("--dimensions", "2.5"),
            ("--early-exaggeration", "0.5"), ("--exaggeration-iter", "-1"),
            ("--learning-rate", "0"), ("--learning-rate", "fast"), ("--momentum", "1"),
            ("--momentum", "-0.1"), ("--max-iter", "-1"), ("--min-gradient", "-1"),
            ("--repulsion", "barnes-hut"), ("--neighbors", "hnsw"), ("--snapshot-every", "0"),
            ("--seed", "-1"), ("--threads", "0"), ("--device", "tpu"), ("--memory-limit", "0"),
            ("--progress", "loud")]:
        extra = ["--html", "p.html"] if option == "--snapshot-every" else []
        box.fails(2, *base, *extra, option, value, words=[option])
    box.fails(2, *base, "--sigma", "1", "--perplexity", "5", words=["--sigma", "--perplexity"])
    box.fails(2, *base, "--repulsion", "fft", "--dimensions", "3", words=["--repulsion"])
    box.fails(2, *base, "--snapshot-every", "5", words=["--html", "--snapshots"])
    box.fails(2, *base, "--resume", words=["--checkpoint"])
    box.fails(2, *base, "--checkpoint-every", "5", words=["--checkpoint"])
    box.fails(2, *base, "--checkpoint", "c", "--checkpoint-every", "0", words=["--checkpoint-every"])
    box.fails(2, *base, "--labels", "labels.npy", words=["--html"])
    box.fails(2, *base, "--model", "m.safetensors", words=["--model"])
    box.fails(2, *base, "--dtype", "float64", words=["--dtype"])
    box.fails(2, *base, "--perplexty", "5", words=["--perplexity"])
    box.fails(2, *EMBED, "x.npy", words=["--output"])
    box.fails(2, *EMBED, "--output", "y.npy", words=["DATA"])
    box.fails(2, *EMBED, "x.npy", "--output", "x.npy", words=["--output", "DATA"])
    os.link(box.path("x.npy"), box.path("same.npy"))
    box.fails(2, *EMBED, "x.npy", "--output", "same.npy", words=["--output"])
    box.fails(2, *base, "--report", "y.npy", words=["--report"])
    box.fails(2, *base, "--html", "y.npy", words=["--html"])
    box.fails(2, *base, "--init", "same.npy", "--html", "same.npy", words=["--html"])
    for option in ("--checkpoint", "--snapshots"):
        for name in ("x.npy", "y.npy", "same.npy"):
            box.fails(2, *base, option, name, words=[option])
        box.fails(2, *base, "--report", "r.json", option, "r.json", words=[option])
        box.fails(3, *base, option, "nowhere/c", words=[option, "nowhere"])
    box.fails(2, *base, "--snapshots", "s", "--checkpoint", "s", words=["--checkpoint"])
    box.fails(3, *base, "--html", "nowhere/p.html", words=["--html", "nowhere"])
    box.fails(3, *EMBED, "x.npy", "--output", "nowhere/y.npy", words=["--output", "nowhere"])
    assert box.files() == ["labels.npy", "same.npy", "x.npy"]


def test_bad_data(box):
    box.write("nan.npy", npy_bytes([1.0, 2.0, math.nan, 4.0] * 25, (50, 2)))
    box.write("inf.npy", npy_bytes([1.0, 2.0, math.inf, 4.0] * 25, (50, 2)))
    for name in ("nan.npy", "inf.npy"):
        box.fails(3, *EMBED, name, "--output", "y.npy", "--perplexity", 5, words=["row 1"])
    for n in (0, 1, 2):
        write_npy(box.path("few.npy"), [[float(i), 1.0] for i in range(n)] or [[]])
        box.fails(3, *EMBED, "few.npy", "--output", "y.npy")
    write_npy(box.path("equal.npy"), [[1.0, 2.0]] * 60)
    box.fails(3, *EMBED, "equal.npy", "--output", "y.npy", "--perplexity", 5, words=["equal"])
    blobs(box, 30)
    for perplexity in ("29", "30", "1000", "5,40"):
        box.fails(3, *EMBED, "x.npy", "--output", "y.npy", "--perplexity", perplexity,
                  words=["perplexity", "30"])
    box.fails(3, *EMBED, "missing.npy", "--output", "y.npy", words=["missing.npy"])
    box.write("text.npy", "no array")
    box.fails(3, *EMBED, "text.npy", "--output", "y.npy", words=["text.npy"])
    write_npy(box.path("l.npy"), [1] * 29, "<i4")
    box.fails(3, *EMBED, "x.npy", "--output", "y.npy", "--html", "p.html", "--labels", "l.npy",
              words=["29 labels for 30 rows", "l.npy"])
    assert "y.npy" not in box.files() and "p.html" not in box.files()


def test_hard_data_gives_finite_places(box):
    one_hot = [[float(i % 4 == j) for j in range(4)] for i in range(80)]
    outlier = planted(80, BLOBS, seed=1)
    outlier[7] = [1e9, -1e9, 1e9]
    sets = {"line": [[float(i)] for i in range(80)], "one_hot": one_hot, "outlier": outlier,
            "twice": planted(40, BLOBS, seed=2) * 2, "small": [[1e-20 * i * i] for i in range(80)]}
    for name, rows in sets.items():
        write_npy(box.path("x.npy"), rows)
        run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--perplexity", 8, "--max-iter", 100,
                     "--exaggeration-iter", 40, "--seed", 1)
        assert all(map(math.isfinite, read_npy(box.path("y.npy"))[2])), name
        assert run["kl"] is not None and run["kl"] >= 0, name


def test_three_rows(box):
    write_npy(box.path("x.npy"), [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    run = box.ok(*EMBED, "x.npy", "--output", "y.npy", "--perplexity", 1.5, "--max-iter", 50)
    assert run["n_rows"] == 3 and all(map(math.isfinite, read_npy(box.path("y.npy"))[2]))


def test_new_rows_that_do_not_fit(box):
    blobs(box)
    box.ok(*EMBED, "x.npy", "--output", "y.npy", *QUICK)
    place = [*EMBED, "x.npy", "--reference", "x.npy", "--reference-embedding", "y.npy", "--output",
             "z.npy"]
    for options in (["--html", "p.html"], ["--dimensions", 2], ["--init", "pca"], ["--dry-run"],
                    ["--seed", 1], ["--sigma", 1], ["--dense"], ["--repulsion", "exact"],
                    ["--early-exaggeration", 4], ["--exaggeration-iter", 4], ["--min-gradient", 1],
                    ["--neighbors", "exact"], ["--checkpoint", "c"], ["--snapshots", "s.npy"]):
        box.fails(2, *place, *options, words=[options[0], "--reference"])
    box.fails(2, *place, "--perplexity", "5,10", words=["--perplexity"])
    box.fails(2, *place[:-2], words=["--output"])
    box.fails(2, *EMBED, "x.npy", "--output", "z.npy", "--reference", "x.npy",
              words=["--reference-embedding"])
    box.fails(2, *EMBED, "x.npy", "--output", "z.npy", "--reference-embedding", "y.npy",
              words=["--reference"])
    box.fails(2, *EMBED, "x.npy", "--reference", "x.npy", "--reference-embedding", "y.npy",
              "--output", "y.npy", words=["--output", "--reference-embedding"])
    write_npy(box.path("wide.npy"), [[0.0] * 4] * 20)
    box.fails(3, *EMBED, "wide.npy", *place[3:])
    blobs(box, 149, "other.npy")
    box.fails(3, *EMBED, "x.npy", "--reference", "other.npy", "--reference-embedding", "y.npy",
              "--output", "z.npy")
    box.write("nan.npy", npy_bytes([1.0, math.nan, 3.0] * 10, (10, 3)))
    box.fails(3, *EMBED, "nan.npy", *place[3:])
    assert "z.npy" not in box.files()


def test_score_refuses_what_does_not_belong_together(box):
    blobs(box)
    box.ok(*EMBED, "x.npy", "--output", "y.npy", *QUICK)
    score = ["score", "tsne", "x.npy", "--embedding"]
    box.fails(2, "score", "tsne", "x.npy", words=["--embedding"])
    box.fails(2, "score", "tsne", "--embedding", "y.npy", words=["DATA"])
    box.fails(2, *score, "y.npy", "--perplexity", 1, words=["--perplexity"])
    box.fails(2, *score, "y.npy", "--n-neighbors", 0, words=["--n-neighbors"])
    box.fails(2, *score, "y.npy", "--n-neighbors", 75)
    box.fails(3, *score, "y.npy", "--perplexity", 149, words=["perplexity"])
    box.fails(3, *score, "missing.npy", words=["missing.npy"])
    write_npy(box.path("short.npy"), [[0.0, 1.0]] * 149)
    box.fails(3, *score, "short.npy", words=["149 rows for the 150 rows", "short.npy"])
    for value in (math.nan, math.inf):
        rows = read_rows(box.path("y.npy"))
        rows[17][1] = value
        write_npy(box.path("bad.npy"), rows)
        box.fails(3, *score, "bad.npy", words=["row 17"])
    write_npy(box.path("l.npy"), [1] * 149, "<i4")
    box.fails(3, *score, "y.npy", "--labels", "l.npy", words=["149 labels for 150 rows", "l.npy"])
    box.fails(4, *score, "y.npy", "--memory-limit", "1KiB", words=["--memory-limit"])
    box.fails(5, *score, "y.npy", "--device", "cuda:99")
    # A model in a file of that name goes by its path.
    box.ok("fit", "kde", "x.npy", "--model", "tsne")
    assert box.ok("score", "./tsne", "x.npy")["method"] == "kde"
