"""A size that is solved for a target instead of typed: so many parameters, so many operations."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from reprise.errors import PipelineError
from reprise.models.size import parameter_count, training_flops_per_token
from reprise.params.base import Section, WholeNumber
from reprise.params.model import ModelParams

NEAR_ENOUGH = 0.1  # of the target: a result further off is an error
LARGEST = 2**40

Settings = Mapping[str, Mapping[str, Any]]  # section -> setting -> value
DottedName = Annotated[str, Field(pattern=r"^\w+\.\w+$", description="a name such as train.seed")]


class Solve(Section):
    """One whole number, with what follows from it, and the target that it is to meet."""

    setting: DottedName
    also: dict[DottedName, float] = Field({})  # these become so many times it, rounded
    multiple_of: WholeNumber = 1
    parameters: WholeNumber | None = None
    training_flops: float | None = Field(None, gt=0)  # of all steps

    def broken_rules(self) -> Iterator[str]:
        if (self.parameters is None) == (self.training_flops is None):
            yield "one of parameters and training_flops is needed, and not both"

    @property
    def target(self) -> float:
        return float(self.parameters or self.training_flops or 0)

    def values(self, size: int) -> dict[str, int]:
        """What each setting becomes, by its dotted name."""
        followers = {name: max(1, round(factor * size)) for name, factor in self.also.items()}
        return {self.setting: size, **followers}


def solved(params: Settings, solve: Solve) -> dict[str, int]:
    """The values with which the settings come closest to the target.

    The settings must be sound one by one; together they need not be before this.
    """

    def reached(units: int) -> float:
        trial = {section: dict(values) for section, values in params.items()}
        for name, value in solve.values(units * solve.multiple_of).items():
            section, setting = name.split(".")
            trial[section][setting] = value
        return float(_parameters(trial) if solve.parameters else _training_flops(trial))

    units = _closest(reached, solve.target)
    found = reached(units)
    if abs(found - solve.target) > NEAR_ENOUGH * solve.target:
        kind = "parameters" if solve.parameters else "training FLOPs"
        raise PipelineError(
            f"{solve.setting}: {units * solve.multiple_of} comes closest to {solve.target:,.0f} "
            f"{kind}, and gives {found:,.0f}; take another target or a smaller multiple_of"
        )
    return solve.values(units * solve.multiple_of)


def _closest(reached: Callable[[int], float], target: float) -> int:
    """The number from 1 for which `reached`, which grows, is nearest to the target."""
    low = high = 1
    while reached(high) < target and high < LARGEST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reached(middle) < target else (low, middle)
    return min((low, high), key=lambda units: abs(reached(units) - target))


def _parameters(params: Settings) -> int:
    return parameter_count(_network(params), params["tokenize"]["vocabulary_size"])


def _training_flops(params: Settings) -> int:
    train, pieces = params["train"], params["tokenize"]["vocabulary_size"]
    tokens = train["max_steps"] * train["batch_size"] * train["sequence_length"]
    a_token = training_flops_per_token(_network(params), pieces, train["sequence_length"])
    return int(tokens * a_token)


def _network(params: Settings) -> ModelParams:
    """Rules between settings unchecked, since a size tried on the way need not keep them."""
    return ModelParams.model_construct(**params["model"])
