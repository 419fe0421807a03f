"""Clips: MP4 and WebM files, of which the beginning is trained, 16 frames a second, as WAN's own data was.

FFmpeg decodes them, in a process of its own: a clip that is made to break it breaks nothing else, and the program, which is
under the GPL, stays beside the trainer. Only the image of a family that learns from clips has it.
"""

import subprocess

from PIL import Image

from .failures import InputFault

try:
    from imageio_ffmpeg import get_ffmpeg_exe
except ImportError:
    get_ffmpeg_exe = None

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
    if get_ffmpeg_exe is None:
        raise InputFault(f"{file.name} is a clip, and this trainer learns from images only.")
    with subprocess.Popen(_command(file, most), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ffmpeg:
        try:
            count = 0
            while image := _next_picture(ffmpeg.stdout):
                yield image
                count += 1
            if ffmpeg.wait() != 0:
                raise InputFault(f"Clip {file.name} can't be read: the file ends too early or is broken.")
            if count == 0:
                raise InputFault(f"Clip {file.name} holds no picture.")
        finally:
            ffmpeg.kill()


def _command(file, most):
    # Several clips are decoded at once, so each gets by with one thread.
    one_thread = ["-threads", "1"]
    return [
        *(get_ffmpeg_exe(), "-nostdin", "-loglevel", "quiet", "-xerror", "-filter_threads", "1"),
        *("-protocol_whitelist", "file", "-f", formats[file.suffix], "-err_detect", "explode", *one_thread, "-i", f"file:{file}"),
        *("-map", "0:v:0", "-vf", f"fps={rate}", "-frames:v", str(most)),
        *("-f", "image2pipe", "-c:v", "ppm", *one_thread, "pipe:1"),
    ]


def _next_picture(stream):
    """A PPM as FFmpeg writes it, three lines before the bytes; nothing at the end, or where it ends too early."""
    kind, size, _ = stream.readline(), stream.readline(), stream.readline()
    if kind != b"P6\n":
        return None
    width, height = map(int, size.split())
    pixels = stream.read(width * height * 3)
    return Image.frombytes("RGB", (width, height), pixels) if len(pixels) == width * height * 3 else None
