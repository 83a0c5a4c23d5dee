"""Learning rates as fractions of the highest one, as a pure function of the step.

What cannot be one, since it depends on the loss on valid or on an accident, is a factor beside it.
"""

import math

from reprise.params.train import TrainParams


def rate_fraction(step: int, params: TrainParams) -> float:
    """The fraction in step number `step`, counted from 0: linear warm-up, then the schedule.

    cosine: Loshchilov and Hutter 2017 (1608.03983), one cycle. inverse_square_root: Vaswani et al.
    2017 (1706.03762), section 5.3. warmup_stable_decay: Hu et al. 2024 (2404.06395), with a linear
    decay.
    """
    if step < params.warmup_steps:
        return (step + 1) / params.warmup_steps
    if params.schedule in ("constant", "plateau"):
        return 1.0
    if params.schedule == "inverse_square_root":
        return (params.warmup_steps / (step + 1)) ** 0.5
    left = _left(step, params)
    floor = params.final_learning_rate_fraction
    return floor + (1 - floor) * left


def _left(step: int, params: TrainParams) -> float:
    """What is left of the way down to the last rate, from 1 to 0."""
    if params.schedule == "warmup_stable_decay":
        decay_steps = min(
            round(params.decay_fraction * params.max_steps), params.max_steps - params.warmup_steps
        )
        return min(1.0, (params.max_steps - step) / max(decay_steps, 1))
    progress = (step - params.warmup_steps) / (params.max_steps - params.warmup_steps)
    return (1 + math.cos(math.pi * progress)) / 2 if params.schedule == "cosine" else 1 - progress
