"""Sample images: each prompt with the same seed every time, so that two steps can be compared."""

import os
import traceback

from diffusers.training_utils import free_memory

from . import data, report, trigger
from .failures import OutOfMemory, classify


def prompts(plan):
    """With the trigger word, as captions have it."""
    return [trigger.put_in(prompt, plan.triggerWord) for prompt in plan.samples.prompts]


def draw(job, pipeline, step, number, **conditions):
    """Writes samples/<step>-<number>.png; leaves with `Interrupted` between two denoising steps if asked to stop."""
    file = job.out / "samples" / f"{step}-{number}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    pipeline.set_progress_bar_config(disable=True)

    steps, drawings = job.plan.samples.inferenceSteps, len(job.plan.samples.prompts)

    def check(_pipeline, index, _time, kept):
        job.stop_if_asked()
        report.progress("drawing samples", number * steps + index + 1, drawings * steps)
        return kept

    drawn = pipeline(
        height=job.plan.samples.size,
        width=job.plan.samples.size,
        num_inference_steps=steps,
        generator=data.seeded(job.plan.seed, 3, number),
        callback_on_step_end=check,
        **conditions,
    )
    image = drawn.images[0] if hasattr(drawn, "images") else drawn.frames[0][0]
    part = file.with_suffix(".part")
    image.save(part, format="PNG")
    os.replace(part, file)
    report.sample(step, file.relative_to(job.folder))


def warn_of(error, job):
    """For a sample that failed, of which the training is not to hear: the details go to stderr."""
    traceback.print_exception(error)
    if isinstance(classify(error, job.folder), OutOfMemory):
        reason = "there is too little memory for them"
    else:
        reason = f"{type(error).__name__}: {error}"[:300]
    report.warning(f"Sample images are missing, as they could not be drawn ({reason}). The LoRA is not affected.")
    error.__traceback__ = None  # its frames hold the pipeline
    free_memory()
