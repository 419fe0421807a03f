"""Buckets: the sizes that images are cut to, so that those of one size can share a batch.

A bucket has at most the pixels of its resolution's square and of the image itself, and sides in steps of a sixteenth of
the resolution (64 at 1024) or of what the model needs. The steps go on as far as the image is long: none is too wide.
"""

from . import report

most_cut = 0.1


def growing(height, width, resolutions, multiple):
    """The image's bucket at each of `resolutions`, which ascend; one that is no larger than the last is left out."""
    largest = 0
    for resolution in resolutions:
        fitting = fitted(height, width, resolution, multiple)
        if fitting[0] * fitting[1] > largest:
            yield fitting
            largest = fitting[0] * fitting[1]


def fitted(height, width, resolution, multiple):
    """Height and width of the bucket that keeps most of the image, of those that keep about as much the largest.

    It is no larger than the image either way, unless the image is smaller than one step.
    """
    step = max(multiple, resolution // 16 // multiple * multiple)
    short, long = sorted((height, width))
    area = min(resolution**2, height * width)
    smallest = (multiple, max(multiple, min(long, resolution**2 // multiple) // multiple * multiple))
    ladder = [*_ladder(short, long, area, step)] or [*_ladder(short, long, area, multiple)] or [smallest]
    best = max(ladder, key=lambda sides: (round(kept(short, long, *sides), 2), sides[0] * sides[1]))
    return best if height <= width else best[::-1]


def kept(height, width, bucket_height, bucket_width):
    """Share of an image that is left after it was scaled to fill the bucket and cut."""
    shape, bucket = width / height, bucket_width / bucket_height
    return min(shape / bucket, bucket / shape)


def warn_of_losses(chosen):
    """Names what more than a tenth is cut off, and what is scaled up."""
    cut, enlarged = {}, {}
    for sample in chosen:
        pair = sample.pair
        lost = 1 - kept(pair.height, pair.width, sample.height, sample.width)
        if lost > most_cut:
            cut[pair.file.name] = max(lost, cut.get(pair.file.name, 0))
        if sample.height > pair.height or sample.width > pair.width:
            enlarged[pair.file.name] = True
    if cut:
        report.warning(f"More than a tenth is cut off these to fit: {_listed(f'{name} ({lost * 100:.0f} %)' for name, lost in cut.items())}.")
    if enlarged:
        report.warning(f"These are smaller than the least that can be trained, and enlarged: {_listed(enlarged)}.")


def _listed(names, most=10):
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _ladder(short, long, area, step):
    """Each length of the longer side, with the most that the shorter one may have beside it."""
    for length in range(step, long + 1, step):
        other = min(area // length, short) // step * step
        if other > 0:
            yield other, length
