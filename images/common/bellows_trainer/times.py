"""Keeps the embedding of a step's time in float32, as what surrounds it is in bfloat16.

bfloat16 has 8 bits: between 512 and 1000 it knows every fourth time. Noise of one level would be learned as noise of another.
"""

import torch


def loaded_in_float32(model_class, embedders):
    """`model_class`, whose `embedders` are loaded in float32 and never quantised, whatever the rest is. The names are modules' last parts."""
    kept = model_class._keep_in_fp32_modules or []
    model_class._keep_in_fp32_modules = [*kept, *(name for name in embedders if name not in kept)]
    return model_class


def computed_in_float32(model, projection, embedders):
    """Each of `embedders` gets what the module `projection` made just before, unrounded, and computes in float32 outside of autocast."""
    unrounded = {}
    model.get_submodule(projection).register_forward_hook(lambda _module, _given, waves: unrounded.update(waves=waves))
    for name in embedders:
        _compute_in_float32(model.get_submodule(name), unrounded)


def _compute_in_float32(embedder, unrounded):
    forward = embedder.forward

    def exact(sample, *conditions):
        with torch.autocast(sample.device.type, enabled=False):
            return forward(unrounded["waves"].float().view_as(sample), *conditions).to(sample.dtype)

    embedder.forward = exact
