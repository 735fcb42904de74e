"""Removing one contributor from a merge of adapters, against the same with full weights.

The shapes are those of SmolLM2-135M (`Bench.causal`); no weights of it are needed, for entries are
drawn (`stage`).
"""

from accelerate import init_empty_weights
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.cost.bench import Bench
from benchmarks.cost.measuring import in_new_process, median, typical
from benchmarks.cost.removing import removals
from benchmarks.cost.stage import Shapes, Stage, make_stage
from benchmarks.figures import Figure
from sift_core import Adapter, FullWeights, Parameterization

MEMBERS = 4
RANK = 32
LIMIT = 0.1
"""At most a tenth: a twentieth as many entries train, and some costs do not shrink with them."""


def shapes(config: LlamaConfig, parameterization: Parameterization) -> Shapes:
    """The shapes of what trains of a model."""
    with init_empty_weights():
        model = LlamaForCausalLM(config)
    trained = parameterization.attach(model).trained
    return {name: tuple(parameter.shape) for name, parameter in trained.items()}


def figures(bench: Bench) -> list[Figure]:
    """Seconds of the opt-out core, adapters by full weights, in the same run."""
    kinds: dict[str, Parameterization] = {
        "full weights": FullWeights(),
        "adapters": Adapter(RANK, 2 * RANK, ("all-linear",), seed=0),
    }
    stages: dict[str, Stage] = {
        name: make_stage(
            bench.folder / name.replace(" ", "-"), shapes(bench.causal, kind), MEMBERS, 2
        )
        for name, kind in kinds.items()
    }
    usages = {
        name: in_new_process(removals, stage, [MEMBERS], bench.rounds)[MEMBERS]
        for name, stage in stages.items()
    }
    return [
        Figure.at_most(
            f"Removing one from SmolLM2: time with adapters of rank {RANK}, by full weights",
            median(usages["adapters"]) / median(usages["full weights"]),
            LIMIT,
            **{
                name: {"entries": stages[name].entries, **typical(usages[name]).as_detail()}
                for name in kinds
            },
        )
    ]
