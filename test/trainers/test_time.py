"""The time that a step is told: in bf16 it must be as exact as in float32, or noise and time don't belong together."""

import jobs
import pytest
import torch
from bellows_trainer.job import Job
from test_artifact import example, models_of

embedder = {"sdxl": "time_embedding", "flux": "time_text_embed.timestep_embedder", "wan": "condition_embedder.time_embedder"}[jobs.family]


@pytest.mark.parametrize("time", [0.0123, 0.517, 0.7003, 0.9987])
def test_the_time_is_as_exact_in_bf16_as_in_float32(time, job, train, first_base):
    made = Job(job(precision="bf16"))
    made.read_plan()
    folder = {"sdxl": "unet"}.get(jobs.family, "transformer")
    exact, rounded = models_of(first_base[0], train)[0], train.frozen(made, torch.device("cpu"), folder)
    with torch.autocast("cpu", torch.bfloat16):
        found = embedded(rounded, time, torch.bfloat16)
    expected = embedded(exact, time, torch.float32)
    error = ((found - expected).norm() / expected.norm()).item()
    print("relative error of the embedded time:", error)
    # What one rounding of the answer to bf16 may do.
    assert error < 0.003


def embedded(model, time, kind):
    """What the model makes of `time`, a share of the schedule."""
    batch = {name: tensor.to(kind) for name, tensor in example().items()}
    seen = []
    module = model.get_submodule(embedder)
    module.register_forward_hook(lambda _module, _given, answer: seen.append(answer.float()))
    with torch.no_grad():
        if jobs.family == "sdxl":
            conditions = {"text_embeds": batch["pooled"], "time_ids": batch["time_ids"].float()}
            model(batch["latents"], torch.tensor([round(time * 1000)]), batch["text"], added_cond_kwargs=conditions)
        elif jobs.family == "flux":
            places = {"txt_ids": torch.zeros(16, 3), "img_ids": torch.zeros(16, 3), "guidance": torch.ones(1)}
            packed = batch["latents"].reshape(1, 16, 64)
            model(packed, batch["text"], batch["pooled"], timestep=torch.tensor([time]), **places)
        else:
            model(batch["latents"], torch.tensor([time * 1000]), batch["text"])
    return seen[0]
