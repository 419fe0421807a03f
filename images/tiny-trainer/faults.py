"""How a trainer can go wrong, each way by name: the job's trigger word brings it about, halfway unless it says otherwise."""

import signal
import time

from contract import DiskFull, InputFault, NanLoss, OutOfMemory, say

mebibyte = 2**20


class Fault:
    """No fault; the others change one of these."""

    def at_start(self, plan):
        pass

    def halfway(self, first, save_checkpoint):
        """`first` is the step that the run went on from."""

    def changed(self, file):
        """The LoRA's bytes as they are written."""
        return file


class Refuse(Fault):
    def at_start(self, plan):
        raise InputFault("Image 00001.png is damaged: the file ends too early or is broken.")


class Crash(Fault):
    def halfway(self, first, save_checkpoint):
        raise RuntimeError("told to crash")


class CrashOnce(Fault):
    """Only where there was no checkpoint; leaves one, so that the next run gets through."""

    def halfway(self, first, save_checkpoint):
        if first == 0:
            save_checkpoint()
            raise RuntimeError("told to crash once")


class SilentExit(Fault):
    """Exit code 0, as if all were well, but no file and no word."""

    def halfway(self, first, save_checkpoint):
        raise SystemExit(0)


class Hang(Fault):
    """As in a GPU kernel that never returns: no more lines, and SIGTERM goes unheard."""

    def halfway(self, first, save_checkpoint):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(3600)


class Nan(Fault):
    def halfway(self, first, save_checkpoint):
        raise NanLoss("The loss became infinite or no number: the learning rate is too high.")


class Memory(Fault):
    """Takes memory until the kernel ends it; where nothing limits it, what it says is the same."""

    def halfway(self, first, save_checkpoint):
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        taken = []
        while len(taken) < 128:
            taken.append(b"\1" * (32 * mebibyte))
        raise OutOfMemory("The machine has too little memory for this training.")


class Disk(Fault):
    def halfway(self, first, save_checkpoint):
        raise DiskFull("The machine's disk is full.")


class Garbage(Fault):
    """Lines that the contract doesn't know, then on as if nothing were. The file is good."""

    def halfway(self, first, save_checkpoint):
        print("Loading pipeline components...:  40%|####")
        print('{"type": "step", "step":')
        print('{"type": "step", "step": -1, "total": "many", "loss": NaN}')
        print("\x1b[31m\x00\x07" + "x" * 100_000)
        say(type="unheard of")


class ZeroFile(Fault):
    """A file of the right form whose numbers are all zero, header and length kept."""

    def changed(self, file):
        start = 8 + int.from_bytes(file[:8], "little")
        return file[:start] + bytes(len(file) - start)


class EmptyFile(Fault):
    def changed(self, file):
        return b""


class ShortFile(Fault):
    """As one whose last block never reached the disk."""

    def changed(self, file):
        return file[:-100]


class ForeignKeys(Fault):
    """Keys that ComfyUI would drop with no more than a line in its log."""

    def changed(self, file):
        return file.replace(b"lora_", b"rola_")


faults = {
    "fault-refuse": Refuse,
    "fault-crash": Crash,
    "fault-crash-once": CrashOnce,
    "fault-silent-exit": SilentExit,
    "fault-hang": Hang,
    "fault-nan": Nan,
    "fault-out-of-memory": Memory,
    "fault-disk": Disk,
    "fault-garbage": Garbage,
    "fault-zero-file": ZeroFile,
    "fault-empty-file": EmptyFile,
    "fault-short-file": ShortFile,
    "fault-foreign-keys": ForeignKeys,
}


def named(trigger_word):
    return faults.get(trigger_word, Fault)()
