"""Memory plans and limits, progress."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios

from files import BLOBS, planted, write_npy, write_safetensors
from harness import DATA, Skip

FIT = ["fit", "gaussian-mixture"]


def test_the_plan(box):
    write_npy(box.path("x.npy"), planted(500, BLOBS))
    plan = box.ok(*FIT, "x.npy", "--components", 3, "--dry-run")
    for key in ("rows", "columns", "chunk_rows", "host_bytes", "device_bytes"):
        assert isinstance(plan[key], int), key
    assert plan["rows"] == 500 and plan["columns"] == 3 and plan["host_bytes"] > 0
    assert box.files() == ["x.npy"]
    more = box.ok(*FIT, "x.npy", "--components", 300, "--dry-run")
    assert more["host_bytes"] > plan["host_bytes"]
    report = box.ok(*FIT, "x.npy", "--components", 3, "--model", "m.safetensors")
    assert report["memory"]["planned_bytes"] == plan["host_bytes"]


def test_a_limit_that_is_too_small(box):
    write_npy(box.path("x.npy"), planted(500, BLOBS))
    result = box.run(*FIT, "x.npy", "--components", 3, "--dry-run", "--memory-limit", "4KiB")
    assert result.code == 4 and result.json["host_bytes"] > 4096, str(result)
    box.check_error(result, ["--memory-limit"])
    box.fails(4, *FIT, "x.npy", "--components", 3, "--memory-limit", "4KiB", "--model",
              "m.safetensors", words=["--memory-limit"])
    box.write("x.csv", "".join(f"{i},{-i}\n" for i in range(20000)))
    box.fails(4, *FIT, "x.csv", "--memory-limit", "64KiB", "--model", "m.safetensors")
    box.fails(4, "info", "x.csv", "--memory-limit", "64KiB")
    assert box.files() == ["x.csv", "x.npy"]


def test_a_plan_that_no_machine_can_hold(box):
    result = box.run(*FIT, f"{DATA}/digits.npy", "--components", 1797, "--memory-limit", "10MiB",
                     "--model", "m.safetensors")
    assert result.code == 4, str(result)
    box.check_error(result)


def test_units_of_memory(box):
    write_npy(box.path("x.npy"), planted(500, BLOBS))
    for text in ("1048576", "1024KiB", "1MiB", "0.0009765625GiB", "1048576B"):
        box.ok(*FIT, "x.npy", "--memory-limit", text, "--dry-run")
    for text in ("1MB", "1 MiB", "MiB", "1.5", "1e6", "0", "-5"):
        box.fails(2, *FIT, "x.npy", "--memory-limit", text, "--dry-run", words=["--memory-limit"])


def anonymous_bytes(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            found = re.search(r"RssAnon:\s+(\d+) kB", file.read())
        return int(found.group(1)) * 1024 if found else 0
    except (FileNotFoundError, ProcessLookupError):
        return 0


def test_a_large_file_stays_under_the_limit(box):
    if not box.plain_build():
        raise Skip("sanitizers use memory of their own")
    if not os.path.exists("/proc/self/status"):
        raise Skip("no /proc")
    draw = planted(16, [[float(k + j) for j in range(16)] for k in range(16)], 3.0)
    write_safetensors(box.path("s.safetensors"),
                      {"weights": [1 / 16] * 16, "means": draw, "covariances": [[1.0] * 16] * 16},
                      {"covariance": "diagonal"})
    box.ok("sample", "s.safetensors", "--rows", 800_000, "--output", "x.npy", "--dtype", "float32",
           "--seed", 1)
    assert os.path.getsize(box.path("x.npy")) > 50_000_000
    common = [*FIT, "x.npy", "--components", 16, "--seed", 1, "--max-iter", 2, "--tol", 0]
    box.ok(*common, "--model", "free.safetensors")
    process = box.start(*common, "--memory-limit", "24MiB", "--model", "m.safetensors")
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_bytes(process.pid))
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert 0 < peak < 24 << 20, peak
    memory = json.loads(out)["memory"]
    assert memory["planned_bytes"] <= 24 << 20 and memory["peak_host_bytes"] <= 24 << 20
    assert box.bytes("m.safetensors") == box.bytes("free.safetensors")
    for verb, output in (("predict", "l.npy"), ("transform", "z.npy"), ("score", "p.npy")):
        process = box.start(verb, "m.safetensors", "x.npy", "--memory-limit", "24MiB", "--output",
                            output)
        peak = 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
        assert process.returncode == 0, process.communicate()
        assert 0 < peak < 24 << 20, (verb, peak)


def test_progress_as_json_is_an_object_a_line(box):
    write_npy(box.path("x.npy"), planted(500, BLOBS))
    result = box.run(*FIT, "x.npy", "--components", 3, "--max-iter", 7, "--tol", 0, "--progress",
                     "json", "--model", "m.safetensors")
    lines = [line for line in result.err.splitlines() if not line.startswith("culatent: warning")]
    events = [json.loads(line) for line in lines]
    fits = [e for e in events if e["phase"] == "fit"]
    assert [e["iteration"] for e in fits] == list(range(8))
    assert [e["objective"] for e in fits] == [t["log_likelihood"] for t in result.json["trace"]]
    assert all(e["max_iter"] == 7 for e in fits) and fits[0]["change"] is None


def test_none_is_silent_and_auto_says_little(box):
    write_npy(box.path("x.npy"), planted(500, BLOBS))
    fit = [*FIT, "x.npy", "--components", 3, "--tol", 1e-9, "--max-iter", 1000, "--model",
           "m.safetensors"]
    assert box.run(*fit, "--progress", "none").err == ""
    err = box.run(*fit).err
    assert "\r" not in err and "\033" not in err and "%" in err, err
    err = box.run(*FIT, "x.npy", "--max-iter", 0, "--progress", "none", "--model",
                  "m.safetensors").err
    assert err.startswith("culatent: warning: ") and err.count("\n") == 1, err


def test_a_long_fit_tells_of_itself_every_few_seconds(box):
    write_npy(box.path("x.npy"), planted(3000, BLOBS, 2.0))
    process = box.start(*FIT, "x.npy", "--components", 8, "--max-iter", 100_000_000, "--tol", 0,
                        "--model", "m.safetensors")
    line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert re.fullmatch(r"culatent: fit  \d+/100000000  log-likelihood -\d+\.\d+  change \S+  "
                        r"ETA [0-9:]+\n", line), line


def on_terminal(box, columns, *args):
    """What the command writes to a terminal of this width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = box.start(*args, stderr=slave, stdout=subprocess.DEVNULL)
    os.close(slave)
    text = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(master)
    process.communicate()
    assert process.returncode == 0, text
    return text.decode()


def test_a_terminal_gets_a_bar_of_its_width(box):
    write_npy(box.path("x.npy"), planted(20000, BLOBS, 2.0))
    for columns in (120, 80, 40, 12):
        text = on_terminal(box, columns, *FIT, "x.npy", "--components", 8, "--max-iter", 1000,
                           "--tol", 0, "--model", "m.safetensors")
        # The last iteration, if it is drawn, has no time left to tell.
        drawn = [line for line in text.split("\r\033[K")
                 if re.match(r"fit  \d+", line) and not line.startswith("fit  1000/")]
        assert drawn, text[:400]
        assert all(len(line.split("\r")[0]) < columns for line in drawn), drawn[0]
        if columns >= 80:
            assert "[" in drawn[-1] and "ETA" in drawn[-1] and "log-likelihood" in drawn[-1]
