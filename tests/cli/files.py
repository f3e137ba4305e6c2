"""Data and model files, written and read without the code under test."""

import json
import random
import struct

_CODES = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "<i2": "h", "|u1": "B", "|i1": "b"}


def npy_bytes(values, shape, dtype="<f8", fortran=False):
    """A .npy of the flat list `values` (in file order)."""
    shape_text = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    header = f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape_text}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    return head + struct.pack(f"<{len(values)}{_CODES[dtype]}", *values)


def write_npy(path, rows, dtype="<f8"):
    """A matrix from a list of rows, or a vector from a list of numbers."""
    if rows and not isinstance(rows[0], (list, tuple)):
        content = npy_bytes(rows, (len(rows),), dtype)
    else:
        width = len(rows[0]) if rows else 0
        content = npy_bytes([x for row in rows for x in row], (len(rows), width), dtype)
    with open(path, "wb") as file:
        file.write(content)


def read_npy(path):
    """(shape, dtype, flat list of values); refuses what is not whole."""
    with open(path, "rb") as file:
        content = file.read()
    assert content[:8] == b"\x93NUMPY\x01\x00", "not a version 1 .npy"
    (length,) = struct.unpack("<H", content[8:10])
    assert (10 + length) % 64 == 0, "header not padded to 64"
    header = eval(content[10:10 + length], {"__builtins__": {}})  # noqa: S307 a Python literal
    assert header["fortran_order"] is False
    count = 1
    for extent in header["shape"]:
        count *= extent
    code = _CODES[header["descr"]]
    body = content[10 + length:]
    assert len(body) == count * struct.calcsize(code), "length does not match the shape"
    return header["shape"], header["descr"], list(struct.unpack(f"<{count}{code}", body))


def read_rows(path):
    """The rows of a matrix in a .npy."""
    shape, _, values = read_npy(path)
    return [values[i * shape[1]:(i + 1) * shape[1]] for i in range(shape[0])]


def flatten(values):
    if not isinstance(values, (list, tuple)):
        return [values]
    return [x for value in values for x in flatten(value)]


def shape_of(values):
    if not isinstance(values, (list, tuple)):
        return []
    return [len(values)] + (shape_of(values[0]) if values else [])


def unflatten(values, shape):
    if not shape:
        return values[0]
    step = len(values) // shape[0] if shape[0] else 0
    return [unflatten(values[i * step:(i + 1) * step], shape[1:]) for i in range(shape[0])]


def write_safetensors(path, tensors, metadata=None):
    """float64 tensors from nested lists."""
    header, body = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, values in tensors.items():
        flat = flatten(values)
        start = len(body)
        body += struct.pack(f"<{len(flat)}d", *flat)
        header[name] = {"dtype": "F64", "shape": shape_of(values),
                        "data_offsets": [start, len(body)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def read_safetensors(path):
    """({name: nested lists}, metadata), every tensor float64."""
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length])
    metadata = header.pop("__metadata__", {})
    body, tensors = content[8 + length:], {}
    for name, entry in header.items():
        assert entry["dtype"] == "F64", f"{name} is {entry['dtype']}"
        first, last = entry["data_offsets"]
        values = struct.unpack(f"<{(last - first) // 8}d", body[first:last])
        tensors[name] = unflatten(list(values), entry["shape"])
    assert max((e["data_offsets"][1] for e in header.values()), default=0) == len(body)
    return tensors, metadata


def inverse(matrix):
    """Of a small square matrix, by Gauss-Jordan with pivoting."""
    n = len(matrix)
    rows = [list(row) + [float(i == j) for j in range(n)] for i, row in enumerate(matrix)]
    for column in range(n):
        pivot = max(range(column, n), key=lambda r: abs(rows[r][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [x / rows[column][column] for x in rows[column]]
        for r in range(n):
            if r != column:
                factor = rows[r][column]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[column])]
    return [row[n:] for row in rows]


def planted(n, centres, spread=0.3, seed=1):
    """n rows around the centres in turn, Gaussian with this standard deviation."""
    draw = random.Random(seed)
    return [[draw.gauss(x, spread) for x in centres[i % len(centres)]] for i in range(n)]


BLOBS = [[0.0, 0.0, 0.0], [5.0, 1.0, -2.0], [-4.0, 3.0, 1.0]]
