"""The order of the data and what captions become; pure, so quick."""

from pathlib import Path

import jobs
import pytest
from bellows_trainer import data, plan


@pytest.mark.parametrize(
    ("caption", "trigger", "expected"),
    [
        ("a dog", "sks", "sks, a dog"),
        ("a SKS dog", "sks", "a SKS dog"),
        ("a [trigger] dog", "sks", "a sks dog"),
        ("", "sks", "sks"),
        (" a dog\n", None, "a dog"),
        ("[trigger] a dog", None, "a dog"),
    ],
)
def test_a_caption_has_the_trigger_word_once(caption, trigger, expected):
    assert data.with_trigger(caption, trigger) == expected


def samples_of(sizes, **changes):
    given = plan._shaped(plan.Plan, jobs.plan_for("0" * 64, **changes), "plan")
    pairs = [data.Pair(Path(f"{number}.png"), "a shape", *size) for number, size in enumerate(sizes)]
    return data.samples(pairs, given, 32)


def test_an_image_is_trained_at_every_resolution_that_it_fills():
    chosen = samples_of([(1024, 1024), (600, 600), (100, 100)], resolutions=[512, 1024])
    sides = {number: [sample.height for sample in chosen if sample.pair.file.stem == str(number)] for number in range(3)}
    assert sides == {0: [512, 1024], 1: [512], 2: [512]}


def test_a_bucket_keeps_the_shape_of_the_image_and_the_area():
    (wide,) = samples_of([(1920, 1080)], resolutions=[512])
    assert wide.width > wide.height and wide.width % 32 == wide.height % 32 == 0
    assert 0.85 < wide.width * wide.height / 512**2 < 1.15
    height, width = wide.scaled
    assert height >= wide.height and width >= wide.width


def test_an_epoch_has_every_sample_once_and_a_batch_has_one_bucket():
    chosen = samples_of([(64, 64)] * 5 + [(96, 64)] * 4, resolutions=[64])
    batches = data.Batches(chosen, 2, seed=3)
    assert batches.per_epoch == 5
    for epoch in range(3):
        held = [batches[epoch * 5 + position] for position in range(5)]
        assert sorted(index for batch in held for index in batch) == list(range(9))
        assert all(len({(chosen[index].height, chosen[index].width) for index in batch}) == 1 for batch in held)


def test_the_order_depends_on_the_seed_and_the_number_alone():
    chosen = samples_of([(64, 64)] * 8, resolutions=[64])
    forwards = [data.Batches(chosen, 2, seed=3)[number] for number in range(12)]
    assert [data.Batches(chosen, 2, seed=3)[number] for number in reversed(range(12))][::-1] == forwards
    assert forwards != [data.Batches(chosen, 2, seed=4)[number] for number in range(12)]
    assert forwards[:4] != forwards[4:8]


def test_captions_are_dropped_as_often_as_the_plan_says():
    given = plan._shaped(plan.Plan, jobs.plan_for("0" * 64, captionDropout=0.25), "plan")
    kept = data.dropped(["x"] * 4000, given, data.seeded(1))
    assert 0.22 < kept.count("") / 4000 < 0.28
