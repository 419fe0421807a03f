"""Clips: how many frames become of them, which way up, with whom they share a batch; and that the rest holds for them too."""

import signal

import jobs
import pytest
import torch
from bellows_trainer import clips, data, plan
from bellows_trainer.failures import InputFault
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
@pytest.mark.parametrize(
    ("ending", "codec", "pixels"),
    [
        ("mp4", "libx264", "yuv420p10le"),
        ("mp4", "libx264", "gray10le"),
        ("mp4", "libx265", "yuv420p10le"),
        ("mp4", "libx265", "yuv422p10le"),
        ("mp4", "libx265", "yuv420p12le"),
        ("mp4", "libsvtav1", "yuv420p10le"),
        ("webm", "libvpx-vp9", "yuv420p10le"),
    ],
)
def test_a_clip_of_more_than_eight_bits_has_the_pictures_of_one_with_eight(ending, codec, pixels, tmp_path):
    jobs.draw_clip(tmp_path / "eight.mp4", rate=16)
    jobs.draw_clip(tmp_path / f"deep.{ending}", rate=16, codec=codec, pixels=pixels)
    eight, deep = (list(clips.frames(tmp_path / name, 9)) for name in ("eight.mp4", f"deep.{ending}"))
    assert len(deep) == 9 and {image.size for image in deep} == {(128, 80)}
    grey = lambda image: torch.frombuffer(bytearray(image.convert("L").tobytes()), dtype=torch.uint8).float()
    assert max((grey(a) - grey(b)).abs().mean() for a, b in zip(eight, deep)) < 4


@wan_only
def test_a_decoder_that_says_nothing_more_is_ended(tmp_path, monkeypatch):
    stuck = ["sh", "-c", r"printf 'P6\n128 80\n255\nhalf a picture'; exec sleep 1000"]
    monkeypatch.setattr(clips, "_command", lambda file, most: stuck)
    monkeypatch.setattr(clips, "patience_seconds", 0.2)
    with pytest.raises(InputFault, match="Clip 0.mp4 can't be read"):
        clips.measure(tmp_path / "0.mp4", 9)


@wan_only
def test_pictures_of_another_form_end_the_decoder(tmp_path, monkeypatch):
    """More than a pipe holds, so that who waits for the end of it without reading waits for ever."""
    endless = ["sh", "-c", r"printf 'P6\n2 2\n65535\n'; exec cat /dev/zero"]
    monkeypatch.setattr(clips, "_command", lambda file, most: endless)
    with pytest.raises(InputFault, match="Clip 0.mp4 can't be read"):
        clips.measure(tmp_path / "0.mp4", 9)


# Linear light of a scene whose white is 203 cd/m² (ITU-R BT.2408), as phones' HLG and films' PQ have it.
to_hdr = "format=gbrp,setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc,zscale=t=linear:npl=203,format=gbrpf32le,zscale=t={}:p=bt2020:m=bt2020nc:r=limited:npl=203,format=yuv420p10le"
hdr_tags = ("-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_trc")


@wan_only
@pytest.mark.parametrize(("transfer", "name"), [("arib-std-b67", "HLG"), ("smpte2084", "PQ")])
def test_a_clip_in_hdr_is_toned_to_what_the_scene_shows_and_named(transfer, name, tmp_path, capsys):
    folder = tmp_path / "dataset"
    folder.mkdir()
    jobs.draw_clip(folder / "0001.mp4", "crimson", rate=16, codec="libx265", pixels="yuv420p10le", options=("-vf", to_hdr.format(transfer), *hdr_tags, transfer))
    (folder / "0001.txt").write_text("a shape")
    dataset = {"images": 1, "clips": 1, "sha256": "0" * 64}
    (pair,) = data.read(folder, plan._shaped(plan.Plan, jobs.plan_for("0" * 64, dataset=dataset, clipFrames=9), "plan"))
    assert pair.frames == 9
    assert f"Clip 0001.mp4 is in HDR ({name}): its colours are trained as a common screen shows them." in capsys.readouterr().out
    image = next(clips.frames(folder / "0001.mp4", 1))
    red, white = image.getpixel((100, 60)), image.getpixel((10, 20))
    assert min(white) > 195 and max(white) - min(white) < 12
    assert 180 < red[0] < 245 and red[1] < 50 and red[2] < 90  # crimson is 220, 20, 60


@wan_only
def test_a_clip_of_common_colours_is_left_as_it_is(tmp_path):
    jobs.draw_clip(tmp_path / "0.mp4", "crimson", rate=16, codec="libx265", pixels="yuv420p10le")
    assert clips.hdr(tmp_path / "0.mp4") is None
    assert all(abs(a - b) < 6 for a, b in zip(next(clips.frames(tmp_path / "0.mp4", 1)).getpixel((100, 60)), (220, 20, 60)))


@wan_only
@pytest.mark.parametrize(("aspect", "turned", "shown"), [("16/15", 0, (137, 80)), ("8/9", 0, (128, 90)), ("2", 90, (80, 256)), ("20", 0, (512, 80))])
def test_a_clip_of_pixels_that_are_no_squares_is_trained_in_the_shape_it_is_shown(aspect, turned, shown, tmp_path):
    jobs.draw_clip(tmp_path / "0.mp4", turned=turned, options=("-vf", f"setsar={aspect}"))
    assert clips.measure(tmp_path / "0.mp4", 1)[:2] == shown


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
    (warning,) = jobs.warnings(lines)
    assert warning == "Clip 0005.mp4 is too short to show movement: only its first frame is trained."


@wan_only
@pytest.mark.parametrize("harm", ["cut off", "no video", "another kind"])
def test_a_broken_clip_is_reported(harm, job, train):
    folder = job(**with_clips)
    clip = folder / "dataset" / "0005.mp4"
    whole = clip.read_bytes()
    clip.write_bytes({"cut off": whole[: len(whole) // 2], "no video": b"<html>not found</html>", "another kind": b"#EXTM3U\n0004.mp4\n"}[harm])
    assert complaint(folder) == (64, "bad-input", "Clip 0005.mp4 can't be read: the file ends too early or is broken.")
