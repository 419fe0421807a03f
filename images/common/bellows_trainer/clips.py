"""Clips: MP4 and WebM files, of which the beginning is trained, 16 frames a second, as WAN's own data was.

FFmpeg decodes them, in a process of its own: a clip that is made to break it breaks nothing else, and the program, which is
under the GPL, stays beside the trainer. Only the image of a family that learns from clips has it.
"""

import re
import subprocess
from functools import lru_cache
from threading import Timer

from PIL import Image

from .failures import InputFault

try:
    from imageio_ffmpeg import get_ffmpeg_exe
except ImportError:
    get_ffmpeg_exe = None

rate = 16
# Named and not guessed: some of FFmpeg's other formats are lists that name further files.
formats = {".mp4": "mov", ".webm": "matroska"}
# For one picture: who decodes nothing for so long has hung.
patience_seconds = 60
# FFmpeg's names of the two curves of high dynamic range, and people's.
hdr_curves = {"arib-std-b67": "HLG", "smpte2084": "PQ"}


def is_clip(file):
    return file.suffix in formats


def measure(file, most):
    """Width and height as it is shown, and how many frames to train: 4k + 1 of those that there are, at most `most`."""
    sizes = [image.size for image in frames(file, most)]
    return *sizes[0], (len(sizes) - 1) // 4 * 4 + 1


def frames(file, most):
    """Its first pictures in turn, upright, with square pixels, 8 bits and common colours, at most `most`, but at least one."""
    command = _command(file, most)
    count = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ffmpeg:
        try:
            while image := _within(ffmpeg, _next_picture):
                yield image
                count += 1
            # A picture that isn't understood ends the reading, and FFmpeg would wait for a reader for ever.
            ffmpeg.stdout.close()
            if ffmpeg.wait(patience_seconds) != 0:
                raise InputFault(f"Clip {file.name} can't be read: the file ends too early or is broken.")
        finally:
            ffmpeg.kill()
    if count == 0:
        raise InputFault(f"Clip {file.name} holds no picture.")


def hdr(file):
    """`HLG` or `PQ` where its colours are of high dynamic range, otherwise None."""
    return hdr_curves.get(_colours(file)[2])


@lru_cache(maxsize=1024)
def _colours(file):
    """FFmpeg's names of the first picture's matrix, primaries and curve."""
    command = [*_reading(file, "info"), "-vf", "showinfo=checksum=0", "-frames:v", "1", "-f", "null", "-"]
    try:
        said = subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, timeout=patience_seconds).stderr
    except subprocess.TimeoutExpired:
        raise InputFault(f"Clip {file.name} can't be read: its first picture takes more than {patience_seconds} s.") from None
    found = re.search(rb"color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)", said)
    return tuple(word.decode() for word in found.groups()) if found else ("unknown",) * 3


def _command(file, most):
    if get_ffmpeg_exe is None:
        raise InputFault(f"{file.name} is a clip, and this trainer learns from images only.")
    filters = [f"fps={rate}", square_pixels, *_toned(*_colours(file)), "format=rgb24"]
    # Without a pixel format, PPM keeps more than 8 bits as they are.
    return [
        *_reading(file, "quiet"),
        *("-vf", ",".join(filters), "-frames:v", str(most)),
        *("-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", *one_thread, "pipe:1"),
    ]


# Several clips are decoded at once, so each gets by with one thread.
one_thread = ("-threads", "1")
# As a player does it, without a loss of pixels. No format of video is beyond 4, and a file could ask for pictures of any size.
square_pixels = r"scale=round(iw*clip(sar\,1\,4)):round(ih*clip(1/sar\,1\,4)),setsar=1"


def _reading(file, loglevel):
    return [
        *(get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", loglevel, "-xerror", "-filter_threads", "1"),
        *("-protocol_whitelist", "file", "-f", formats[file.suffix], "-err_detect", "explode", *one_thread, "-i", f"file:{file}"),
        *("-map", "0:v:0"),
    ]


def _toned(matrix, primaries, curve):
    """Filters from high dynamic range to BT.709, none for other curves. White is 203 cd/m² (ITU-R BT.2408): what is below
    30 % of it stays as it is, and highlights are pressed together."""
    if curve not in hdr_curves:
        return []
    matrix = "bt2020nc" if matrix == "unknown" else matrix
    primaries = "bt2020" if primaries == "unknown" else primaries
    return [
        f"setparams=colorspace={matrix}:color_primaries={primaries}:color_trc={curve}",
        "zscale=transfer=linear:npl=203,format=gbrpf32le,zscale=primaries=bt709",
        "tonemap=mobius:desat=0,zscale=transfer=bt709:range=full",
    ]


def _within(ffmpeg, read):
    """What `read` makes of the output; FFmpeg is ended, and so the output, where it takes too long."""
    patience = Timer(patience_seconds, ffmpeg.kill)
    patience.start()
    try:
        return read(ffmpeg.stdout)
    finally:
        patience.cancel()


def _next_picture(stream):
    """A PPM as FFmpeg writes it, three lines before the bytes; nothing at the end, or where it ends too early."""
    kind, size, highest = (stream.readline(64) for _ in range(3))
    if (kind, highest) != (b"P6\n", b"255\n"):
        return None
    width, height = map(int, size.split())
    pixels = stream.read(width * height * 3)
    return Image.frombytes("RGB", (width, height), pixels) if len(pixels) == width * height * 3 else None
