"""The order of the data and what captions become; pure, so quick."""

import json
from pathlib import Path

import jobs
import pytest
from bellows_trainer import data, plan, report, trigger


# src/recipes/trigger-word.ts is held to the same cases.
cases = json.loads((Path(__file__).parent / "trigger_words.json").read_text())


@pytest.mark.parametrize("case", cases, ids=[case["why"] for case in cases])
def test_a_caption_has_the_trigger_word_once(case):
    assert trigger.put_in(case["caption"], case["trigger"]) == case["becomes"]


def samples_of(sizes, multiple=32, **changes):
    given = plan._shaped(plan.Plan, jobs.plan_for("0" * 64, **changes), "plan")
    pairs = [data.Pair(Path(f"{number}.png"), "a shape", *size) for number, size in enumerate(sizes)]
    return data.samples(pairs, given, multiple)


@pytest.mark.parametrize("multiple", [16, 32])
def test_an_image_is_trained_at_every_resolution_or_its_own_where_that_is_less(multiple):
    sizes = [(1024, 1024), (832, 1216), (600, 600), (100, 100), (2048, 1152)]
    chosen = samples_of(sizes, multiple, resolutions=[512, 768, 1024])
    found = [[(each.width, each.height) for each in chosen if each.pair.file.stem == str(number)] for number in range(5)]
    assert found[0] == [(512, 512), (768, 768), (1024, 1024)]
    assert found[1][-1] == (832, 1216) and len(found[1]) == 3
    assert found[2][0] == (512, 512) and found[2][-1] == (576, 576)
    assert found[3] == [(96, 96)]
    assert found[4][-1] == (1344, 768)


photographs = [(3, 2), (4, 3), (5, 4), (16, 9), (2, 1), (21, 9), (3, 1), (4, 1), (6, 1), (10, 1)]


@pytest.mark.parametrize("side", [512, 768, 1024])
@pytest.mark.parametrize("shape", photographs, ids=str)
def test_a_bucket_keeps_the_picture_and_the_area_and_enlarges_nothing(shape, side):
    wide = (400 * shape[0], 400 * shape[1])
    for size in (wide, wide[::-1]):
        (sample,) = samples_of([size], resolutions=[side])
        height, width = sample.scaled
        assert sample.height % 32 == sample.width % 32 == 0
        assert sample.height * sample.width <= side**2
        assert sample.height <= sample.pair.height and sample.width <= sample.pair.width
        assert sample.height * sample.width > 0.9 * height * width
        assert sample.height * sample.width > 0.65 * min(side**2, size[0] * size[1])


def test_a_cut_of_more_than_a_tenth_and_an_enlargement_are_said_with_the_image_s_name(monkeypatch):
    said = []
    monkeypatch.setattr(report, "warning", said.append)
    samples_of([(512, 512), (5000, 90), (70, 40), (500, 20)], resolutions=[512])
    assert said == [
        "More than a tenth is cut off these to fit: 2.png (12 %), 3.png (40 %).",
        "These are smaller than the least that can be trained, and enlarged: 3.png.",
    ]


def test_an_epoch_has_every_image_once_whatever_its_resolutions_and_a_batch_has_one_bucket():
    chosen = samples_of([(96, 96)] * 5 + [(144, 96)] * 4 + [(64, 64)] * 2, resolutions=[64, 96], flip=True)
    batches, number = data.Batches(chosen, 2, seed=3), 0
    trained = []
    for _ in range(4):
        held = []
        while len(held) < 11:
            shapes = {chosen[index].shape for index in batches[number]}
            assert len(shapes) == 1
            held += batches[number]
            number += 1
        assert len({chosen[index].pair.file for index in held}) == len(held) == 11
        trained += held
    ways = [trained.count(index) for index, sample in enumerate(chosen) if sample.pair.width > 64]
    assert ways == [1] * len(ways), "four epochs have each of an image's four ways once"


def test_a_partial_batch_counts_by_the_images_that_it_has():
    batches = data.Batches(samples_of([(64, 64)] * 5, resolutions=[64]), 2, seed=3)
    assert [(len(batches[number]), batches.share(number)) for number in range(3)].count((1, 0.5)) == 1
    assert sum(batches.share(number) for number in range(3)) == 2.5


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
