"""Ctrl-C, kills, checkpoints and resuming."""

import json
import os
import random
import signal
import subprocess
import time

from embeddings import EMBED, blobs
from files import BLOBS, planted, read_npy, read_safetensors, write_npy
from harness import near, wait_for

FIT = ["fit", "gaussian-mixture", "x.npy"]
ENDLESS = ["--max-iter", 100_000_000, "--tol", 0]


def data(box, n=3000):
    write_npy(box.path("x.npy"), planted(n, BLOBS, spread=3.0, seed=1))


def large(box):
    """Data whose passes take about a second."""
    data(box, 300)
    box.ok("fit", "gaussian-mixture", "x.npy", "--components", 3, "--model", "small.safetensors")
    box.ok("sample", "small.safetensors", "--rows", 3_000_000, "--output", "x.npy", "--seed", 1,
           "--dtype", "float32")


ENDLESS_EMBEDDING = ["--max-iter", 100_000_000, "--min-gradient", 0, "--perplexity", 10]


def read_progress(process, least):
    """Reads JSON progress from stderr until an iteration of at least `least` is done."""
    while True:
        line = process.stderr.readline()
        assert line, f"ended early: {process.wait()}"
        if not line.startswith("{"):
            continue  # a warning
        event = json.loads(line)
        if event["phase"] == "fit" and event["iteration"] >= least:
            return event


def kill(process):
    process.kill()
    process.communicate()


def interrupt(box, process, least):
    """Interrupts after `least` iterations; returns what is told of the run so far."""
    read_progress(process, least)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err[-600:]
    report = json.loads(out)
    assert report["interrupted"] is True and report["converged"] is False
    assert report["n_iter"] >= least and len(report["trace"]) == report["n_iter"] + 1
    assert "interrupted" in [w["code"] for w in report["warnings"]]
    if "r.json" in box.files():
        assert box.bytes("r.json").decode() == out
    return report


def interrupt_twice(process):
    """Two signals that arrive together are one: on a busy machine it takes more of them."""
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            pass
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "", (process.returncode, out[-300:], err[-600:])


def test_an_interrupt_stops_after_the_iteration(box):
    data(box)
    process = box.start(*FIT, "--components", 4, *ENDLESS, "--model", "m.safetensors", "--report",
                        "r.json", "--html", "r.html", "--progress", "json")
    report = interrupt(box, process, 5)
    assert box.files() == ["m.safetensors", "r.html", "r.json", "x.npy"]
    score = box.ok("score", "m.safetensors", "x.npy")
    # The two centre the data differently: equal but for the rounding of a mean of size ten.
    near(score["log_likelihood"], report["objective"], 1e-13, "log-likelihood of the model")


def test_an_interrupted_fit_goes_on_to_the_same_bits(box):
    data(box)
    common = ["--components", 4, "--seed", 3, "--max-iter", 1000, "--tol", 0]
    box.ok(*FIT, *common, "--model", "whole.safetensors")
    checkpoint = ["--checkpoint", "c.state", "--checkpoint-every", 10, "--resume"]
    process = box.start(*FIT, *common, *checkpoint, "--model", "m.safetensors", "--progress",
                        "json")
    interrupt(box, process, 25)
    assert "c.state" in box.files()
    assert box.bytes("m.safetensors") != box.bytes("whole.safetensors")
    box.ok(*FIT, *common, *checkpoint, "--model", "m.safetensors")
    assert box.bytes("m.safetensors") == box.bytes("whole.safetensors")
    assert "c.state" not in box.files()


def test_a_second_interrupt_ends_at_once(box):
    large(box)
    process = box.start(*FIT, "--components", 40, *ENDLESS, "--init", "random-rows", "--model",
                        "m.safetensors", "--checkpoint", "c.state", "--progress", "json")
    read_progress(process, 0)
    time.sleep(0.1)  # well into the next pass
    interrupt_twice(process)
    assert [f for f in box.files() if f != "c.state"] == ["small.safetensors", "x.npy"]


def test_a_signal_while_writing_leaves_no_part(box):
    large(box)
    before = box.files()
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
        process = box.start("transform", "small.safetensors", "x.npy", "--output", "z.npy",
                            "--threads", 1)
        wait_for(lambda: len(box.files()) > len(before) or process.poll() is not None, "a file")
        assert process.poll() is None, process.communicate()
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == code
        assert box.files() == before


def test_kills_at_any_moment_and_resuming_give_the_same_bits(box):
    data(box)
    draw = random.Random(time.time_ns())
    common = ["--components", 4, "--seed", 5, "--max-iter", 60, "--tol", 0, "--n-init", 3, "--init",
              "random"]
    whole = box.ok(*FIT, *common, "--model", "whole.safetensors")
    for every in (1, 7):
        checkpoint = ["--checkpoint", "c.state", "--checkpoint-every", every, "--resume"]
        start = time.monotonic()
        box.ok(*FIT, *common, *checkpoint, "--model", "m.safetensors")
        typical = time.monotonic() - start
        os.remove(box.path("m.safetensors"))
        kills = 0
        for _ in range(12):
            process = box.start(*FIT, *common, *checkpoint, "--model", "m.safetensors")
            time.sleep(draw.uniform(0.0, 0.7 * typical))
            process.kill()
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
            if "m.safetensors" in box.files():  # it was done: again, and killed earlier
                assert box.bytes("m.safetensors") == box.bytes("whole.safetensors")
                os.remove(box.path("m.safetensors"))
                typical *= 0.5
        report = box.ok(*FIT, *common, *checkpoint, "--model", "m.safetensors")
        assert kills > 0
        assert box.bytes("m.safetensors") == box.bytes("whole.safetensors")
        assert report["trace"] == whole["trace"] and report["restart"] == whole["restart"]
        assert "c.state" not in box.files()
        os.remove(box.path("m.safetensors"))


def test_a_drawn_seed_is_resumed(box):
    data(box)
    common = ["--components", 4, "--max-iter", 200, "--tol", 0]
    checkpoint = ["--checkpoint", "c.state", "--checkpoint-every", 1, "--resume"]
    process = box.start(*FIT, *common, *checkpoint, "--model", "m.safetensors", "--progress",
                        "json")
    read_progress(process, 3)
    kill(process)
    report = box.ok(*FIT, *common, *checkpoint, "--model", "m.safetensors")
    box.ok(*FIT, *common, "--seed", report["seed"], "--model", "again.safetensors")
    assert box.bytes("m.safetensors") == box.bytes("again.safetensors")


def leave_checkpoint(box, *common):
    process = box.start(*FIT, *common, "--checkpoint", "c.state", "--checkpoint-every", 1, "--model",
                        "m.safetensors", "--progress", "json")
    read_progress(process, 3)
    kill(process)
    assert "c.state" in box.files()


def test_a_checkpoint_of_another_fit_is_refused(box):
    data(box)
    common = ["--components", 4, "--seed", 1, "--max-iter", 100_000, "--tol", 0]
    leave_checkpoint(box, *common)
    state = box.bytes("c.state")
    write_npy(box.path("y.npy"), planted(3000, BLOBS, spread=3.0, seed=2))
    write_npy(box.path("w.npy"), [1.0] * 2999 + [2.0])
    resume = ["--checkpoint", "c.state", "--resume", "--model", "m.safetensors"]
    others = [["--components", 5, *common[2:]], [*common[:2], "--seed", 2, *common[4:]],
              [*common, "--covariance", "diagonal"], [*common, "--reg-covar", 1e-3],
              [*common, "--n-init", 2], [*common, "--init", "random"], [*common, "--rows", "1:"],
              [*common, "--scale", 2], [*common, "--weights", "w.npy"],
              [*common, "--collapse", "drop"]]
    for options in others:
        box.fails(3, *FIT, *options, *resume, words=["c.state"])
    box.fails(3, "fit", "gaussian-mixture", "y.npy", *common, *resume, words=["c.state"])
    box.write("c.state", box.bytes("y.npy"))
    box.fails(3, *FIT, *common, *resume, words=["c.state"])
    box.ok(*FIT, "--model", "other.safetensors")
    box.write("c.state", box.bytes("other.safetensors"))
    box.fails(3, *FIT, *common, *resume, words=["c.state"])
    box.write("c.state", state)
    box.fails(3, "predict", "c.state", "x.npy", "--output", "l.npy")
    assert box.bytes("c.state") == state and "m.safetensors" not in box.files()


def test_a_damaged_checkpoint_is_refused(box):
    data(box)
    common = ["--components", 2, "--seed", 1, "--max-iter", 100_000, "--tol", 0]
    leave_checkpoint(box, *common)
    state = box.bytes("c.state")
    draw = random.Random(1)
    resume = ["--checkpoint", "c.state", "--resume", "--model", "m.safetensors"]
    for _ in range(30):
        damaged = bytearray(state)
        damaged[draw.randrange(len(state))] ^= 1 << draw.randrange(8)
        box.write("c.state", bytes(damaged))
        box.fails(3, *FIT, *common, *resume, words=["c.state"])
    for length in (0, 1, 8, len(state) // 2, len(state) - 1):
        box.write("c.state", state[:length])
        box.fails(3, *FIT, *common, *resume, words=["c.state"])


def test_resume_without_a_checkpoint_starts_afresh(box):
    data(box, 300)
    common = ["--components", 3, "--seed", 1]
    box.ok(*FIT, *common, "--model", "a.safetensors")
    box.ok(*FIT, *common, "--model", "b.safetensors", "--checkpoint", "c.state", "--resume")
    assert box.bytes("a.safetensors") == box.bytes("b.safetensors")
    assert "c.state" not in box.files()
    tensors, _ = read_safetensors(box.path("b.safetensors"))
    assert set(tensors) == {"weights", "means", "covariances"}


def test_an_interrupted_embedding_is_kept(box):
    blobs(box, 400)
    process = box.start(*EMBED, "x.npy", "--output", "y.npy", "--report", "r.json", "--html",
                        "p.html", "--snapshots", "s.npy", *ENDLESS_EMBEDDING, "--progress", "json")
    report = interrupt(box, process, 100)
    assert box.files() == ["labels.npy", "p.html", "r.json", "s.npy", "x.npy", "y.npy"]
    score = box.ok("score", "tsne", "x.npy", "--embedding", "y.npy", "--perplexity", 10)
    near(score["kl"], report["kl"], 1e-5, "kl of what was written")
    shape, _, values = read_npy(box.path("s.npy"))
    assert shape[0] == len(report["snapshots"]) and report["snapshots"][-1] == report["n_iter"]
    assert values[-800:] == read_npy(box.path("y.npy"))[2]


def test_an_embedding_that_is_killed_leaves_nothing(box):
    blobs(box, 6000)
    box.write("y.npy", "the old one")
    before = box.files()
    long = [*EMBED, "x.npy", "--output", "y.npy", "--html", "p.html", "--snapshots", "s.npy",
            *ENDLESS_EMBEDDING, "--repulsion", "exact", "--snapshot-every", 1_000_000, "--progress",
            "json"]
    for end in (subprocess.Popen.kill, subprocess.Popen.terminate, interrupt_twice):
        process = box.start(*long)
        read_progress(process, 0)
        time.sleep(0.2)  # well into the interval
        end(process)
        process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, -signal.SIGTERM, 130)
        assert box.files() == before and box.bytes("y.npy") == b"the old one"


def test_an_embedding_goes_on_to_the_same_bits(box):
    blobs(box, 400)
    for repulsion in ("exact", "fft"):
        common = [*EMBED, "x.npy", "--perplexity", 10, "--max-iter", 600, "--repulsion", repulsion,
                  "--snapshot-every", 20, "--snapshots", "s.npy", "--init", "random"]
        keep = ["--checkpoint", "c.state", "--checkpoint-every", 20, "--resume", "--output",
                "y.npy", "--progress", "json"]
        process = box.start(*common, *keep)  # a seed is drawn
        read_progress(process, 60)
        kill(process)
        assert "c.state" in box.files() and "y.npy" not in box.files()
        process = box.start(*common, *keep)
        stopped = interrupt(box, process, 200)
        assert stopped["snapshots"][0] >= 40 and "c.state" in box.files()
        run = box.ok(*common, *keep)
        assert run["n_iter"] == 600 and "c.state" not in box.files()
        assert run["seed"] == stopped["seed"]
        # From where it was stopped: those before are in the file of that run.
        ends = {*range(0, 601, 20), 250}  # the exaggeration ends with 250
        assert run["snapshots"] == sorted(t for t in ends if t >= stopped["n_iter"])
        assert read_npy(box.path("s.npy"))[0] == (len(run["snapshots"]), 400, 2)
        whole = box.ok(*common, "--output", "whole.npy", "--seed", run["seed"])
        assert box.bytes("y.npy") == box.bytes("whole.npy")
        assert run["trace"] == whole["trace"] and run["kl"] == whole["kl"]
        os.remove(box.path("y.npy"))


def test_the_checkpoint_of_an_embedding_is_for_it_alone(box):
    blobs(box, 400)
    common = [*EMBED, "x.npy", "--seed", 1, *ENDLESS_EMBEDDING]
    keep = ["--checkpoint", "c.state", "--checkpoint-every", 1]
    process = box.start(*common, *keep, "--output", "y.npy", "--progress", "json")
    read_progress(process, 100)
    kill(process)
    state = box.bytes("c.state")
    resume = [*keep, "--resume", "--output", "y.npy"]
    for options in (["--dimensions", 1], ["--momentum", 0.7],
                    ["--learning-rate", 99], ["--init", "random"], ["--rows", "1:"],
                    ["--early-exaggeration", 5], ["--repulsion", "fft"], ["--scale", 2]):
        box.fails(3, *common, *options, *resume, words=["c.state"])
    box.fails(3, *EMBED, "x.npy", "--seed", 2, *common[5:], *resume, words=["c.state", "seed"])
    blobs(box, 399, "other.npy")
    box.fails(3, *EMBED, "other.npy", *common[3:], *resume, words=["c.state"])
    for damaged in (state[:-1], state[:100], b"", state[:-9] + b"\0" + state[-8:]):
        box.write("c.state", damaged)
        box.fails(3, *common, *resume, words=["c.state"])
        assert box.bytes("c.state") == damaged
    data(box, 400)
    process = box.start(*FIT, "--components", 2, *ENDLESS, *keep, "--model", "m.safetensors",
                        "--progress", "json")
    read_progress(process, 3)
    kill(process)
    box.fails(3, *common, *resume, words=["c.state", "tsne"])
    assert "y.npy" not in box.files()
