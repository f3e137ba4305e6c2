"""The bits of a model depend on data, options and seed, and on nothing else."""

from files import BLOBS, npy_bytes, planted, write_npy

FIT = ["fit", "gaussian-mixture"]


def models(box, data, *options, machines):
    found = {}
    for machine in machines:
        box.ok(*FIT, data, *options, *machine, "--model", "m.safetensors")
        found.setdefault(box.bytes("m.safetensors"), []).append(machine)
    return found


def test_threads_and_chunks_do_not_matter(box):
    write_npy(box.path("x.npy"), planted(5003, BLOBS, spread=2.0, seed=1), "<f4")
    machines = [["--threads", t, *(["--chunk-rows", c] if c else [])]
                for t in (1, 2, 3, 7) for c in (0, 1, 1500, 4096)]
    for kind in ("full", "tied", "diagonal", "spherical"):
        for dtype in ("float32", "float64"):
            found = models(box, "x.npy", "--components", 4, "--seed", 1, "--max-iter", 6, "--tol", 0,
                           "--covariance", kind, "--dtype", dtype, machines=machines)
            assert len(found) == 1, f"{kind} {dtype}: {list(found.values())}"


def test_nor_do_they_for_any_initialisation_weights_or_missing_values(box):
    rows = planted(3001, BLOBS, spread=2.0, seed=2)
    write_npy(box.path("x.npy"), rows)
    write_npy(box.path("w.npy"), [0.1 + i % 7 for i in range(3001)])
    rows = [[float("nan") if (i * 7 + j) % 11 == 0 else x for j, x in enumerate(r)]
            for i, r in enumerate(rows)]
    write_npy(box.path("missing.npy"), rows)
    machines = [["--threads", t, "--chunk-rows", c] for t, c in ((1, 3001), (2, 1024), (7, 500))]
    common = ["--components", 3, "--seed", 1, "--max-iter", 4, "--tol", 0]
    for init in ("kmeans", "kmeans++", "random", "random-rows"):
        for data in (["x.npy"], ["x.npy", "--weights", "w.npy"], ["missing.npy", "--missing"]):
            found = models(box, *data, *common, "--init", init, machines=machines)
            assert len(found) == 1, f"{init} {data}"


def test_the_storage_of_the_rows_does_not_matter(box):
    rows = planted(700, BLOBS, spread=2.0, seed=3)
    flat = [x for r in rows for x in r]
    box.write("c.npy", npy_bytes(flat, (700, 3)))
    box.write("f.npy", npy_bytes([r[j] for j in range(3) for r in rows], (700, 3), fortran=True))
    box.write("x.csv", "".join(",".join(map(repr, r)) + "\n" for r in rows))
    wide = [x for r in rows for x in (9.0, *r, 9.0)]
    box.write("wide.npy", npy_bytes(wide, (700, 5)))
    found = set()
    for data in (["c.npy"], ["f.npy"], ["x.csv"], ["wide.npy", "--columns", "1:4"]):
        box.ok(*FIT, *data, "--components", 3, "--seed", 1, "--model", "m.safetensors")
        found.add(box.bytes("m.safetensors"))
    assert len(found) == 1


def test_seeds_matter(box):
    write_npy(box.path("x.npy"), planted(500, BLOBS, spread=4.0, seed=4))
    found = models(box, "x.npy", "--components", 6, "--init", "random", "--max-iter", 3,
                   machines=[["--seed", s] for s in (0, 1, 2, 2**64 - 1)])
    assert len(found) == 4


def test_a_memory_limit_does_not_matter(box):
    write_npy(box.path("x.npy"), planted(5000, BLOBS, spread=2.0, seed=5))
    found = models(box, "x.npy", "--components", 4, "--seed", 1,
                   machines=[[], ["--memory-limit", "64MiB"], ["--memory-limit", "2MiB"]])
    assert len(found) == 1
