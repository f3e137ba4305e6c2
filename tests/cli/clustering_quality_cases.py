"""`score --labels` of clusters: scikit-learn's results, closed forms, and what is refused."""

import math

from files import BLOBS, npy_bytes, planted, read_npy, read_rows, write_npy, write_safetensors
from harness import DATA, GOLDEN, near

CORNERS = [[0.0, 0.0], [10.0, 0.0], [0.0, 20.0]]


def model(box, centroids, metadata=None):
    write_safetensors(box.path("m.safetensors"), {"centroids": centroids}, metadata)
    return "m.safetensors"


def silhouette(rows, labels):
    """By its definition."""
    values = []
    for row, mine in zip(rows, labels):
        sums = {}
        for other, label in zip(rows, labels):
            sums.setdefault(label, []).append(math.dist(row, other))
        own = sums.pop(mine)
        if len(own) == 1:
            values.append(0.0)
            continue
        a = math.fsum(own) / (len(own) - 1)
        b = min(math.fsum(other) / len(other) for other in sums.values())
        values.append((b - a) / max(a, b))
    return math.fsum(values) / len(values)


def test_scikit_learns_results(box):
    write_safetensors(box.path("start.safetensors"),
                      {"centroids": read_rows(f"{GOLDEN}/kmeans/digits/C0.npy")})
    box.ok("fit", "kmeans", f"{DATA}/digits.npy", "--dtype", "float64", "--init",
           "start.safetensors", "--tol", 0, "--model", "m.safetensors")
    box.ok("predict", "m.safetensors", f"{DATA}/digits.npy", "--output", "l.npy")
    assert read_npy(box.path("l.npy"))[2] == read_npy(
        f"{GOLDEN}/kmeans/digits/expected_labels.npy")[2]
    for dtype in ("float32", "float64"):  # the pixels are whole numbers either way
        score = box.ok("score", "m.safetensors", f"{DATA}/digits.npy", "--dtype", dtype,
                       "--labels", f"{DATA}/digits_labels.npy")
        assert list(score) == ["method", "n_rows", "inertia", "adjusted_rand",
                               "normalized_mutual_information", "silhouette", "silhouette_rows",
                               "davies_bouldin"]
        # sklearn.metrics 1.9.1 with those labels.
        near(score["adjusted_rand"], 0.6507244186671964, 1e-15, "adjusted Rand")
        near(score["normalized_mutual_information"], 0.7467844408146799, 1e-14, "information")
        near(score["silhouette"], 0.18754452306978922, 1e-13, "silhouette")
        near(score["davies_bouldin"], 1.827653178134885, 1e-13, "Davies-Bouldin")
        assert score["silhouette_rows"] == 1797


def test_four_rows_by_hand(box):
    write_npy(box.path("x.npy"), [[0.0, 5.0], [1.0, 5.0], [10.0, 5.0], [11.0, 5.0]])
    m = model(box, [[10.5, 5.0], [0.5, 5.0], [99.0, 5.0]])
    for labels, agreement in (([7, 7, -1, -1], 1.0), ([0, 1, 0, 1], None)):
        write_npy(box.path("y.npy"), labels, "<i8")
        score = box.ok("score", m, "x.npy", "--labels", "y.npy")
        near(score["adjusted_rand"], agreement or -0.5, 1e-15, "adjusted Rand")
        near(score["normalized_mutual_information"], agreement or 0.0, 1e-15, "information")
        near(score["silhouette"], (9.5 / 10.5 + 8.5 / 9.5) / 2, 1e-15, "silhouette")
        near(score["davies_bouldin"], 0.1, 1e-16, "Davies-Bouldin")
        near(score["inertia"], 4 * 0.25, 1e-15, "inertia")
        assert score["silhouette_rows"] == 4
    assert "silhouette" not in box.ok("score", m, "x.npy")


def test_the_cosine_metric_measures_directions(box):
    rows = [[x * s for x in row] for row, s in zip(planted(60, BLOBS[1:], 0.5, 3), range(1, 61))]
    write_npy(box.path("x.npy"), rows)
    write_npy(box.path("y.npy"), [0] * 60, "|u1")
    unit = [[x / math.hypot(*row) for x in row] for row in rows]
    centres = [[x / math.hypot(*c) for x in c] for c in BLOBS[1:]]
    m = model(box, centres, {"culatent.method": "kmeans", "metric": "cosine"})
    box.ok("predict", m, "x.npy", "--output", "l.npy")
    expected = silhouette(unit, read_npy(box.path("l.npy"))[2])
    score = box.ok("score", m, "x.npy", "--labels", "y.npy")
    near(score["silhouette"], expected, 1e-14, "silhouette")
    assert abs(expected - silhouette(rows, read_npy(box.path("l.npy"))[2])) > 0.1


def test_many_rows_are_sampled_and_said_to_be(box):
    rows = planted(12000, CORNERS, 1.0)
    write_npy(box.path("x.npy"), rows)
    write_npy(box.path("y.npy"), [i % 3 for i in range(12000)], "<i4")
    m = model(box, CORNERS)
    seen = set()
    for threads, chunk in ((1, 12000), (2, 1024), (3, 5000)):
        run = box.run("score", m, "x.npy", "--labels", "y.npy", "--threads", threads,
                      "--chunk-rows", chunk, "--output", "s.npy")
        seen.add((run.out, box.bytes("s.npy")))
    assert len(seen) == 1
    score = box.ok("score", m, "x.npy", "--labels", "y.npy")
    assert score["silhouette_rows"] == 10000
    # Values lie within about 0.1 of each other: five standard errors of 600 of them.
    part = silhouette(rows[:600], [i % 3 for i in range(600)])
    near(score["silhouette"], part, 5 * 0.1 / math.sqrt(600), "silhouette")
    assert score["adjusted_rand"] == 1.0 and score["normalized_mutual_information"] == 1.0


def test_one_cluster_has_no_geometry(box):
    write_npy(box.path("x.npy"), planted(20, BLOBS))
    write_npy(box.path("y.npy"), [i % 3 for i in range(20)], "<i4")
    run = box.run("score", model(box, [[0.0, 0.0, 0.0]]), "x.npy", "--labels", "y.npy")
    assert run.code == 0, str(run)
    assert run.json["silhouette"] is None and run.json["davies_bouldin"] is None
    assert run.json["silhouette_rows"] == 0 and run.json["adjusted_rand"] == 0.0
    assert [w["code"] for w in run.json["warnings"]] == ["non-finite", "non-finite"]
    assert "1 clusters in 20 rows" in run.err


def test_bad_labels(box):
    write_npy(box.path("x.npy"), planted(20, BLOBS))
    write_npy(box.path("y.npy"), list(range(20)), "<i4")
    m = model(box, BLOBS)
    score = ["score", m, "x.npy", "--output", "o.npy", "--labels"]
    for count in (19, 21):
        write_npy(box.path("z.npy"), [0] * count, "<i4")
        box.fails(3, *score, "z.npy", words=[f"{count} labels for 20 rows", "z.npy"])
    write_npy(box.path("z.npy"), [0.0] * 19 + [0.5])
    box.fails(3, *score, "z.npy", words=["not an integer", "row 19"])
    write_npy(box.path("z.npy"), [0.0] * 19 + [float("nan")])
    box.fails(3, *score, "z.npy", words=["not an integer"])
    write_npy(box.path("z.npy"), [[0, 1]] * 20, "<i4")
    box.fails(3, *score, "z.npy", words=["2 columns", "z.npy"])
    box.write("z.npy", npy_bytes([0] * 20, (20,), "<i4")[:-4])
    box.fails(3, *score, "z.npy", words=["z.npy"])
    box.fails(3, *score, "none.npy", words=["none.npy"])
    box.fails(2, "score", m, "x.npy", "--labels", "y.npy", "--output", "y.npy", words=["y.npy"])
    box.fails(2, "predict", m, "x.npy", "--labels", "y.npy", "--output", "o.npy",
              words=["--labels"])
    box.ok("fit", "kde", "x.npy", "--model", "k.safetensors")
    box.fails(2, "score", "k.safetensors", "x.npy", "--labels", "y.npy", words=["--labels", "kde"])
    assert "o.npy" not in box.files()
    assert read_npy(box.path("y.npy"))[2] == list(range(20))


def test_labels_count_against_the_memory_limit(box):
    write_npy(box.path("x.npy"), planted(50000, CORNERS))
    write_npy(box.path("y.npy"), [i % 3 for i in range(50000)], "<i4")
    m = model(box, CORNERS)
    score = ["score", m, "x.npy", "--threads", 1, "--memory-limit"]
    box.ok(*score, "512KiB")
    box.fails(4, *score, "512KiB", "--labels", "y.npy")
    assert box.ok(*score, "16MiB", "--labels", "y.npy")["adjusted_rand"] == 1.0
