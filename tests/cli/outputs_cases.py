"""Files are written whole or not at all, and never over an input."""

import json
import os
import resource
import stat
import zipfile

from embeddings import EMBED, QUICK, blobs
from files import BLOBS, npy_bytes, planted, read_npy, write_npy, write_safetensors
from harness import DATA, Skip

FIT = ["fit", "gaussian-mixture"]


def prepare(box):
    write_npy(box.path("x.npy"), planted(60, BLOBS, seed=1))
    write_npy(box.path("w.npy"), [1.0] * 60)
    write_safetensors(box.path("s.safetensors"), {"means": BLOBS})
    box.ok(*FIT, "x.npy", "--components", 2, "--model", "m.safetensors")
    return {name: box.bytes(name) for name in box.files()}


def unchanged(box, before):
    assert {name: box.bytes(name) for name in before} == before
    assert box.files() == sorted(before), box.files()


def test_an_output_that_is_an_input_or_another_output_is_refused(box):
    before = prepare(box)
    fit = [*FIT, "x.npy", "--weights", "w.npy", "--init", "s.safetensors"]
    new = ["--model", "new.safetensors"]
    for outputs in (["--model", "x.npy"], ["--model", "./x.npy"], ["--model", box.path("x.npy")],
                    ["--model", "w.npy"], ["--model", "s.safetensors"],
                    [*new, "--report", "x.npy"], [*new, "--html", "x.npy"],
                    [*new, "--report", "new.safetensors"], [*new, "--report", "./new.safetensors"],
                    [*new, "--report", "r", "--html", "r"], [*new, "--checkpoint", "x.npy"],
                    [*new, "--checkpoint", "new.safetensors"]):
        box.fails(2, *fit, *outputs, words=["also"])
        unchanged(box, before)
    for verb in ("predict", "transform", "score"):
        for output in ("m.safetensors", "x.npy", "./x.npy"):
            box.fails(2, verb, "m.safetensors", "x.npy", "--output", output, words=["also"])
    box.fails(2, "sample", "m.safetensors", "--rows", 5, "--output", "m.safetensors")
    box.fails(2, "sample", "m.safetensors", "--rows", 5, "--output", "a.npy", "--labels", "a.npy")
    box.fails(2, "convert", "x.npy", "x.npy", words=["also"])
    unchanged(box, before)


def test_links_do_not_hide_an_input(box):
    prepare(box)
    os.symlink("x.npy", box.path("soft.npy"))
    os.link(box.path("x.npy"), box.path("hard.npy"))
    os.mkdir(box.path("real"))
    os.symlink("real", box.path("folder"))
    before = box.bytes("x.npy")
    for name in ("soft.npy", "hard.npy"):
        box.fails(2, "convert", "x.npy", name, words=["also"])
        box.fails(2, "convert", name, "x.npy", words=["also"])
        box.fails(2, *FIT, "x.npy", "--model", name, words=["also"])
    box.fails(2, *FIT, "x.npy", "--model", "real/new", "--report", "folder/new", words=["also"])
    assert box.bytes("x.npy") == before


def test_a_member_of_an_archive_is_the_archive(box):
    with zipfile.ZipFile(box.path("x.npz"), "w") as archive:
        archive.writestr("a.npy", npy_bytes([1.0, 2.0, 4.0], (3, 1)))
    before = box.bytes("x.npz")
    box.fails(2, *FIT, "x.npz:a", "--model", "x.npz", words=["also"])
    assert box.bytes("x.npz") == before


def test_a_failed_command_leaves_what_was_there(box):
    prepare(box)
    write_npy(box.path("nan.npy"), [[1.0, 2.0, float("nan")]] * 4)
    for name in ("old.safetensors", "old.json", "old.html", "old.npy"):
        box.write(name, "what was there")
    before = {name: box.bytes(name) for name in box.files()}
    box.fails(3, *FIT, "nan.npy", "--model", "old.safetensors", "--report", "old.json", "--html",
              "old.html")
    for verb in ("predict", "transform", "score"):
        box.fails(3, verb, "m.safetensors", "nan.npy", "--output", "old.npy")
    unchanged(box, before)


def test_a_full_disk_leaves_no_part_of_a_file(box):
    write_npy(box.path("x.npy"), planted(3000, BLOBS, seed=1))
    box.ok(*FIT, "x.npy", "--components", 2, "--model", "m.safetensors")
    box.write("old.npy", "what was there")
    blobs(box, 100, "few.npy")
    before = {name: box.bytes(name) for name in box.files()}

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    digits = f"{DATA}/digits.npy"
    for args in ([*FIT, digits, "--components", 5, "--covariance", "diagonal", "--max-iter", 2,
                  "--model", "new.safetensors"],
                 [*FIT, digits, "--components", 5, "--covariance", "diagonal", "--max-iter", 2,
                  "--checkpoint", "c", "--checkpoint-every", 1, "--model", "new.safetensors"],
                 ["predict", "m.safetensors", "x.npy", "--output", "old.npy"],
                 ["transform", "m.safetensors", "x.npy", "--output", "new.npy"],
                 ["score", "m.safetensors", "x.npy", "--output", "new.npy"],
                 ["sample", "m.safetensors", "--rows", 3000, "--output", "new.npy"],
                 ["sample", "m.safetensors", "--rows", 600, "--output", "a.npy", "--labels", "b.npy"],
                 ["convert", "x.npy", "new.npy"], ["convert", "x.npy", "new.csv"],
                 # The embedding itself would fit.
                 [*EMBED, "few.npy", "--output", "new.npy", "--snapshots", "s.npy", *QUICK],
                 [*EMBED, "few.npy", "--output", "new.npy", "--checkpoint", "c",
                  "--checkpoint-every", 1, *QUICK]):
        box.fails(3, *args, preexec_fn=small)
        unchanged(box, before)


def test_a_full_stdout_is_an_error(box):
    if not os.path.exists("/dev/full"):
        raise Skip("no /dev/full")
    prepare(box)
    with open("/dev/full", "w") as full:
        for args in ([*FIT, "x.npy", "--model", "n.safetensors"], ["info", "x.npy"], ["devices"],
                     ["score", "m.safetensors", "x.npy"]):
            result = box.run(*args, stdout=full)
            assert result.code == 3, str(result)
            box.check_error(result, ["stdout"])
    assert box.ok("info", "n.safetensors")["checksum"] == "verified"


def test_a_device_is_no_place_for_a_file(box):
    prepare(box)
    for device in ("/dev/full", "/dev/null"):
        if not os.path.exists(device):
            raise Skip(f"no {device}")
        kind = stat.S_IFMT(os.stat(device).st_mode)
        box.fails(3, *FIT, "x.npy", "--model", device, words=[device])
        box.fails(3, "predict", "m.safetensors", "x.npy", "--output", device, words=[device])
        assert stat.S_IFMT(os.stat(device).st_mode) == kind


def test_a_folder_that_is_missing_is_found_before_the_work(box):
    before = prepare(box)
    for option in ("--model", "--report", "--html", "--checkpoint"):
        others = [] if option == "--model" else ["--model", "n.safetensors"]
        box.fails(3, *FIT, "x.npy", *others, option, "none/file", words=["none"])
    box.fails(3, "predict", "m.safetensors", "x.npy", "--output", "none/l.npy", words=["none"])
    box.fails(3, "convert", "x.npy", "none/y.npy", words=["none"])
    unchanged(box, before)
    os.mkdir(box.path("folder.npy"))
    box.fails(3, "convert", "x.npy", "folder.npy", words=["folder.npy"])
    assert os.listdir(box.path("folder.npy")) == []


def test_a_read_only_folder(box):
    if os.geteuid() == 0:
        raise Skip("root writes to read-only folders")
    prepare(box)
    os.mkdir(box.path("locked"), 0o555)
    box.fails(3, *FIT, "x.npy", "--model", "locked/m.safetensors", words=["locked"])
    box.fails(3, "predict", "m.safetensors", "x.npy", "--output", "locked/l.npy", words=["locked"])


def test_outputs_replace_old_files_whole(box):
    prepare(box)
    box.write("l.npy", b"x" * 100_000)
    box.ok("predict", "m.safetensors", "x.npy", "--output", "l.npy")
    assert len(read_npy(box.path("l.npy"))[2]) == 60


def test_nothing_but_the_files_asked_for_is_left(box):
    prepare(box)
    before = box.files()
    box.ok(*FIT, "x.npy", "--model", "n.safetensors", "--report", "n.json", "--html", "n.html",
           "--checkpoint", "n.state", "--checkpoint-every", 1)
    assert box.files() == sorted([*before, "n.safetensors", "n.json", "n.html"])
    json.loads(box.bytes("n.json"))


def test_files_get_the_usual_permissions(box):
    prepare(box)
    old = os.umask(0o027)
    try:
        box.ok("predict", "m.safetensors", "x.npy", "--output", "l.npy")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(box.path("l.npy")).st_mode) == 0o640
