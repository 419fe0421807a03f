"""A run as the machine sees it: lines, exit codes, stopping, killing, going on."""

import json
import signal
import time

import jobs
import pytest
import torch
from safetensors.torch import load_file

# All that a checkpoint must carry: averaged weights, a schedule with a course, accumulation, two resolutions.
demanding = {
    "steps": 8,
    "checkpointEvery": 3,
    "gradientAccumulation": 2,
    "batchSize": 1,
    "resolutions": [48, 64],
    "flip": True,
    "ema": 0.9,
    "schedule": {"name": "cosine", "warmupSteps": 2},
}


@pytest.fixture(scope="module")
def unstopped(base, train, tmp_path_factory):
    """The base, and the weights of a demanding run that nothing disturbed."""
    folder, digest = base
    made = jobs.make(tmp_path_factory.mktemp("unstopped") / "job", folder, jobs.plan_for(digest, **demanding))
    code, _ = jobs.run(made)
    assert code == 0
    return base, weights(made)


def test_the_image_s_own_command_trains_samples_and_says_so_line_by_line(job):
    samples = {"every": 2, "prompts": ["a shape", "[trigger] at night"], "inferenceSteps": 2, "size": 64, "guidance": 3}
    folder = job(steps=3, checkpointEvery=2, samples=samples)
    code, lines = jobs.run_command(folder)
    assert code == 0
    assert [line["phase"] for line in jobs.of_type(lines, "phase")][-3:] == ["training", "saving", "sampling"]
    assert [line["step"] for line in jobs.of_type(lines, "step")] == [1, 2, 3]
    assert all(line["total"] == 3 and line["loss"] > 0 and line["secondsPerStep"] > 0 for line in jobs.of_type(lines, "step"))
    assert jobs.of_type(lines, "checkpoint") == [{"type": "checkpoint", "step": 2, "directory": "checkpoint/step-000002"}]
    drawn = [line["file"] for line in jobs.of_type(lines, "sample")]
    assert drawn == [f"out/samples/{step}-{number}.png" for step in (2, 3) for number in (0, 1)]
    assert all(jobs.Image.open(folder / file).size == (64, 64) for file in drawn)
    result = jobs.result(folder)
    assert result["steps"] == 3 and result["finalLoss"] > 0 and result["peakMemoryBytes"] > 0
    for file in result["files"]:
        written = folder / "out" / file["name"]
        assert (written.stat().st_size, jobs.sha256(written)) == (file["size"], file["sha256"])
    assert not (folder / "cache").exists()


def test_long_work_says_how_much_of_it_is_done(job, train):
    """Every part here; else at most one line in some seconds."""
    samples = {"every": 0, "prompts": ["a shape", "a dog"], "inferenceSteps": 3, "size": 64, "guidance": 3}

    def say_all(seconds=0):
        train.report.seconds_between_progress = seconds

    code, lines = jobs.run(job(steps=1, samples=samples), say_all)
    assert code == 0
    told = {}
    for line in jobs.of_type(lines, "progress"):
        told.setdefault(line["work"], []).append((line["done"], line["total"]))
    every = lambda total: [(done + 1, total) for done in range(total)]
    assert told["reading the dataset"] == told["caching images"] == every(6)
    assert told["caching captions"] == every(9)  # six, the empty one, two prompts
    assert told["loading models"] == every(len(told["loading models"])) and told["drawing samples"] == every(6)
    _, lines = jobs.run(job("quiet", steps=1), lambda: say_all(seconds=1e9))
    assert {line["done"] == line["total"] for line in jobs.of_type(lines, "progress")} == {True}


@pytest.mark.skipif(jobs.family != "sdxl", reason="the others read 512 tokens")
def test_captions_that_are_not_read_to_their_end_are_named(job, train):
    """Each letter is a token of the tiny base's own tokenizer, or fewer are."""
    folder = job(steps=1, triggerWord=None)
    tokenizer = train.CLIPTokenizer.from_pretrained(folder / "base", subfolder="tokenizer")
    a = len(tokenizer("a a").input_ids) - len(tokenizer("a").input_ids)
    for number, tokens in enumerate((75 // a, 75 // a + 1, 80)):
        (folder / "dataset" / f"{number:04}.txt").write_text(" ".join("a" * tokens))
    code, lines = jobs.run(folder)
    assert code == 0
    (said,) = jobs.warnings(lines)
    assert "0000.png" not in said and f"0001.png ({a * (75 // a + 1)}), 0002.png ({80 * a})" in said


def test_a_run_killed_in_the_middle_goes_on_to_the_same_weights(unstopped, tmp_path, train):
    (folder, digest), expected = unstopped
    made = jobs.make(tmp_path / "job", folder, jobs.plan_for(digest, **demanding))
    code, _ = jobs.Fork(made, lambda: slow_down(train)).until(step=5).signal(signal.SIGKILL).end()
    assert code == -signal.SIGKILL
    assert [kept.name for kept in (made / "checkpoint").iterdir()] == ["step-000003"]
    code, lines = jobs.run(made)
    assert code == 0
    assert jobs.of_type(lines, "step")[0]["step"] == 4
    assert_equal(weights(made), expected)


def test_sigterm_saves_a_checkpoint_that_goes_on_to_the_same_weights(unstopped, tmp_path, train):
    (folder, digest), expected = unstopped
    made = jobs.make(tmp_path / "job", folder, jobs.plan_for(digest, **demanding))
    running = jobs.Fork(made, lambda: slow_down(train)).until(step=4)
    asked = time.monotonic()
    code, lines = running.signal(signal.SIGTERM).end()
    assert code == 75 and time.monotonic() - asked < 10
    stopped_at = jobs.of_type(lines, "checkpoint")[-1]["step"]
    assert stopped_at >= 4 and not (made / "out" / "result.json").exists()
    code, lines = jobs.run(made)
    assert code == 0
    assert jobs.of_type(lines, "step")[0]["step"] == stopped_at + 1
    assert_equal(weights(made), expected)


def test_a_run_that_is_asked_to_finish_gives_the_lora_of_the_steps_it_has(job, train):
    folder = job(steps=100, samples={"every": 0, "prompts": ["a shape"], "inferenceSteps": 1, "size": 64, "guidance": 3})
    running = jobs.Fork(folder, lambda: slow_down(train)).until(step=3)
    (folder / "finish").touch()
    code, lines = running.end()
    last = jobs.of_type(lines, "step")[-1]["step"]
    assert code == 0 and 3 <= last < 100
    assert jobs.result(folder)["steps"] == last
    assert [line["step"] for line in jobs.of_type(lines, "sample")] == [last]
    assert all(state for state in weights(folder).values())


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ValueError("height must be a multiple of 8"), "ValueError: height must be a multiple of 8"),
        (torch.OutOfMemoryError("CUDA out of memory."), "there is too little memory for them"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    ],
    ids=["refused", "memory", "disk"],
)
def test_a_sample_that_fails_is_a_warning_and_the_lora_is_that_of_a_run_without(failure, reason, job, train):
    def spoil():
        def fail(*_):
            raise failure

        train.sampling.draw = lambda *_, **__: fail()

    samples = {"every": 2, "prompts": ["a shape"], "inferenceSteps": 1, "size": 64, "guidance": 3}
    without, spoilt = job("without", steps=3), job("spoilt", steps=3, samples=samples)
    assert jobs.run(without)[0] == 0
    code, lines = jobs.run(spoilt, spoil)
    assert code == 0 and jobs.result(spoilt)["samples"] == []
    sentence = f"Sample images are missing, as they could not be drawn ({reason}). The LoRA is not affected."
    assert jobs.warnings(lines) == [sentence] * 2
    assert_equal(weights(spoilt), weights(without))


@pytest.mark.skipif(jobs.family == "flux", reason="its pipeline rounds")
def test_a_side_that_the_pipeline_refuses_loses_no_training(job, train):
    samples = {"every": 0, "prompts": ["a shape"], "inferenceSteps": 1, "size": 76, "guidance": 3}
    code, lines = jobs.run(job(steps=1, samples=samples))
    assert code == 0 and "divisible" in jobs.warnings(lines)[0]


def test_sigterm_before_the_first_step_leaves_at_once_with_75(job, train):
    folder = job()
    running = jobs.Fork(folder)
    running.text += running.stdout.readline()
    code, _ = running.signal(signal.SIGTERM).end()
    assert code == 75
    assert not (folder / "out").exists() and not (folder / "checkpoint").exists()


def test_sigterm_while_sampling_saves_a_checkpoint(job, train):
    samples = {"every": 2, "prompts": ["a shape"], "inferenceSteps": 900, "size": 64, "guidance": 3}
    running = jobs.Fork(job(samples=samples)).until(step=2)
    for line in running.stdout:
        running.text += line
        if "sampling" in line:
            break
    code, lines = running.signal(signal.SIGTERM).end()
    assert code == 75
    assert jobs.of_type(lines, "checkpoint")[-1]["step"] == 2


@pytest.mark.skipif(jobs.family != "sdxl", reason="one for all: checkpoints are checked by what the families share")
@pytest.mark.parametrize("harm", ["flipped bytes", "cut short", "no list", "another plan"])
def test_a_checkpoint_that_cannot_be_used_is_named_and_the_training_starts_over(harm, job, train):
    folder = job(steps=3, checkpointEvery=2)
    assert jobs.run(folder)[0] == 0
    kept = folder / "checkpoint" / "step-000002"
    if harm == "flipped bytes":
        content = bytearray((kept / "adapter.safetensors").read_bytes())
        content[-8:] = b"\x55" * 8
        (kept / "adapter.safetensors").write_bytes(content)
    elif harm == "cut short":
        (kept / "state.pt").write_bytes((kept / "state.pt").read_bytes()[:100])
    elif harm == "no list":
        (kept / "checkpoint.json").unlink()
    else:
        plan = json.loads((folder / "plan.json").read_text())
        (folder / "plan.json").write_text(json.dumps(plan | {"seed": 8}))
    code, lines = jobs.run(folder)
    assert code == 0
    assert "step-000002 can't be used" in jobs.of_type(lines, "warning")[-1]["message"]
    assert jobs.of_type(lines, "step")[0]["step"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16", "gradientCheckpointing": True, "optimizer": {"name": "prodigy", "learningRate": 1, "weightDecay": 0.01, "maxGradientNorm": 1}},
        {"adapter": {"method": "lora", "rank": 4, "alpha": 2, "targets": "all-linear"}, "schedule": {"name": "constant", "warmupSteps": 2}},
    ],
    ids=["bf16, checkpointed gradients, Prodigy", "all linear layers, warm-up"],
)
def test_other_ways_to_train(changes, job, train):
    folder = job(steps=3, **changes)
    assert jobs.run(folder)[0] == 0
    for state in weights(folder).values():
        assert all(torch.isfinite(tensor).all() for tensor in state.values())


@pytest.mark.skipif(jobs.family != "sdxl", reason="one for all: what the families share starts the processes")
def test_two_processes_train_what_one_does(job, train):
    plan = {"steps": 3, "batchSize": 1, "gradientAccumulation": 2}
    alone, together = job("alone", **plan), job("together", **plan)
    assert jobs.run(alone)[0] == 0
    code, lines = jobs.run_command(together, BELLOWS_PROCESSES="2")
    assert code == 0
    assert [line["step"] for line in jobs.of_type(lines, "step")] == [1, 2, 3]
    assert_equal(weights(together), weights(alone), tolerance=1e-4)


def slow_down(train):
    """A step takes long enough to be met in the middle."""
    real = train.loss

    def slow(*given):
        time.sleep(0.2)
        return real(*given)

    train.loss = slow


def weights(folder):
    return {file.name: load_file(file) for file in (folder / "out").glob("*.safetensors")}


def assert_equal(found, expected, tolerance=0.0):
    assert found.keys() == expected.keys() and found
    for file, tensors in expected.items():
        assert found[file].keys() == tensors.keys()
        for name, tensor in tensors.items():
            torch.testing.assert_close(found[file][name], tensor, rtol=0, atol=tolerance, msg=f"{file}: {name}")
