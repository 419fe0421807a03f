"""The smallest trainer that keeps to the container's contract (docs/recipes.md). Standard library only.

It can be told to misbehave, by a text that begins with `tiny:` as the trigger word, in the file `/job/tiny` or as a
caption: wishes with commas between them, such as `tiny:pace=0.2` or `tiny:hang@3,pace=0.05`.

  pace=S      seconds a step; without it, all steps together take half a second at most
  start=S     seconds before the first line
  KIND@STEP   misbehaves once that step is done (without @: before the first):
    killed    exits with 137, as a container without memory does   crash   exits with 1 and a traceback
    hang      falls silent; SIGTERM ends it                        deaf    falls silent; only SIGKILL ends it
    nan       loss is no number: exit 65                           oom     exit 66
    full      disk full: exit 67                                   refuse  the input's fault: exit 64
    garbage   prints what is no line of the contract, goes on      mute    trains without a line on stdout
  nothing     exits with 0 and writes nothing                      zero    writes a file full of zeros
  foreign     writes keys that ComfyUI doesn't know                short   writes half a file
"""

import glob
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from datetime import datetime, timezone

import lora

job = os.environ.get("BELLOWS_JOB", "/job")
stopping = False
mute = False


def main():
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    started, began = datetime.now(timezone.utc), time.monotonic()
    content = read(f"{job}/plan.json")
    plan = json.loads(content)
    digest = hashlib.sha256(content).hexdigest()
    wishes = wishes_of(plan)
    time.sleep(float(wishes.get("start", 0)))
    images = [file for file in glob.glob(f"{job}/dataset/*") if not file.endswith(".txt")]
    if len(images) != plan["dataset"]["images"]:
        fail(64, "bad-input", f"The dataset has {len(images)} images where the plan says {plan['dataset']['images']}.")
    say(type="phase", phase="loading")
    misbehave(wishes, 0)

    # A stopped run goes on where its checkpoint says, if that belongs to the same plan.
    done, losses = load_checkpoint(digest)
    pace = float(wishes.get("pace", min(0.01, 0.5 / plan["steps"])))
    say(type="phase", phase="training")
    while done < plan["steps"]:
        time.sleep(pace)
        done += 1
        losses = [*losses[-49:], 1 / (1 + done / 50)]
        say(
            type="step",
            step=done,
            total=plan["steps"],
            loss=losses[-1],
            secondsPerStep=pace,
            learningRate=plan["optimizer"]["learningRate"],
        )
        misbehave(wishes, done)
        if done < plan["steps"] and (stopping or done % plan["checkpointEvery"] == 0):
            save_checkpoint(done, losses, digest)
        if stopping and done < plan["steps"]:
            sys.exit(75)

    if "nothing" in wishes:
        return
    say(type="phase", phase="saving")
    os.makedirs(f"{job}/out/samples", exist_ok=True)
    file = f"{plan['name']}.safetensors"
    found = lora.tensors(plan, done, zero="zero" in wishes)
    if "foreign" in wishes:
        found = {f"unknown.{name}": value for name, value in found.items()}
    lora.save(f"{job}/out/{file}", found, metadata(plan, digest, done))
    if "short" in wishes:
        os.truncate(f"{job}/out/{file}", os.path.getsize(f"{job}/out/{file}") // 2)
    # Written last, by renaming: who finds it knows that all else is there.
    written = read(f"{job}/out/{file}")
    result = {
        "files": [{"name": file, "size": len(written), "sha256": hashlib.sha256(written).hexdigest()}],
        "samples": [],
        "steps": done,
        "finalLoss": sum(losses) / len(losses),
        "secondsPerStep": pace,
        "seconds": pace * done,
        "trainSeconds": pace * done,
        "wholeSeconds": time.monotonic() - began,
        "peakMemoryBytes": 0,
        "startedAt": started.isoformat(timespec="milliseconds"),
        "finishedAt": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "planSha256": digest,
        "versions": {"tiny": "1"},
    }
    replace(f"{job}/out/result.json", json.dumps(result, indent=2))


def wishes_of(plan):
    texts = [plan["triggerWord"] or ""]
    texts += [read(file).decode() for file in (f"{job}/tiny", *sorted(glob.glob(f"{job}/dataset/*.txt"))) if os.path.exists(file)]
    text = next((text.strip() for text in texts if text.strip().startswith("tiny:")), "tiny:")
    # Others may have put the trigger word before a caption; nothing behind a blank is ours.
    wishes = text.removeprefix("tiny:").split(maxsplit=1)
    return dict(wish.replace("@", "=", 1).partition("=")[::2] for wish in (wishes[0].split(",") if wishes else []))


def misbehave(wishes, step):
    for kind in [kind for kind, value in wishes.items() if kind in kinds and int(value or 0) == step]:
        kinds[kind](step)


def crash(step):
    raise RuntimeError(f"told to crash at step {step}")


def hang(_step):
    while not stopping:
        time.sleep(0.05)
    sys.exit(143)


def deaf(_step):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def garbage(step):
    print("Loading pipeline components...:  40%|####")
    print('{"type":"step","step":')
    print(json.dumps({"type": "unheard of", "step": step}))
    print("\x1b[31m\x00 nul and colours \x07" + "x" * 20_000)


def silence(_step):
    global mute
    mute = True


kinds = {
    "killed": lambda _: os._exit(137),
    "crash": crash,
    "hang": hang,
    "deaf": deaf,
    "nan": lambda step: fail(65, "nan-loss", f"The loss became infinite or no number at step {step}: the learning rate is too high."),
    "oom": lambda _: fail(66, "out-of-memory", "The machine has too little memory for this training."),
    "full": lambda _: fail(67, "disk-full", "The machine's disk is full."),
    "refuse": lambda _: fail(64, "bad-input", "Image 0001.png is damaged: the file ends too early or is broken."),
    "garbage": garbage,
    "mute": silence,
}


def load_checkpoint(digest):
    for folder in sorted(glob.glob(f"{job}/checkpoint/step-*[0-9]"), reverse=True):
        try:
            kept = json.loads(read(f"{folder}/checkpoint.json"))
            if kept["planSha256"] == digest:
                return kept["step"], kept["losses"]
            reason = "it belongs to another plan"
        except (OSError, ValueError, KeyError):
            reason = "it is damaged"
        name = os.path.basename(folder)
        say(type="warning", message=f"The checkpoint {name} can't be used, as {reason}; the training starts over.")
    return 0, []


def save_checkpoint(step, losses, digest):
    """A folder that has its final name is whole; the one before it goes only then."""
    final = f"{job}/checkpoint/step-{step:06}"
    shutil.rmtree(f"{final}.part", ignore_errors=True)
    os.makedirs(f"{final}.part")
    replace(f"{final}.part/checkpoint.json", json.dumps({"step": step, "planSha256": digest, "losses": losses}))
    shutil.rmtree(final, ignore_errors=True)
    os.rename(f"{final}.part", final)
    for other in glob.glob(f"{job}/checkpoint/step-*"):
        if other != final:
            shutil.rmtree(other, ignore_errors=True)
    say(type="checkpoint", step=step, directory=f"checkpoint/step-{step:06}")


def metadata(plan, digest, steps):
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(plan["adapter"]["rank"]),
        "ss_network_alpha": str(plan["adapter"]["alpha"]),
        "ss_steps": str(steps),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": plan["name"],
        "bellows.training_id": plan["trainingId"],
        "bellows.trigger_word": plan["triggerWord"] or "",
        "bellows.plan_sha256": digest,
        "bellows.dataset_sha256": plan["dataset"]["sha256"],
        "bellows.base_sha256": plan["baseModel"]["sha256"],
    }


def fail(code, name, message):
    say(type="error", message=message, code=name)
    sys.exit(code)


def say(**line):
    if not mute:
        print(json.dumps(line), flush=True)


def stop(*_):
    global stopping
    stopping = True


def read(file):
    with open(file, "rb") as stream:
        return stream.read()


def replace(file, text):
    with open(f"{file}.part", "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(f"{file}.part", file)


if __name__ == "__main__":
    main()
