"""Writes data/: files of other programs that fixtures_test.cpp reads. Needs numpy and safetensors.

The values are value(i, j) = i * 1.5 - j / 7 over 5 rows and 3 columns, or 100 i + j for integers,
so that the test needs no file to compare with.
"""

import gzip
import pathlib
import struct

import numpy
import safetensors.numpy

HERE = pathlib.Path(__file__).parent / "data"
REAL = numpy.array([[i * 1.5 - j / 7 for j in range(3)] for i in range(5)])
WHOLE = numpy.array([[100 * i + j for j in range(3)] for i in range(5)])


def npy_version(path, array, version):
    with open(path, "wb") as f:
        numpy.lib.format.write_array(f, array, version=version)


def main():
    HERE.mkdir(exist_ok=True)
    numpy.save(HERE / "c_f8.npy", REAL)
    numpy.save(HERE / "fortran_f4.npy", numpy.asfortranarray(REAL.astype("f4")))
    numpy.save(HERE / "big_i4.npy", WHOLE.astype(">i4"))
    npy_version(HERE / "v2_i2.npy", WHOLE.astype("i2"), (2, 0))
    npy_version(HERE / "v3_i8.npy", WHOLE.astype("i8"), (3, 0))
    numpy.save(HERE / "cube_u1.npy", WHOLE.astype("u1").reshape(5, 3, 1))
    numpy.save(HERE / "objects.npy", numpy.array([1, "a"], dtype=object), allow_pickle=True)
    numpy.savez(HERE / "stored.npz", real=REAL, whole=WHOLE)
    numpy.savez_compressed(HERE / "deflated.npz", REAL)
    numpy.savetxt(HERE / "savetxt.csv", REAL, delimiter=",", header="a,b,c")
    numpy.savetxt(HERE / "savetxt.txt", REAL, fmt="%.17g")
    with gzip.GzipFile(HERE / "whole-idx2-short.gz", "wb", mtime=0) as f:
        f.write(struct.pack(">BBBBII", 0, 0, 0x0B, 2, 5, 3) + WHOLE.astype(">i2").tobytes())
    safetensors.numpy.save_file(
        {
            "real": REAL,
            "single": REAL.astype("f4"),
            "half": numpy.array([0.5, -65504, 2.0**-24], dtype="f2"),
            "whole": WHOLE.astype("i4"),
            "scalar": numpy.array(3.25),
        },
        HERE / "package.safetensors",
        metadata={"note": "written by the safetensors package"},
    )


if __name__ == "__main__":
    main()
