"""Random batches, and the lines that the makers of losses of other libraries write.

First come the batches, one a line, then one line for every batch and option: what the library is
told, what `algorithm` says for the same here, the loss, and its gradient with respect to every
token's log-prob.
"""

import argparse
import json
import math
import random

import torch


def make_batch(seed, shortest, longest):
    """Six sequences of `shortest` to `longest` tokens; every eighth log-ratio is far out."""
    draw = random.Random(seed)

    def near(values, width):
        far = lambda: draw.uniform(-13.8, 13.8) if draw.random() < 0.125 else draw.gauss(0, width)
        return [round(value + far(), 4) for value in values]

    batch = {"advantages": [], "policy": [], "old": [], "ref": [], "sampler": [], "entropy": []}
    for length in [shortest] + [draw.randint(1, longest) for _ in range(5)]:
        policy = [round(-draw.expovariate(0.5) - 0.01, 4) for _ in range(length)]
        old = near(policy, 0.2)
        batch["policy"].append(policy)
        batch["old"].append(old)
        batch["ref"].append([round(p + draw.gauss(0, 0.4), 4) for p in policy])
        batch["sampler"].append([None if draw.random() < 0.1 else round(o + draw.gauss(0, 0.15), 4) for o in old])
        # TRL takes the quantile in float32: powers of 2 are the same in both.
        batch["entropy"].append([draw.randint(0, 4095) / 1024 for _ in policy])
        batch["advantages"].append(round(draw.gauss(0, 1), 4))
    return batch


def padded(rows):
    width = max(len(row) for row in rows)
    filled = [[math.nan if x is None else x for x in row] + [0.0] * (width - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.float64)


def write(options, expected, library, shortest):
    """Prints batches and, of every batch and option, what `expected` gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--longest", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.batches)
    batches = [make_batch(seed, shortest, arguments.longest) for seed in seeds]
    for batch in batches:
        print(json.dumps({"batch": batch}))
    for i, batch in enumerate(batches):
        for told, ours in options():
            loss, gradient = expected(batch, told)
            row = {"of": i, library: told, "algorithm": ours, "loss": loss, "gradient": gradient}
            print(json.dumps(row))
