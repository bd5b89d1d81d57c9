"""Writes coefficients.jsonl: how TRL's entropy coefficient and verl's KL coefficient follow what steps measure.

Needs trl (1.16.0 was used) and verl (0.9.1); of the latter the source of one class, found by its module's path.

    python make_coefficients.py [--seed 1] > coefficients.jsonl
"""

import argparse
import ast
import importlib.util
import json
import pathlib
import random

import numpy
import torch
from make_trl_losses import Trainer


def controller():
    """verl's AdaptiveKLController, without importing all that verl needs."""
    package = pathlib.Path(importlib.util.find_spec("verl").submodule_search_locations[0])
    module = ast.parse((package / "trainer/ppo/core_algos.py").read_text())
    names = {"np": numpy}
    found = [node for node in module.body if getattr(node, "name", "") == "AdaptiveKLController"]
    exec(compile(ast.Module(found, []), "core_algos.py", "exec"), names)
    return names["AdaptiveKLController"]


def entropy_case(draw):
    """Steps of one sequence of one token: its entropy, the coefficient that acted, the one behind it."""
    options = {"target": round(draw.uniform(0.1, 0.5), 3), "delta": round(draw.uniform(0.002, 0.05), 4),
               "min": round(draw.uniform(0, 0.02), 4), "max": round(draw.uniform(0.1, 0.3), 3)}
    first = round(draw.uniform(options["min"], options["max"]), 4)
    one = torch.ones(1, 1, dtype=torch.float64)
    trainer = Trainer(-one, one, {})
    trainer.entropy_coef, trainer.use_adaptive_entropy, trainer._entropy_bonus_enabled = first, True, True
    trainer._last_world_entropy, trainer._entropy_window_stats = float("inf"), None
    for name in "target", "delta", "min", "max":
        setattr(trainer.args, "entropy_target" if name == "target" else f"entropy_coef_{name}", options[name])
    steps = []
    for _ in range(12):
        entropy = draw.choice([options["target"], round(draw.uniform(0.01, 0.6), 4)])
        trainer.scored = (-one, one * entropy, None)
        inputs = {"prompt_ids": one[:, :0].long(), "prompt_mask": one[:, :0].long(), "completion_ids": one.long(),
                  "completion_mask": one, "advantages": torch.zeros(1, dtype=torch.float64),
                  "old_per_token_logps": None, "num_items_in_batch": one.sum()}
        loss = trainer._compute_loss(trainer.model, inputs).item()
        steps.append({"entropy": entropy, "acted": -loss / entropy, "coef": trainer.entropy_coef})
    return {"entropy_coef": first, "adaptive_entropy": options, "steps": steps}


def kl_case(draw):
    options = {"target": round(draw.uniform(0.01, 0.3), 3), "horizon": draw.randint(200, 20000)}
    control = controller()(round(draw.uniform(0.001, 0.5), 4), options["target"], options["horizon"])
    case = {"kl_coef": control.value, "kl_adaptive": options, "steps": []}
    for _ in range(12):
        kl, completions = round(draw.uniform(0, 0.6), 4), draw.randint(1, 512)
        control.update(kl, completions)
        case["steps"].append({"kl": kl, "completions": completions, "coef": float(control.value)})
    return case


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    draw = random.Random(parser.parse_args().seed)
    for case in [entropy_case(draw) for _ in range(4)] + [kl_case(draw) for _ in range(4)]:
        print(json.dumps(case))
