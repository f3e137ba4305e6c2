"""predict, transform, score and sample on mixtures."""

import math

from files import (BLOBS, npy_bytes, planted, read_npy, read_rows, read_safetensors, write_npy,
                   write_safetensors)
from harness import DATA, near

MIXTURE = {"weights": [0.25, 0.75], "means": [[0.0, 0.0], [3.0, -1.0]],
           "covariances": [[1.0, 4.0], [0.25, 1.0]]}


def log_joint(x, k):
    m, v = MIXTURE["means"][k], MIXTURE["covariances"][k]
    return math.log(MIXTURE["weights"][k]) - 0.5 * sum(
        math.log(2 * math.pi * v[j]) + (x[j] - m[j])**2 / v[j] for j in range(2))


def model(box, metadata=None):
    write_safetensors(box.path("m.safetensors"), MIXTURE, metadata or {"covariance": "diagonal"})
    return "m.safetensors"


def test_the_closed_form_of_a_file_made_elsewhere(box):
    rows = planted(50, [[0.0, 0.0], [3.0, -1.0], [20.0, 20.0]], 1.0)
    write_npy(box.path("x.npy"), rows)
    joint = [[log_joint(x, k) for k in range(2)] for x in rows]
    top = [max(j) for j in joint]
    log_prob = [t + math.log(sum(math.exp(a - t) for a in j)) for t, j in zip(top, joint)]
    resp = [[math.exp(a - p) for a in j] for j, p in zip(joint, log_prob)]
    m = model(box)
    score = box.ok("score", m, "x.npy", "--output", "lp.npy")
    # exp and log of numbers of size up to a thousand.
    near(read_npy(box.path("lp.npy"))[2], log_prob, 1e-12 * 10, "log_prob")
    box.ok("transform", m, "x.npy", "--output", "z.npy")
    near(read_rows(box.path("z.npy")), resp, 1e-12, "responsibilities")
    box.ok("predict", m, "x.npy", "--output", "l.npy")
    assert read_npy(box.path("l.npy"))[2] == [int(b > a) for a, b in joint]
    total = math.fsum(log_prob)
    near(score["total_log_likelihood"], total, 1e-10, "total")
    near(score["log_likelihood"], total / 50, 1e-12 * 10, "mean")
    assert score["n_parameters"] == 1 + 4 + 4 and score["n_rows"] == 50
    near(score["bic"], -2 * total + 9 * math.log(50), 1e-9, "bic")
    near(score["aic"], -2 * total + 18, 1e-9, "aic")
    entropy = -math.fsum(r * math.log(r) for row in resp for r in row if r > 0) / 50
    near(score["entropy"], entropy, 1e-12, "entropy")
    for key in ("log_likelihood", "total_log_likelihood", "bic", "aic", "entropy", "n_parameters",
                "n_rows"):
        assert key in score


def test_results_do_not_depend_on_chunks_or_threads(box):
    write_npy(box.path("x.npy"), planted(5000, [[0.0, 0.0], [3.0, -1.0]], 1.0))
    m = model(box)
    seen = set()
    for threads, chunk in ((1, 5000), (2, 1024), (3, 700), (7, 1)):
        machine = ["--threads", threads, "--chunk-rows", chunk if chunk > 1 else 999]
        score = box.run("score", m, "x.npy", "--output", "lp.npy", *machine)
        box.ok("predict", m, "x.npy", "--output", "l.npy", *machine)
        box.ok("transform", m, "x.npy", "--output", "z.npy", *machine)
        seen.add((score.out, box.bytes("lp.npy"), box.bytes("l.npy"), box.bytes("z.npy")))
    assert len(seen) == 1
    assert box.run("score", m, "x.npy").out in {out for out, *_ in seen}


def test_output_types(box):
    write_npy(box.path("x8.npy"), planted(20, [[0.0, 0.0]]))
    write_npy(box.path("x4.npy"), planted(20, [[0.0, 0.0]]), "<f4")
    box.write("x.csv", "".join(f"{a},{b}\n" for a, b in planted(20, [[0.0, 0.0]])))
    m = model(box)
    for data, kind in (("x8.npy", "<f8"), ("x4.npy", "<f4"), ("x.csv", "<f8")):
        box.ok("transform", m, data, "--output", "z.npy")
        assert read_npy(box.path("z.npy"))[1] == kind, data
        for dtype, wanted in (("float32", "<f4"), ("float64", "<f8")):
            box.ok("score", m, data, "--dtype", dtype, "--output", "lp.npy")
            assert read_npy(box.path("lp.npy"))[1] == wanted
        box.ok("predict", m, data, "--output", "l.npy")
        assert read_npy(box.path("l.npy"))[1] == "<i4"


def test_a_wrong_width_and_a_wrong_file_are_refused(box):
    m = model(box)
    write_npy(box.path("x3.npy"), planted(9, BLOBS))
    write_npy(box.path("x.npy"), [[1.0, 2.0]])
    for verb in ("predict", "transform", "score"):
        box.fails(3, verb, m, "x3.npy", "--output", "o.npy", words=["3 columns", "2", "x3.npy"])
        box.fails(3, verb, "x.npy", "x.npy", "--output", "o.npy", words=["x.npy"])
        box.fails(3, verb, "none.safetensors", "x.npy", "--output", "o.npy",
                  words=["none.safetensors"])
        box.fails(3, verb, m, "none.npy", "--output", "o.npy", words=["none.npy"])
        box.fails(2, verb, m, "--output", "o.npy", words=["DATA"])
    box.fails(2, "predict", m, "x.npy", words=["--output"])
    box.fails(2, "transform", m, "x.npy", words=["--output"])
    write_safetensors(box.path("other.safetensors"), MIXTURE, {"culatent.method": "pca"})
    box.fails(3, "score", "other.safetensors", "x.npy", words=["pca", "other.safetensors"])
    write_safetensors(box.path("strange.safetensors"), {"things": [1.0]})
    box.fails(3, "score", "strange.safetensors", "x.npy", words=["strange.safetensors"])
    assert "o.npy" not in box.files()


def test_models_that_are_no_mixture_are_refused(box):
    write_npy(box.path("x.npy"), [[1.0, 2.0]])
    nan = float("nan")
    broken = {
        "negative weight": {"weights": [-0.5, 1.5]},
        "weights that do not sum to one": {"weights": [0.5, 0.9]},
        "NaN weight": {"weights": [nan, 0.5]},
        "three weights": {"weights": [0.2, 0.3, 0.5]},
        "NaN mean": {"means": [[nan, 0.0], [0.0, 0.0]]},
        "infinite mean": {"means": [[float("inf"), 0.0], [0.0, 0.0]]},
        "negative variance": {"covariances": [[1.0, -1.0], [1.0, 1.0]]},
        "zero variance": {"covariances": [[1.0, 0.0], [1.0, 1.0]]},
        "NaN variance": {"covariances": [[1.0, nan], [1.0, 1.0]]},
        "covariances of another shape": {"covariances": [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]},
        "flat means": {"means": [0.0, 1.0]},
    }
    for what, change in broken.items():
        write_safetensors(box.path("m.safetensors"), {**MIXTURE, **change},
                          {"covariance": "diagonal"})
        result = box.run("score", "m.safetensors", "x.npy")
        assert result.code == 3, f"{what}\n{result}"
        box.check_error(result)


def test_values_of_every_size_score_without_nan(box):
    big = 3.4028234663852886e38
    write_npy(box.path("x.npy"), [[big, -big], [0.0, 1e-45], [-big, 1.0]], "<f4")
    for dtype in ("float32", "float64"):
        result = box.run("score", model(box), "x.npy", "--dtype", dtype)
        assert result.code in (0, 3), str(result)
        if result.code == 0 and result.json["log_likelihood"] is None:
            assert "non-finite" in [w["code"] for w in result.json["warnings"]]
            assert "culatent: warning: " in result.err


def test_bad_rows_are_named(box):
    write_npy(box.path("x.npy"), [[1.0, 2.0], [3.0, float("nan")]])
    for verb in ("predict", "transform", "score"):
        box.fails(3, verb, model(box), "x.npy", "--output", "o.npy", words=["row 1", "column 1"])
    assert "o.npy" not in box.files()


def test_no_rows(box):
    box.write("x.npy", npy_bytes([], (0, 2)))
    for verb in ("predict", "transform", "score"):
        result = box.run(verb, model(box), "x.npy", "--output", "o.npy")
        assert result.code in (0, 3), str(result)
        if result.code == 0:
            assert read_npy(box.path("o.npy"))[0][0] == 0
        else:
            box.check_error(result)
    box.fails(3, "score", model(box), "x.npy")


def test_a_sample_has_the_moments_of_its_model(box):
    n = 40000
    result = box.ok("sample", model(box), "--rows", n, "--output", "x.npy", "--seed", 3, "--labels",
                    "l.npy")
    assert result["n_rows"] == n and result["seed"] == 3 and result["n_features"] == 2
    rows, labels = read_rows(box.path("x.npy")), read_npy(box.path("l.npy"))[2]
    assert read_npy(box.path("l.npy"))[1] == "<i4"
    for k in range(2):
        mine = [r for r, label in zip(rows, labels) if label == k]
        p = MIXTURE["weights"][k]
        near(len(mine) / n, p, 5 * math.sqrt(p * (1 - p) / n), "share")
        for j in range(2):
            mean, var = MIXTURE["means"][k][j], MIXTURE["covariances"][k][j]
            found = math.fsum(r[j] for r in mine) / len(mine)
            spread = math.fsum((r[j] - mean)**2 for r in mine) / len(mine)
            near(found, mean, 5 * math.sqrt(var / len(mine)), "mean")
            near(spread, var, 5 * var * math.sqrt(2 / len(mine)), "variance")


def test_a_longer_sample_begins_with_the_shorter(box):
    m = model(box)
    box.ok("sample", m, "--rows", 100, "--output", "a.npy", "--seed", 3)
    box.ok("sample", m, "--rows", 1000, "--output", "b.npy", "--seed", 3, "--threads", 3)
    box.ok("sample", m, "--rows", 100, "--output", "c.npy", "--seed", 4)
    assert read_rows(box.path("b.npy"))[:100] == read_rows(box.path("a.npy"))
    assert box.bytes("c.npy") != box.bytes("a.npy")
    drawn = box.ok("sample", m, "--rows", 10, "--output", "d.npy")["seed"]
    box.ok("sample", m, "--rows", 10, "--output", "e.npy", "--seed", drawn)
    assert box.bytes("d.npy") == box.bytes("e.npy")
    box.ok("sample", m, "--rows", 10, "--output", "f.npy", "--dtype", "float32")
    assert read_npy(box.path("f.npy"))[1] == "<f4" and read_npy(box.path("e.npy"))[1] == "<f8"
    assert box.ok("sample", m, "--rows", 0, "--output", "g.npy")["n_rows"] == 0
    box.fails(2, "sample", m, "--output", "h.npy", words=["--rows"])
    box.fails(2, "sample", m, "--rows", -1, "--output", "h.npy", words=["--rows"])
    box.fails(2, "sample", m, "--rows", 5, words=["--output"])


def test_info_describes_models(box):
    info = box.ok("info", model(box))
    assert info["method"] == "gaussian-mixture" and info["checksum"] == "absent"
    assert {t["name"]: t["shape"] for t in info["tensors"]} == {
        "weights": [2], "means": [2, 2], "covariances": [2, 2]}
    box.ok("fit", "gaussian-mixture", f"{DATA}/iris.npy", "--components", 2, "--model",
           "f.safetensors")
    info = box.ok("info", "f.safetensors")
    assert info["checksum"] == "verified" and info["n_features"] == 4
    _, metadata = read_safetensors(box.path("f.safetensors"))
    assert info["metadata"] == metadata
