"""What is wrong with the input or the machine: the right exit code, and a sentence for the user."""

import hashlib
import json
import shutil
from pathlib import Path

import jobs
import pytest
import torch
from bellows_trainer import base as bases
from bellows_trainer import data, plan
from PIL import Image
from safetensors.torch import load_file


def complaint(folder, before=lambda: None):
    """Exit code, code and sentence of a run that must not leave a result."""
    code, lines = jobs.run(folder, before)
    assert not (folder / "out" / "result.json").exists()
    errors = jobs.of_type(lines, "error")
    assert len(errors) == 1
    return code, errors[0]["code"], errors[0]["message"]


def truncate(file):
    file.write_bytes(file.read_bytes()[:150])


def replace_image(file, content):
    file.unlink()
    file.with_suffix(".jpg").write_bytes(content)


harms = {
    "a truncated image": (lambda dataset: truncate(dataset / "0001.png"), "Image 0001.png is damaged: the file ends too early or is broken."),
    "a text for an image": (lambda dataset: replace_image(dataset / "0001.png", b"<html>not found</html>"), "Image 0001.jpg can't be read: it is no image in a known format."),
    "no caption": (lambda dataset: (dataset / "0002.txt").unlink(), "Image 0002.png has no caption."),
    "a caption in another encoding": (lambda dataset: (dataset / "0002.txt").write_bytes(b"\xff\xfe\x00"), "The caption of image 0002.png is not UTF-8 text."),
    "an image too few": (lambda dataset: (dataset / "0005.png").unlink(), "The dataset has 5 images where the plan says 6."),
    "no dataset": (lambda dataset: shutil.rmtree(dataset), "The dataset has 0 images where the plan says 6."),
    "a speck of an image": (lambda dataset: Image.new("RGB", (4, 4)).save(dataset / "0003.png"), "Image 0003.png is too small: 4 × 4 pixels."),
}


@pytest.mark.parametrize("harm", harms)
def test_a_bad_dataset_is_refused_with_a_sentence(harm, job, train):
    folder = job()
    break_it, sentence = harms[harm]
    break_it(folder / "dataset")
    assert complaint(folder) == (64, "bad-input", sentence)


def test_images_that_users_have_are_trained_as_they_see_them(tmp_path):
    def save(number, image, **options):
        image.save(tmp_path / f"{number}.{options.pop('ending', 'png')}", **options)
        (tmp_path / f"{number}.txt").write_text("a colour")

    exif = Image.Exif()
    exif[0x0112] = 6
    save(0, Image.new("CMYK", (64, 64), (0, 255, 255, 0)), ending="jpg")
    sideways = Image.new("RGB", (96, 64), "red")
    sideways.paste("blue", (0, 0, 48, 64))
    save(1, sideways, ending="jpg", exif=exif, quality=95)
    save(2, Image.new("RGBA", (64, 64), (0, 0, 0, 0)))
    save(3, Image.new("I;16", (64, 64), 65535))
    save(4, Image.new("P", (64, 64), 0))
    save(5, Image.new("LA", (64, 64), (0, 128)))
    given = jobs.plan_for("0" * 64, resolutions=[64])
    (tmp_path / "plan.json").write_text(json.dumps(given))
    read, _ = plan.read(tmp_path / "plan.json")
    (tmp_path / "plan.json").unlink()
    pairs = data.read(tmp_path, read)
    assert [(pair.width, pair.height) for pair in pairs][1] == (64, 96)
    samples = data.samples(pairs, read, 32)
    images = dict(zip((sample.pair.file.stem for sample in samples), data.decode(samples)))
    means = {number: image.mean(dim=(1, 2)) for number, image in images.items()}
    assert means["0"][0] > 0.8 and means["0"][1] < -0.7
    top, bottom = images["1"][:, :8].mean(dim=(1, 2)), images["1"][:, -8:].mean(dim=(1, 2))
    assert top[2] > 0.5 > -0.5 > top[0] and bottom[0] > 0.5 > -0.5 > bottom[2]
    assert means["2"].min() == 1
    assert means["3"].min() > 0.98
    assert abs(means["5"].mean().item()) < 0.02


def test_weights_that_the_plan_does_not_name_are_refused(job, train):
    folder = job(baseModel={"name": "tiny", "sha256": "1" * 64})
    assert complaint(folder) == (64, "bad-input", "The base weights are not those of tiny.")


def test_weights_of_another_family_are_refused(job, first_base, train):
    folder = job()
    other = folder / "other"
    shutil.copytree(first_base[0], other)
    (other / "model_index.json").write_text('{"_class_name": "KandinskyPipeline"}')
    (folder / "base").unlink()
    (folder / "base").symlink_to(other)
    code, _, sentence = complaint(folder)
    assert code == 64 and sentence.startswith("The base weights are of another kind: KandinskyPipeline where")


def test_a_list_of_other_weights_is_refused_whatever_lies_beside_it(job, first_base, train):
    folder = job()
    right = bases.file_list(first_base[0]).decode()
    wrong = ("0" if right[0] != "0" else "1") + right[1:]
    (folder / "base.sha256sums").write_text(wrong)
    assert complaint(folder) == (64, "bad-input", "The base weights are not those of tiny.")


def test_weights_whose_list_was_staged_are_not_read_again(job, first_base, monkeypatch):
    folder = job()
    (folder / "base.sha256sums").write_bytes(bases.file_list(first_base[0]))
    read, _ = plan.read(folder / "plan.json")
    monkeypatch.setattr(bases, "_digest", lambda file: pytest.fail(f"{file} was read"))
    pipeline = json.loads((folder / "base" / "model_index.json").read_text())["_class_name"]
    assert bases.check(folder / "base", read, {pipeline})["_class_name"] == pipeline


def test_damaged_weights_are_found_even_if_their_list_is_right(job, first_base, train):
    folder = job()
    (folder / "base").unlink()
    shutil.copytree(first_base[0], folder / "base")
    listing = bases.file_list(folder / "base")
    assert hashlib.sha256(listing).hexdigest() == first_base[1]
    (folder / "base.sha256sums").write_bytes(listing)
    file = next((folder / "base" / "vae").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])
    assert complaint(folder) == (64, "bad-input", f"The base weights are damaged: {file.name} can't be read.")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"surprise": 1}, "plan lacks or doesn't know surprise"),
        ({"steps": "many"}, "plan.steps must be a number"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"name": "../../etc/passwd"}, "name is no file name"),
        ({"quantization": "nf4"}, "A base in nf4 needs a GPU"),
        ({"quantization": "nf4", "adapter": {"method": "lokr", "rank": 4, "alpha": 2, "targets": "attention"}}, "adapter can't be LoKr on a base in nf4"),
        ({"optimizer": {"name": "adamw8bit", "learningRate": 1e-4, "weightDecay": 0, "maxGradientNorm": 1}}, "8-bit AdamW needs a GPU"),
        ({"family": "WAN" if jobs.family != "wan" else "SDXL"}, f"This image trains {jobs.family.upper()}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plan_that_cannot_be_followed_is_refused(changes, sentence, job, train):
    code, kind, message = complaint(job(**changes))
    assert (code, kind) == (64, "bad-input") and sentence in message


def spoil(train, steps):
    """The loss of these steps, counted from 1, is no number: as of a broken picture, or of too high a learning rate."""
    real, calls = train.loss, []

    def spoiled(*given):
        calls.append(1)
        return real(*given) * (float("nan") if len(calls) in steps else 1)

    train.loss = spoiled


def test_losses_that_are_no_number_end_the_training_at_the_third_in_a_row(job, train):
    code, kind, sentence = complaint(job(steps=9), lambda: spoil(train, [2, 4, 5, 6]))
    assert (code, kind) == (65, "nan-loss")
    assert sentence == "The loss became infinite or no number in 3 steps in a row, the last of them step 6: the learning rate is too high."


def test_one_loss_that_is_no_number_is_skipped_counted_and_said(job, train):
    folder = job(steps=6, ema=0.9)
    code, lines = jobs.run(folder, lambda: spoil(train, [3, 5]))
    assert code == 0
    said = [line["message"] for line in jobs.of_type(lines, "warning") if "skipped" in line["message"]]
    assert said == [f"Step {step} was skipped, as its loss was infinite or no number." for step in (3, 5)]
    steps = jobs.of_type(lines, "step")
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert [line["loss"] is None for line in steps] == [False, False, True, False, True, False]
    result = jobs.result(folder)
    assert result["steps"] == 6 and result["skippedSteps"] == 2 and result["finalLoss"] > 0
    (file, *_) = (folder / "out").glob("*.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in load_file(file).values())


def test_a_training_whose_every_step_was_skipped_has_trained_nothing(job, train):
    assert complaint(job(steps=2), lambda: spoil(train, [1, 2]))[:2] == (65, "nan-loss")


def test_too_little_gpu_memory_has_a_code_of_its_own(job, train):
    def exhaust():
        def fail(*_):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        train.loss = fail

    assert complaint(job(), exhaust)[:2] == (66, "out-of-memory")


def test_memory_that_the_system_does_not_give_has_the_same_code(job, train):
    def exhaust():
        train.loss = lambda *_: torch.empty(2**50)

    assert complaint(job(), exhaust)[:2] == (66, "out-of-memory")


def test_a_full_disk_has_a_code_of_its_own(job, first_base, train):
    folder = Path("/small/job")
    shutil.rmtree(folder, ignore_errors=True)
    jobs.make(folder, first_base[0], jobs.plan_for(first_base[1], checkpointEvery=1, steps=3))
    with open("/small/filler", "wb", buffering=0) as filler:
        try:
            while filler.write(b"\0" * 4096):
                pass
        except OSError:
            filler.truncate(filler.tell() - 90_000)
    assert complaint(folder) == (67, "disk-full", "The machine's disk is full.")
