"""Clips: MP4 and WebM files, of which the beginning is trained, 16 frames a second, as WAN's own data was.

FFmpeg decodes them, through PyAV, which only the image of a family that learns from clips has.
"""

from itertools import chain, islice

from .failures import InputFault

try:
    import av
except ImportError:
    av = None

rate = 16
# Named and not guessed: some of FFmpeg's other formats are lists that name further files.
formats = {".mp4": "mov", ".webm": "matroska"}


def is_clip(file):
    return file.suffix in formats


def measure(file, most):
    """Width and height as it is shown, and how many frames to train: 4k + 1 of those that there are, at most `most`."""
    sizes = [image.size for image in frames(file, most)]
    return *sizes[0], (len(sizes) - 1) // 4 * 4 + 1


def frames(file, most):
    """Its first pictures in turn, upright, at most `most`, but at least one."""
    if av is None:
        raise InputFault(f"{file.name} is a clip, and this trainer learns from images only.")
    try:
        with av.open(str(file), format=formats[file.suffix]) as container:
            # Several clips are decoded at once, so each gets by with the thread that it is in.
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            graph = av.filter.Graph()
            graph.threads = 1
            graph.link_nodes(graph.add_buffer(template=stream), graph.add("fps", str(rate)), graph.add("buffersink"))
            graph.configure()
            count = 0
            for frame in islice(_filtered(graph, container.decode(stream)), most):
                if frame.is_corrupt:
                    raise ValueError("a frame is corrupt")
                # The side that is up, as a phone notes it, counted against the clock.
                yield frame.to_image(threads=1).rotate(frame.rotation, expand=True)
                count += 1
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise InputFault(f"Clip {file.name} can't be read: the file ends too early or is broken.") from error
    if count == 0:
        raise InputFault(f"Clip {file.name} holds no picture.")


def _filtered(graph, frames):
    for frame in chain(frames, [None]):
        graph.vpush(frame)
        while True:
            try:
                yield graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                break
