"""The issue's bad inputs: the right answer or a typed error that says what to do."""

import os
import random
import struct

from files import (BLOBS, npy_bytes, planted, read_safetensors, write_npy, write_safetensors)
from harness import DATA

KINDS = ("full", "tied", "diagonal", "spherical")
NAN, INF = float("nan"), float("inf")


def fit(box, data, *options, model="m.safetensors"):
    return box.run("fit", "gaussian-mixture", data, "--model", model, *options)


def typed_error(box, data, *options, words=(), code=3):
    result = fit(box, data, *options)
    assert result.code == code and result.out == "", str(result)
    assert "m.safetensors" not in box.files()
    return box.check_error(result, words)


def right_or_refused(box, data, *options):
    """Exit 0 with a finite, valid model, or a typed error without one."""
    result = fit(box, data, *options)
    if result.code == 0:
        report = result.json
        assert report["objective"] is not None, str(result)
        tensors, _ = read_safetensors(box.path("m.safetensors"))
        assert abs(sum(tensors["weights"]) - 1.0) < 1e-9
        text = str(tensors)
        assert "nan" not in text and "inf" not in text, text[:300]
    else:
        assert result.code == 3, str(result)
        box.check_error(result)
        assert "m.safetensors" not in box.files()
    if "m.safetensors" in box.files():
        os.remove(box.path("m.safetensors"))
    return result


def test_no_rows_and_no_columns(box):
    box.write("n0.npy", npy_bytes([], (0, 3)))
    box.write("d0.npy", npy_bytes([], (5, 0)))
    box.write("empty.npy", b"")
    box.write("empty.csv", b"")
    box.write("header.csv", b"a,b\n")
    for name in ("n0.npy", "d0.npy", "empty.npy", "empty.csv", "header.csv"):
        typed_error(box, name)


def test_fewer_rows_than_components(box):
    write_npy(box.path("x.npy"), [[1.0, 2.0], [3.0, 4.0]])
    for init in ("kmeans", "kmeans++", "random", "random-rows"):
        typed_error(box, "x.npy", "--components", 3, "--init", init, words=["2 rows", "3"])
    typed_error(box, "x.npy", "--components", 2000000000)


def test_all_rows_equal(box):
    for n in (1, 2, 50):
        write_npy(box.path("x.npy"), [[1.5, -2.0, 3.0]] * n)
        for kind in KINDS:
            for k in (1, 2):
                right_or_refused(box, "x.npy", "--components", k, "--covariance", kind)
                right_or_refused(box, "x.npy", "--components", k, "--covariance", kind,
                                 "--reg-covar", 0)


def test_a_constant_column(box):
    rows = [[r[0], 7.0, r[2]] for r in planted(60, BLOBS, seed=1)]
    write_npy(box.path("x.npy"), rows)
    for kind in KINDS:
        for dtype in ("float32", "float64"):
            result = right_or_refused(box, "x.npy", "--components", 3, "--covariance", kind,
                                      "--dtype", dtype)
            assert result.code == 0, str(result)
            right_or_refused(box, "x.npy", "--components", 3, "--covariance", kind, "--reg-covar",
                             0, "--dtype", dtype)


def test_duplicate_rows_collapse_as_asked(box):
    rows = [[0.0, 0.0]] * 30 + planted(30, [[5.0, 5.0]], 0.5)
    write_npy(box.path("x.npy"), rows)
    write_safetensors(box.path("s.safetensors"), {"means": [[0.0, 0.0], [5.0, 5.0]]})
    for kind in KINDS:
        right_or_refused(box, "x.npy", "--components", 3, "--covariance", kind)
        for policy in ("regularise", "drop", "error"):
            right_or_refused(box, "x.npy", "--init", "s.safetensors", "--covariance", kind,
                             "--reg-covar", 0, "--collapse", policy)
    typed_error(box, "x.npy", "--init", "s.safetensors", "--reg-covar", 0, "--collapse", "error")
    result = fit(box, "x.npy", "--init", "s.safetensors", "--reg-covar", 0, "--collapse", "drop")
    if result.code == 0:
        assert len(read_safetensors(box.path("m.safetensors"))[0]["weights"]) < 2
        assert "collapsed" in [w["code"] for w in result.json["warnings"]]


def test_nan_and_infinity_are_named(box):
    rows = planted(5000, BLOBS, seed=1)
    rows[4321][2] = NAN
    rows[4900][0] = INF
    for dtype in ("<f4", "<f8"):
        write_npy(box.path("x.npy"), rows, dtype)
        for threads in (1, 3):
            typed_error(box, "x.npy", "--threads", threads, words=["row 4321", "column 2"])
    rows[4321][2] = 0.0
    write_npy(box.path("x.npy"), rows)
    typed_error(box, "x.npy", words=["row 4900", "column 0"])
    typed_error(box, "x.npy", "--missing", words=["row 4900", "column 0"])
    write_npy(box.path("all.npy"), [[NAN, NAN]] * 5)
    typed_error(box, "all.npy", "--missing")
    box.write("x.csv", "1,2\n3,x\n")
    typed_error(box, "x.csv", words=["line 2"])


def test_weights(box):
    write_npy(box.path("x.npy"), planted(30, BLOBS, seed=1))
    bad = {"negative": [1.0] * 29 + [-1.0], "nan": [1.0] * 29 + [NAN], "zero": [0.0] * 30,
           "infinite": [1.0] * 29 + [INF], "count": [1.0] * 29}
    for name, weights in bad.items():
        write_npy(box.path(name + ".npy"), weights)
        typed_error(box, "x.npy", "--components", 2, "--weights", name + ".npy")
    write_npy(box.path("matrix.npy"), [[1.0, 2.0]] * 30)
    typed_error(box, "x.npy", "--weights", "matrix.npy", words=["matrix.npy"])
    typed_error(box, "x.npy", "--weights", "none.npy", words=["none.npy"])
    write_npy(box.path("one.npy"), [0.0] * 29 + [1.0])
    right_or_refused(box, "x.npy", "--components", 1, "--weights", "one.npy")
    right_or_refused(box, "x.npy", "--components", 2, "--weights", "one.npy")
    for size in (1e-300, 1e300):
        write_npy(box.path("size.npy"), [size] * 30)
        assert right_or_refused(box, "x.npy", "--components", 2, "--weights",
                                "size.npy").code == 0


def test_values_at_the_ends_of_the_range(box):
    draw = random.Random(3)
    for top, dtype in ((3.4028234663852886e38, "<f4"), (1.7976931348623157e308, "<f8"),
                       (1e-38, "<f4"), (1e-307, "<f8"), (5e-324, "<f8"), (1e19, "<f4")):
        rows = [[draw.uniform(-top, top) if top > 1e-320 else top * draw.randrange(9)
                 for _ in range(3)] for _ in range(60)]
        rows[0] = [top, -top, top]
        write_npy(box.path("x.npy"), rows, dtype)
        for kind in KINDS:
            for reg in (1e-6, 0):
                right_or_refused(box, "x.npy", "--components", 2, "--covariance", kind,
                                 "--reg-covar", reg)


def test_wide_sparse_data(box):
    draw = random.Random(5)
    values = [draw.random() if draw.random() < 0.02 else 0.0 for _ in range(300 * 400)]
    box.write("x.npy", npy_bytes(values, (300, 400), "<f4"))
    for kind in KINDS:
        result = right_or_refused(box, "x.npy", "--components", 10, "--covariance", kind,
                                  "--max-iter", 4)
        assert result.code == 0, str(result)


def test_start_files(box):
    write_npy(box.path("x.npy"), planted(30, BLOBS, seed=1))
    good = {"weights": [1 / 3] * 3, "means": BLOBS, "covariances": [1.0] * 3}
    bad = {
        "another number of features": {"means": [[0.0, 1.0]] * 3},
        "another number of weights": {"weights": [0.5, 0.5]},
        "NaN mean": {"means": [[NAN, 0.0, 0.0]] + BLOBS[1:]},
        "infinite mean": {"means": [[INF, 0.0, 0.0]] + BLOBS[1:]},
        "negative weight": {"weights": [-1.0, 1.0, 1.0]},
        "NaN weight": {"weights": [NAN, 0.5, 0.5]},
        "zero variance": {"covariances": [0.0, 1.0, 1.0]},
        "negative variance": {"covariances": [-1.0, 1.0, 1.0]},
        "NaN variance": {"covariances": [NAN, 1.0, 1.0]},
        "covariances of another shape": {"covariances": [[1.0] * 3] * 3},
    }
    for what, change in bad.items():
        write_safetensors(box.path("s.safetensors"), {**good, **change})
        result = fit(box, "x.npy", "--components", 3, "--covariance", "spherical", "--init",
                     "s.safetensors")
        assert result.code == 3, f"{what}\n{result}"
        box.check_error(result)
    write_safetensors(box.path("s.safetensors"), {"covariances": [1.0] * 3})
    typed_error(box, "x.npy", "--components", 3, "--covariance", "spherical", "--init",
                "s.safetensors")
    write_safetensors(box.path("k.safetensors"), {"rows": BLOBS, "bandwidth": [1.0] * 3},
                      {"culatent.method": "kde"})
    typed_error(box, "x.npy", "--init", "k.safetensors", words=["kde"])
    typed_error(box, "x.npy", "--init", "none.safetensors", words=["none.safetensors"])
    write_safetensors(box.path("s.safetensors"), good)
    typed_error(box, "x.npy", "--components", 2, "--covariance", "spherical", "--init",
                "s.safetensors")
    far = {**good, "means": [[1e30 * (k + 1)] * 3 for k in range(3)]}
    write_safetensors(box.path("s.safetensors"), far)
    right_or_refused(box, "x.npy", "--init", "s.safetensors", "--covariance", "spherical")


def test_every_flipped_byte_of_a_model_is_refused(box):
    box.ok("fit", "gaussian-mixture", f"{DATA}/iris.npy", "--components", 2, "--model",
           "m.safetensors")
    content = box.bytes("m.safetensors")
    draw = random.Random(6)
    (header,) = struct.unpack("<Q", content[:8])
    places = {0, 7, 8, 8 + header - 1, 8 + header, len(content) - 1,
              *(draw.randrange(len(content)) for _ in range(60))}
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.randrange(8)
        box.write("f.safetensors", bytes(flipped))
        box.fails(3, "info", "f.safetensors")
        box.fails(3, "score", "f.safetensors", f"{DATA}/iris.npy", words=["f.safetensors"])


def test_every_cut_of_a_model_is_refused(box):
    box.ok("fit", "gaussian-mixture", f"{DATA}/iris.npy", "--components", 2, "--model",
           "m.safetensors")
    content = box.bytes("m.safetensors")
    for length in sorted({0, 1, 7, 8, 9, 100, len(content) - 1, len(content) - 8,
                          *range(0, len(content), 97)}):
        box.write("c.safetensors", content[:length])
        box.fails(3, "score", "c.safetensors", f"{DATA}/iris.npy", words=["c.safetensors"])
    box.write("c.safetensors", content + b"\0")
    box.fails(3, "score", "c.safetensors", f"{DATA}/iris.npy")


def test_every_cut_of_a_data_file_is_refused(box):
    content = npy_bytes([x for r in planted(9, BLOBS) for x in r], (9, 3))
    for length in range(0, len(content), 7):
        box.write("x.npy", content[:length])
        typed_error(box, "x.npy", words=["x.npy"])
    box.write("x.npy", npy_bytes([], (1 << 40, 1 << 40)))
    typed_error(box, "x.npy", words=["x.npy"])


def test_files_that_are_not_there_or_not_files(box):
    typed_error(box, "none.npy", words=["none.npy"])
    os.mkdir(box.path("folder"))
    typed_error(box, "folder", words=["folder"])
    typed_error(box, "folder/none.npy", words=["none.npy"])
    typed_error(box, "/dev/null")
    box.fails(3, "info", "none.npy", words=["none.npy"])
    box.write("noise.bin", bytes(random.Random(1).randrange(256) for _ in range(1000)))
    typed_error(box, "noise.bin")


def test_names_with_odd_characters(box):
    write_npy(box.path("a b'\"\n\x01ü.npy"), planted(9, BLOBS))
    box.ok("fit", "gaussian-mixture", "a b'\"\n\x01ü.npy", "--model", "m'\n.safetensors", "--html",
           "p <b>.html")
    result = box.run("score", "none\n'.safetensors", "none.npy")
    assert result.code == 3 and len(result.err.splitlines()) == 1, str(result)
    write_npy(os_bytes_name(box), planted(9, BLOBS))
    assert fit(box, b"\xff.npy".decode("utf-8", "surrogateescape")).code == 0


def os_bytes_name(box):
    return box.path("") + b"\xff.npy".decode("utf-8", "surrogateescape")
