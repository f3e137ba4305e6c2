"""Every data format through the command, ranges, info and convert."""

import gzip
import math
import struct
import zipfile

from files import BLOBS, npy_bytes, planted, read_npy, read_rows, write_npy
from harness import DATA, near

ROWS = [[0.5, -1.0, 2.0], [1.5, 4.0, -3.25], [2.5, 0.0, 8.0], [-7.0, 1.0, 0.125]]
FLAT = [x for row in ROWS for x in row]


def matrix_of(box, *args):
    box.ok("convert", *args[:1], "o.npy", *args[1:])
    return read_rows(box.path("o.npy"))


def test_every_format_gives_the_same_rows(box):
    f4 = struct.pack("<12f", *FLAT)
    box.write("c.npy", npy_bytes(FLAT, (4, 3)))
    box.write("f.npy", npy_bytes([r[j] for j in range(3) for r in ROWS], (4, 3), fortran=True))
    box.write("f4.npy", npy_bytes(FLAT, (4, 3), "<f4"))
    box.write("x.raw", f4)
    box.write("x.fvecs", b"".join(struct.pack("<i3f", 3, *r) for r in ROWS))
    for name, separator in (("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("space", " ")):
        box.write(f"{name}.csv", "".join(separator.join(map(str, r)) + "\n" for r in ROWS))
    box.write("header.csv", "a,b,\"c, quoted\"\r\n" +
              "".join(",".join(map(str, r)) + "\r\n" for r in ROWS))
    with zipfile.ZipFile(box.path("x.npz"), "w") as archive:
        archive.writestr("first.npy", npy_bytes([1.0], (1, 1)))
        archive.writestr("second.npy", npy_bytes(FLAT, (4, 3)))
    for data in (["c.npy"], ["f.npy"], ["f4.npy"], ["x.fvecs"], ["x.npz:second"], ["comma.csv"],
                 ["semicolon.csv"], ["tab.csv"], ["space.csv"], ["header.csv"],
                 ["x.raw", "--shape", "4x3"]):
        assert matrix_of(box, *data) == ROWS, data
    box.fails(3, "info", "x.npz", words=["first", "second"])
    box.fails(3, "info", "x.npz:third", words=["third"])


def test_idx_and_gz(box):
    pixels = bytes(range(12))
    idx = b"\x00\x00\x08\x03" + struct.pack(">3I", 3, 2, 2) + pixels
    box.write("images-idx3-ubyte", idx)
    box.write("images-idx3-ubyte.gz", gzip.compress(idx))
    expected = [[float(4 * i + j) for j in range(4)] for i in range(3)]
    for name in ("images-idx3-ubyte", "images-idx3-ubyte.gz"):
        assert matrix_of(box, name) == expected
        assert box.ok("info", name)["n_features"] == 4
    near(matrix_of(box, "images-idx3-ubyte", "--scale", 1 / 255, "--dtype", "float64"),
         [[x / 255 for x in r] for r in expected], 1e-15, "scaled")


def test_rows_columns_and_scale(box):
    write_npy(box.path("x.npy"), ROWS)
    assert matrix_of(box, "x.npy", "--rows", "1:3") == ROWS[1:3]
    assert matrix_of(box, "x.npy", "--rows", ":2", "--columns", "1:") == [r[1:] for r in ROWS[:2]]
    assert matrix_of(box, "x.npy", "--columns", "0:1", "--scale", -2) == [[-2 * r[0]] for r in ROWS]
    for option, value in (("--rows", "0:5"), ("--rows", "3:2"), ("--rows", "9:"),
                          ("--columns", "2:4"), ("--columns", "4:")):
        result = box.run("convert", "x.npy", "bad.npy", option, value)
        assert result.code in (2, 3), str(result)
        box.check_error(result)
    assert "bad.npy" not in box.files()


def test_the_fit_sees_what_the_options_select(box):
    rows = planted(200, BLOBS, seed=2)
    write_npy(box.path("x.npy"), rows)
    write_npy(box.path("part.npy"), [[3.0 * x for x in r[1:]] for r in rows[50:150]])
    common = ["--components", 2, "--seed", 1, "--model"]
    box.ok("fit", "gaussian-mixture", "x.npy", "--rows", "50:150", "--columns", "1:", "--scale", 3,
           *common, "a.safetensors")
    box.ok("fit", "gaussian-mixture", "part.npy", *common, "b.safetensors")
    assert box.bytes("a.safetensors") == box.bytes("b.safetensors")


def test_info_describes_data(box):
    nan = float("nan")
    write_npy(box.path("x.npy"), [[1.0, nan], [2.5, float("inf")], [-1.0, nan]])
    info = box.ok("info", "x.npy")
    assert (info["format"], info["type"], info["n_rows"], info["n_features"]) == \
        ("npy", "float64", 3, 2)
    first, second = info["columns"]
    assert (first["min"], first["max"], first["nan"], first["infinite"]) == (-1.0, 2.5, 0, 0)
    near(first["mean"], 2.5 / 3, 1e-16, "mean")
    assert (second["min"], second["mean"], second["nan"], second["infinite"]) == (None, None, 2, 1)
    box.write("x.csv", "height,width\n1,2\n3,\n")
    info = box.ok("info", "x.csv")
    assert [c["name"] for c in info["columns"]] == ["height", "width"]
    assert info["columns"][1]["nan"] == 1 and info["format"] == "csv"
    big = 1.7976931348623157e308
    write_npy(box.path("big.npy"), [[big], [big], [big]])
    assert box.ok("info", "big.npy")["columns"][0]["mean"] == big


def test_csv_and_back_is_the_same_bits(box):
    rows = planted(100, BLOBS, 1e-7, seed=4) + [[1e300, -1e-300, 5e-324], [0.1, -0.0, 1 / 3]]
    write_npy(box.path("x.npy"), rows)
    box.ok("convert", "x.npy", "x.csv")
    box.ok("convert", "x.csv", "y.npy")
    assert box.bytes("y.npy") == npy_bytes([x for r in rows for x in r], (102, 3)) or \
        read_npy(box.path("y.npy")) == read_npy(box.path("x.npy"))
    write_npy(box.path("f4.npy"), [[0.1, 0.25]], "<f4")
    box.ok("convert", "f4.npy", "f4.csv")
    assert box.bytes("f4.csv") == b"0.1,0.25\n"


def test_convert_keeps_names_and_missing_values(box):
    box.write("x.csv", "a,\"b \"\"x\"\", y\"\n1,\n3,4\n")
    box.fails(3, "convert", "x.csv", "y.npy", words=["line 2", "--missing"])
    box.ok("convert", "x.csv", "y.npy", "--missing")
    rows = read_rows(box.path("y.npy"))
    assert math.isnan(rows[0][1]) and rows[1] == [3.0, 4.0]
    box.ok("convert", "x.csv", "z.csv", "--missing")
    assert box.bytes("z.csv").splitlines()[0] == b"a,\"b \"\"x\"\", y\""
    names = [c["name"] for c in box.ok("info", "z.csv")["columns"]]
    assert names == ["a", "b \"x\", y"]


def test_convert_refuses_what_it_cannot_write(box):
    write_npy(box.path("x.npy"), ROWS)
    for name in ("y.h5", "y", "y.npz", "npy"):
        box.fails(2, "convert", "x.npy", name, words=[name])
    box.fails(2, "convert", "x.npy")
    assert box.files() == ["x.npy"]


def test_convert_types(box):
    write_npy(box.path("x.npy"), [[1, 2], [3, 4]], "|u1")
    for dtype, kind in (("float32", "<f4"), ("float64", "<f8")):
        box.ok("convert", "x.npy", "y.npy", "--dtype", dtype)
        assert read_npy(box.path("y.npy")) == ((2, 2), kind, [1.0, 2.0, 3.0, 4.0])


def test_many_chunks_convert_whole(box):
    rows = [[float(3 * i + j) for j in range(3)] for i in range(400_000)]
    write_npy(box.path("x.npy"), rows)
    box.ok("convert", "x.npy", "y.npy")
    assert box.bytes("x.npy")[-9_600_000:] == box.bytes("y.npy")[-9_600_000:]
    assert box.ok("info", "y.npy")["columns"][2]["max"] == 3 * 399_999 + 2


def test_shipped_data(box):
    for name, shape in (("old_faithful", (272, 2)), ("digits", (1797, 64)), ("iris", (150, 4))):
        info = box.ok("info", f"{DATA}/{name}.npy")
        assert (info["n_rows"], info["n_features"]) == shape
