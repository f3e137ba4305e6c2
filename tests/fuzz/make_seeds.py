"""Writes seeds/: small inputs that the fuzzers start from. Needs nothing but Python.

The first half of a name says what the reader must do with it: good-... is accepted, bad-... refused.
"""

import gzip
import io
import pathlib
import struct
import zipfile

SEEDS = pathlib.Path(__file__).parent / "seeds"


def seed(reader, name, content):
    folder = SEEDS / reader
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def npy(descr, shape, data, fortran=False, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def archive(method, members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, content in members:
            z.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def tensors(header, data):
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def main():
    floats = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    small = npy("<f4", (2, 3), floats)
    seed("npy", "good-f4", small)
    seed("npy", "good-fortran-v2", npy("<f4", (2, 3), floats, True, 2))
    seed("npy", "good-big-endian-v3", npy(">i2", (2, 2, 3), bytes(24), version=3))
    seed("npy", "good-vector", npy("|u1", (3,), b"abc"))
    seed("npy", "good-scalar", npy("<f8", (), bytes(8)))
    seed("npy", "bad-object", npy("|O", (1,), b"\x80\x04N."))
    seed("npy", "bad-huge", npy("<f8", (2**40, 2**40), b""))
    seed("npy", "bad-cut", small[:-1])

    seed("npz", "good-stored", archive(zipfile.ZIP_STORED, [("a.npy", small)]))
    seed("npz", "good-deflated", archive(zipfile.ZIP_DEFLATED, [("a.npy", small), ("b.npy", small)]))
    seed("npz", "bad-not-npy", archive(zipfile.ZIP_STORED, [("a", b"hello")]))
    seed("npz", "bad-empty", archive(zipfile.ZIP_STORED, []))

    # The first byte chooses options: 1 missing, 2 without the first row, 4 the first column alone.
    seed("csv", "good-header", b"\0x,y\n1,2\n3,-4.5e3\n")
    seed("csv", "good-missing", b"\1a;b;c\r\n1;;3\r\nNA;nan;6\r\n")
    seed("csv", "good-quoted", b'\0"a ""b""","c, d"\n"1",2\n')
    seed("csv", "good-blanks", b"\0# comment\n 1  2 3\n\n4 5\t6\n")
    seed("csv", "good-part", b"\6w\tname\n1\tx\n2\ty\n")
    seed("csv", "bad-ragged", b"\0001,2\n3\n")
    seed("csv", "bad-text", b"\0001,2\n3,x\n")
    seed("csv", "bad-quote", b'\0001,2\n3,"4\n')
    seed("csv", "bad-extreme", b"\0001e400\n1e-400\n12345678901234567890\n")

    idx = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 1, 3) + b"abcdef"
    seed("idx", "good-images", idx)
    seed("idx", "good-doubles", struct.pack(">BBBBI2d", 0, 0, 14, 1, 2, 0.5, -1))
    seed("idx", "bad-cut", idx[:-1])
    seed("idx", "bad-huge", struct.pack(">BBBBIII", 0, 0, 14, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1))

    # The first byte chooses the type: 0 fvecs, 1 bvecs.
    row = struct.pack("<i3f", 3, 1, 2, 3)
    seed("fvecs", "good-floats", b"\0" + row + row)
    seed("fvecs", "good-bytes", b"\1" + (struct.pack("<i", 3) + b"abc") * 2)
    seed("fvecs", "bad-negative", b"\0" + struct.pack("<i", -1) + bytes(12))
    seed("fvecs", "bad-second", b"\0" + row + struct.pack("<i3f", 2, 1, 2, 3))

    # Rows, columns, type, then the file.
    seed("raw", "good-f4", struct.pack("<qqB", 2, 3, 0) + floats)
    seed("raw", "bad-shape", struct.pack("<qqB", 3, 3, 0) + floats)
    seed("raw", "bad-overflow", struct.pack("<qqB", 2**62, 2**62, 1) + floats)

    seed("gzip", "good-text", gzip.compress(b"1,2\n3,4\n", mtime=0))
    seed("gzip", "good-two", gzip.compress(b"1", mtime=0) + gzip.compress(b"2", mtime=0))
    seed("gzip", "bad-cut", gzip.compress(b"1,2\n3,4\n", mtime=0)[:-3])
    seed("gzip", "bad-bomb", gzip.compress(bytes(1 << 21), mtime=0))

    entry = b'"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}'
    seed("safetensors", "good-plain", tensors(b"{" + entry + b"}", floats))
    seed("safetensors", "good-metadata", tensors(b'{"__metadata__":{"k":"v"},' + entry + b"}", floats))
    seed("safetensors", "good-empty", tensors(b"{}", b""))
    seed("safetensors", "bad-twice", tensors(b"{" + entry + b"," + entry + b"}", floats))
    checksum = b'"__metadata__":{"culatent.checksum":"' + b"0" * 32 + b'"},'
    seed("safetensors", "bad-checksum", tensors(b"{" + checksum + entry + b"}", floats))
    seed("safetensors", "bad-length", struct.pack("<Q", 2**63) + b"{}")


if __name__ == "__main__":
    main()
