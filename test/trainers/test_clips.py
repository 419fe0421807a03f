"""Clips: how many frames become of them, which way up, with whom they share a batch; and that the rest holds for them too."""

import signal

import jobs
import pytest
from bellows_trainer import clips, data, plan
from test_faults import complaint
from test_runs import assert_equal, slow_down, weights

moves = jobs.family == "wan"
wan_only = pytest.mark.skipif(not moves, reason="this family learns from images only")
with_clips = {"dataset": {"images": 6, "clips": 2, "sha256": "0" * 64}, "clipFrames": 9}


@pytest.mark.skipif(moves, reason="this family learns from clips")
def test_a_clip_is_refused_where_only_images_are_learned(job, train):
    folder = job()
    (folder / "dataset" / "0001.png").rename(folder / "dataset" / "0001.mp4")
    assert complaint(folder) == (64, "bad-input", "0001.mp4 is a clip, and this trainer learns from images only.")


@wan_only
@pytest.mark.parametrize(
    ("count", "rate", "most", "trained"),
    [(40, 16, 33, 33), (40, 16, 81, 37), (60, 30, 33, 29), (24, 60, 33, 5), (3, 16, 33, 1), (40, 16, 1, 1), (10, 5, 33, 29)],
)
def test_a_clip_is_sixteen_frames_a_second_and_one_more_than_a_multiple_of_four(count, rate, most, trained, tmp_path):
    jobs.draw_clip(tmp_path / "0.mp4", count=count, rate=rate)
    assert clips.measure(tmp_path / "0.mp4", most) == (128, 80, trained)


@wan_only
@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libx264"), ("mp4", "libx265"), ("webm", "libvpx-vp9")])
def test_frames_come_in_order_and_at_their_time(ending, codec, tmp_path):
    jobs.draw_clip(tmp_path / f"0.{ending}", rate=16, codec=codec)
    images = list(clips.frames(tmp_path / f"0.{ending}", 9))
    left_edges = [next(x for x in range(128) if image.getpixel((x, 20))[0] > 128) for image in images]
    assert all(abs(edge - 2 * number) <= 1 for number, edge in enumerate(left_edges))


@wan_only
@pytest.mark.parametrize(("turned", "corner"), [(90, (20, 124)), (-90, (60, 4)), (180, (124, 60))])
def test_a_clip_is_trained_the_way_up_that_it_is_shown(turned, corner, tmp_path):
    """The square begins at the left, near the top; a quarter turn against the clock brings that to the bottom."""
    jobs.draw_clip(tmp_path / "0.mp4", turned=turned)
    image = next(clips.frames(tmp_path / "0.mp4", 1))
    assert image.size == ((80, 128) if abs(turned) == 90 else (128, 80))
    assert min(image.getpixel(corner)) > 200


@wan_only
def test_a_batch_has_one_number_of_frames_and_a_clip_one_resolution(tmp_path):
    given = plan._shaped(plan.Plan, jobs.plan_for("0" * 64, **with_clips | {"resolutions": [48, 64]}), "plan")
    jobs.draw_dataset(tmp_path / "dataset", 6, 2)
    chosen = data.samples(data.read(tmp_path / "dataset", given), given, 16)
    moving = [sample for sample in chosen if sample.pair.frames == 9]
    assert len(moving) == 2 and {sample.height * sample.width for sample in moving} <= {48 * 48, 32 * 64}
    batches = data.Batches(chosen, 2, seed=1)
    for number in range(20):
        assert len({chosen[index].shape for index in batches[number]}) == 1
    pixels = dict(zip(chosen, data.decode(chosen)))
    assert all(pixels[sample].shape == (3, *sample.shape) for sample in moving)
    assert all(-1 <= pixels[sample].min() and pixels[sample].max() <= 1 for sample in moving)


@wan_only
def test_a_run_with_clips_goes_on_to_the_same_weights(job, train):
    demanding = with_clips | {"steps": 8, "checkpointEvery": 3, "flip": True}
    unstopped, killed = job("unstopped", **demanding), job("killed", **demanding)
    assert jobs.run(unstopped)[0] == 0
    code, _ = jobs.Fork(killed, lambda: slow_down(train)).until(step=5).signal(signal.SIGKILL).end()
    assert code == -signal.SIGKILL
    code, lines = jobs.run(killed)
    assert code == 0 and jobs.of_type(lines, "step")[0]["step"] == 4
    assert_equal(weights(killed), weights(unstopped))


@wan_only
def test_a_clip_of_a_moment_is_trained_as_an_image_and_named(job, train):
    folder = job(steps=1, **with_clips)
    jobs.draw_clip(folder / "dataset" / "0005.mp4", count=3, rate=16)
    code, lines = jobs.run(folder)
    assert code == 0
    (warning,) = jobs.of_type(lines, "warning")
    assert warning["message"] == "Clip 0005.mp4 is too short to show movement: only its first frame is trained."


@wan_only
@pytest.mark.parametrize("harm", ["cut off", "no video", "another kind"])
def test_a_broken_clip_is_reported(harm, job, train):
    folder = job(**with_clips)
    clip = folder / "dataset" / "0005.mp4"
    whole = clip.read_bytes()
    clip.write_bytes({"cut off": whole[: len(whole) // 2], "no video": b"<html>not found</html>", "another kind": b"#EXTM3U\n0004.mp4\n"}[harm])
    assert complaint(folder) == (64, "bad-input", "Clip 0005.mp4 can't be read: the file ends too early or is broken.")
