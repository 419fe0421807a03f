"""The dataset: pairs of an image (or a clip) and a caption, cut to buckets, and the order in which a training sees them."""

import os
from bisect import bisect_right
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image, ImageOps

from . import buckets, clips, report, trigger
from .failures import InputFault

most_pixels = 150_000_000
Image.MAX_IMAGE_PIXELS = most_pixels
threads = min(16, os.cpu_count() or 1)


@dataclass(frozen=True)
class Pair:
    file: Path
    caption: str
    width: int
    height: int
    frames: int = 1


@dataclass(frozen=True)
class Sample:
    """One way in which an image or clip is trained: scaled to fill `height` × `width` pixels, cut from its middle."""

    pair: Pair
    height: int
    width: int
    mirrored: bool

    @property
    def shape(self):
        """What all samples of a batch have in common."""
        return self.pair.frames, self.height, self.width

    @property
    def scaled(self):
        """Height and width before the cut."""
        scale = max(self.height / self.pair.height, self.width / self.pair.width)
        return max(self.height, round(self.pair.height * scale)), max(self.width, round(self.pair.width * scale))

    @property
    def corner(self):
        """Top and left of the cut."""
        height, width = self.scaled
        return (height - self.height) // 2, (width - self.width) // 2


def read(folder, plan):
    """All pairs in the order of their numbers. Only headers are read here; pixels when they are encoded."""
    files = sorted((file for file in folder.glob("*") if file.suffix != ".txt"), key=lambda file: file.name)
    if len(files) != plan.dataset.images:
        raise InputFault(f"The dataset has {len(files)} images where the plan says {plan.dataset.images}.")
    with ThreadPoolExecutor(threads) as pool:
        pairs = []
        for pair in pool.map(lambda file: _pair(file, plan), files):
            pairs.append(pair)
            report.progress("reading the dataset", len(pairs), len(files))
    if plan.triggerWord is None and not any(pair.caption for pair in pairs):
        report.warning("There is no trigger word and every caption is empty: the LoRA will be always on.")
    return pairs


def samples(pairs, plan, multiple):
    """The ways in which each image may be trained: in every resolution, or its own size where that is less; a clip in the smallest.

    Sides are multiples of `multiple`.
    """
    resolutions = sorted(plan.resolutions)
    chosen = []
    for pair in pairs:
        usable = resolutions if pair.frames == 1 else resolutions[:1]
        for height, width in buckets.growing(pair.height, pair.width, usable, multiple):
            for mirrored in (False, True) if plan.flip else (False,):
                chosen.append(Sample(pair, height, width, mirrored))
    buckets.warn_of_losses(chosen)
    return chosen


def decode(chosen):
    """The samples' pixels in turn, `[3, height, width]` of an image, `[3, frames, height, width]` of a clip, from -1 to 1.

    They are decoded in parallel, a few ahead, and wait as bytes: that takes a quarter of the memory.
    """
    ahead = deque()
    with ThreadPoolExecutor(threads) as pool:
        for sample in chosen:
            ahead.append(pool.submit(_pixels, sample))
            if len(ahead) > 2 * threads:
                yield _numbers(ahead.popleft())
        while ahead:
            yield _numbers(ahead.popleft())


class Batches:
    """The endless, shuffled sequence of micro-batches. What the n-th holds depends on the seed and n alone,

    so a run that goes on from a checkpoint sees what it would have seen. A batch is from one bucket, and may be a partial
    one. Each epoch has every image once, in one of its ways; as many epochs as it has ways have each of them once.
    """

    def __init__(self, chosen, batch_size, seed):
        self.ways, self.shapes = {}, [sample.shape for sample in chosen]
        for index, sample in enumerate(chosen):
            self.ways.setdefault(sample.pair.file, []).append(index)
        self.batch_size, self.seed = batch_size, seed
        self.starts = [0]
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, number):
        while self.starts[-1] <= number:
            self.starts.append(self.starts[-1] + len(self._epoch(len(self.starts) - 1)))
        epoch = bisect_right(self.starts, number) - 1
        return self._epoch(epoch)[number - self.starts[epoch]]

    def share(self, number):
        """Of a whole batch: what the loss of the n-th counts, so that each image in it counts the same."""
        return len(self[number]) / self.batch_size

    def _shuffled(self, epoch):
        generator = seeded(self.seed, 1, epoch)
        shapes = {}
        for image, ways in enumerate(self.ways.values()):
            order = torch.randperm(len(ways), generator=seeded(self.seed, 4, image, epoch // len(ways))).tolist()
            index = ways[order[epoch % len(ways)]]
            shapes.setdefault(self.shapes[index], []).append(index)
        batches = []
        for indices in shapes.values():
            order = [indices[index] for index in torch.randperm(len(indices), generator=generator).tolist()]
            batches += [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        return [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]


def dropped(captions, plan, generator):
    """Each caption emptied with the plan's probability."""
    draws = torch.rand(len(captions), generator=generator).tolist()
    return ["" if draw < plan.captionDropout else caption for caption, draw in zip(captions, draws)]


def seeded(*numbers):
    """A generator on the CPU, the same on every machine, for the draws that `numbers` name."""
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number) % (2**63 - 25)
    return torch.Generator().manual_seed(state)


def tag_frequency(pairs):
    """How often each comma-separated part of a caption occurs; Civitai and A1111 show it."""
    return Counter(tag.strip() for pair in pairs for tag in pair.caption.split(",") if tag.strip())


def _pair(file, plan):
    text = file.with_suffix(".txt")
    try:
        caption = trigger.put_in(text.read_text(encoding="utf-8"), plan.triggerWord)
    except FileNotFoundError:
        raise InputFault(f"Image {file.name} has no caption.") from None
    except UnicodeDecodeError:
        raise InputFault(f"The caption of image {file.name} is not UTF-8 text.") from None
    if clips.is_clip(file):
        width, height, frames = clips.measure(file, plan.clipFrames)
        if curve := clips.hdr(file):
            report.warning(f"Clip {file.name} is in HDR ({curve}): its colours are trained as a common screen shows them.")
        if frames == 1 < plan.clipFrames:
            report.warning(f"Clip {file.name} is too short to show movement: only its first frame is trained.")
        return Pair(file, caption, width, height, frames)
    try:
        with Image.open(file) as image:
            width, height = image.size
            # A PNG without EXIF at its beginning would be read to its end.
            tagged = image.format != "PNG" or "exif" in image.info
            turned = tagged and image.getexif().get(0x0112, 1) >= 5
            moving = getattr(image, "is_animated", False)
    except Exception as error:
        raise InputFault(f"Image {file.name} can't be read: {_reason(error)}.") from error
    if width * height > most_pixels:
        raise InputFault(f"Image {file.name} is too large: {width} × {height} pixels.")
    if min(width, height) < 16:
        raise InputFault(f"Image {file.name} is too small: {width} × {height} pixels.")
    if moving:
        report.warning(f"Image {file.name} is animated: only its first frame is trained.")
    return Pair(file, caption, *((height, width) if turned else (width, height)))


def _numbers(decoding):
    return decoding.result().float() / 127.5 - 1


def _pixels(sample):
    file, frames = sample.pair.file, sample.pair.frames
    if clips.is_clip(file):
        return torch.stack([_cut(image, sample) for image in clips.frames(file, frames)], dim=1)
    return _cut(_still(sample), sample)


def _still(sample):
    try:
        with Image.open(sample.pair.file) as image:
            image.draft("RGB", sample.scaled[::-1])
            return _upright_rgb(image)
    except Exception as error:
        raise InputFault(f"Image {sample.pair.file.name} is damaged: {_reason(error)}.") from error


def _cut(image, sample):
    height, width = sample.scaled
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    top, left = sample.corner
    image = image.crop((left, top, left + sample.width, top + sample.height))
    if sample.mirrored:
        image = ImageOps.mirror(image)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(sample.height, sample.width, 3).permute(2, 0, 1)


def _upright_rgb(image):
    """Turned as its EXIF tag says, transparent parts on white, 16-bit greys scaled, CMYK and palettes resolved."""
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _reason(error):
    if isinstance(error, Image.DecompressionBombError):
        return "it is too large"
    if "truncated" in str(error) or "broken" in str(error) or "unrecognized data" in str(error):
        return "the file ends too early or is broken"
    return "it is no image in a known format"
