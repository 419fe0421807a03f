"""The training loop, the same for every family.

Every draw (order, noise, timesteps, caption dropout) comes from a generator seeded with the plan's seed and the
number of the micro-batch, so a step's numbers don't depend on what ran before it or how often the run was stopped.
With several GPUs the micro-batches of a step are dealt out and their gradients averaged: the plan's batch stays what
it says as long as its gradient accumulation is a multiple of the number of GPUs.
"""

import time
from collections import deque
from dataclasses import dataclass

import torch
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel

from . import adapter, checkpoint, data, report, sampling
from .failures import Interrupted, NanLoss

remembered_losses = 50
most_skipped_in_a_row = 3


@dataclass(frozen=True)
class Trained:
    steps: int
    skipped_steps: int
    final_loss: float
    seconds_per_step: float
    train_seconds: float


def train(job, accelerator, models, batches, loss_of, sample):
    """Trains the adapters in `models`; on return they hold the weights to be saved (averaged, if the plan says so).

    `loss_of(indices, generator, step)` is the mean loss over those samples; `sample(step)` writes sample images.
    """
    plan = job.plan
    trainable = adapter.parameters(models)
    optimizer = adapter.optimizer(plan, trainable)
    schedule = _schedule(plan, optimizer)
    ema = EMAModel(trainable, decay=plan.ema, foreach=True) if plan.ema else None
    start, progress = checkpoint.load(job, trainable, optimizer, schedule, ema)
    losses = deque(progress.get("losses", []), maxlen=remembered_losses)
    skipped, in_a_row = progress.get("skipped", 0), progress.get("inARow", 0)
    spent, durations = progress.get("trainSeconds", 0.0), deque(maxlen=remembered_losses)
    micro_batches = -(-plan.gradientAccumulation // job.world)
    if micro_batches * job.world != plan.gradientAccumulation and job.leads:
        report.warning(f"{job.world} GPUs make a step of {micro_batches * job.world} batches, not {plan.gradientAccumulation}.")
    job.phase("training")
    job.training = True
    resumed = began = time.monotonic()

    def save_checkpoint(done):
        if job.leads:
            seconds = spent + time.monotonic() - resumed
            kept = {"losses": list(losses), "trainSeconds": seconds, "skipped": skipped, "inARow": in_a_row}
            checkpoint.save(job, done, trainable, optimizer, schedule, ema, kept)

    def show(done):
        if job.leads and not job.stopping and plan.samples.prompts:
            _show(job, models, trainable, ema, sample, done)
            job.phase("training")
        accelerator.wait_for_everyone()

    done = start
    for step in range(start, plan.steps):
        numbers = [(step * micro_batches + micro) * job.world + job.rank for micro in range(micro_batches)]
        mean = _backward(accelerator, batches, numbers, lambda *drawn: loss_of(*drawn, step), plan.seed)
        norm, loss = _reduced(accelerator, trainable, mean, plan.optimizer.maxGradientNorm)
        finite = norm < float("inf") and abs(loss) < float("inf")
        if finite:
            optimizer.step()
            losses.append(loss)
            in_a_row = 0
        else:
            skipped, in_a_row = skipped + 1, in_a_row + 1
            _skip(job, step + 1, in_a_row)
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if ema and finite:
            ema.step(trainable)

        done, now = step + 1, time.monotonic()
        durations.append(now - began)
        report.step(done, plan.steps, loss if finite else None, _typical(durations), _learning_rate(optimizer))
        last = done == plan.steps or _any(accelerator, job.finishing)
        saved = not last and done % plan.checkpointEvery == 0
        if saved:
            save_checkpoint(done)
        if not last and plan.samples.every and done % plan.samples.every == 0:
            show(done)
        if _any(accelerator, job.stopping) and not last:
            if not saved:
                save_checkpoint(done)
            raise Interrupted("The training was asked to stop.")
        if last:
            break
        began = time.monotonic()

    spent += time.monotonic() - resumed
    if not losses:
        raise NanLoss("The loss was infinite or no number at every step: the learning rate is too high.")
    if ema:
        ema.copy_to(trainable)
    return Trained(done, skipped, sum(losses) / len(losses), _typical(durations) if durations else 0.0, spent)


def _backward(accelerator, batches, numbers, loss_of, seed):
    """Adds the gradients of the micro-batches of these numbers, each by its share of a full one; their mean loss."""
    total, shares = 0.0, 0.0
    for number in numbers:
        with accelerator.autocast():
            share = batches.share(number) / len(numbers)
            loss = loss_of(batches[number], data.seeded(seed, 2, number)) * share
        loss.backward()
        total, shares = total + loss.detach(), shares + share
    return total / shares


def _skip(job, step, in_a_row):
    """One bad step, as of one odd picture, costs that step; more in a row, and the training diverges."""
    if in_a_row == most_skipped_in_a_row:
        raise NanLoss(
            f"The loss became infinite or no number in {in_a_row} steps in a row, the last of them step {step}: "
            "the learning rate is too high."
        )
    if job.leads:
        report.warning(f"Step {step} was skipped, as its loss was infinite or no number.")


def _show(job, models, trainable, ema, sample, done):
    """Sample images with the weights as they would be saved now. Whatever is wrong with them is no reason to stop."""
    job.phase("sampling")
    if ema:
        ema.store(trainable)
        ema.copy_to(trainable)
    for model in models:
        model.eval()
    try:
        with torch.no_grad():
            sample(done)
    except Interrupted:
        pass  # the loop saves a checkpoint, then leaves
    except Exception as error:
        sampling.warn_of(error, job)
    finally:
        for model in models:
            model.train()
        if ema:
            ema.restore(trainable)


def _schedule(plan, optimizer):
    name = plan.schedule.name
    if name == "constant" and plan.schedule.warmupSteps:
        name = "constant_with_warmup"
    return get_scheduler(
        name, optimizer, num_warmup_steps=plan.schedule.warmupSteps, num_training_steps=plan.steps
    )


def _reduced(accelerator, trainable, total, most):
    """Averages gradients and loss over the processes, clips; the norm before that, and the loss."""
    if accelerator.num_processes > 1:
        for parameter in trainable:
            if parameter.grad is not None:
                parameter.grad = accelerator.reduce(parameter.grad, reduction="mean")
        total = accelerator.reduce(total, reduction="mean")
    norm = torch.nn.utils.clip_grad_norm_(trainable, most)
    return norm.item(), total.item()


def _any(accelerator, flag):
    """Whether `flag` is up in any process, so that all decide alike."""
    if accelerator.num_processes == 1:
        return flag
    return accelerator.reduce(torch.tensor(float(flag), device=accelerator.device)).item() > 0


def _typical(durations):
    """The median: the first step, or a moment's stall, doesn't count."""
    return sorted(durations)[len(durations) // 2]


def _learning_rate(optimizer):
    group = optimizer.param_groups[0]
    return group["lr"] * group.get("d", 1.0)
