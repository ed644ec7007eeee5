"""What a quantizer's weight means for each method: the ratio of its gradient to that of the method's similarity loss.

    python -m benchmarks.ratios [--bits 32] [--epochs 10]

Run it in the repository of a study whose data (and features, if the backbone is frozen) have been made. Each method is
trained with the quantizer `original` as params.yaml says. The table gives, for each quantizer at weight 1, the norm of
the gradient of its term with respect to u, divided by that of the similarity loss: the median over the batches of the
first epoch, and of the last. With a ratio r, a weight of 1/r gives both terms equal strength.
"""

from pipeline.runtime import numerics

numerics.apply()

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor

from pipeline import methods, params, protocols, quantizers
from pipeline.features.views import inputs
from pipeline.params.schema import TRAINING_FREE
from pipeline.runtime.layout import Group, Layout
from pipeline.training.cell import trainer
from pipeline.training.loop import Trainer

TERMS = ("wr", "swd", "hswd", "ot", "cb")
Ratios = dict[str, list[float]]


def measured(ready: Trainer, terms: dict[str, quantizers.Quantizer]) -> Ratios:
    """The ratios for each batch of one more epoch, which isn't trained on."""
    found: Ratios = {name: [] for name in terms}
    order = torch.randperm(len(ready.images), generator=ready.generator, device=ready.generator.device)
    for rows in torch.split(order[: ready.epoch_size], ready.batch_size)[: ready.batches]:
        (images,) = ready.images.batches([rows])
        with torch.no_grad():
            u, labels, indices = ready.batch(rows, images)
        own = _norm(partial(ready.method.similarity_loss, labels=labels, indices=indices), u)
        for name, term in terms.items():
            norm = _norm(partial(_term, ready, term), u)
            found[name].append(norm / own if own else float("nan"))
    return found


def _term(ready: Trainer, term: quantizers.Quantizer, u: Tensor) -> Tensor:
    value: Tensor = term(u if term.input == "raw" else ready.method.relax(u), generator=ready.of_quantizer)
    return value


def _norm(loss: Callable[[Tensor], Tensor], u: Tensor) -> float:
    at = u.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at), at)
    return float(gradient.norm())


def _shown(ratios: list[float]) -> str:
    """Their median in two digits, never as a power of ten."""
    return f"{float(f'{median(ratios):.2g}'):g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    content = params.read()
    content["training"]["epochs"] = given.epochs
    layout = Layout(content["study"])
    data = inputs(content, layout)
    split = protocols.draw(content["split"], data.labels, data.ids, 0)
    terms = {name: quantizers.create(name, **content["quantizers"][name]) for name in TERMS}
    print(f"| method | {' | '.join(TERMS)} |\n| --- |{' ---: |' * len(TERMS)}", flush=True)
    for name in (name for name in methods.names() if name not in TRAINING_FREE):
        ready = trainer(content, Group(name, "original", given.bits), 0, data, split)
        ready.prime()
        ready.method.start_epoch(0)
        first = measured(ready, terms)
        for epoch in range(given.epochs):
            ready.epoch(epoch)
        last = measured(ready, terms)
        columns = [f"{_shown(first[term])} to {_shown(last[term])}" for term in TERMS]
        print(f"| {name} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
