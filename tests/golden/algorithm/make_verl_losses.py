"""Writes verl_losses.jsonl: loss and gradient of verl's policy losses in float64.

Needs verl (0.9.1 was used, with torch 2.11.0). clip_cov takes every candidate (share 1), so that
nothing is random.

    python make_verl_losses.py [--batches 2] [--longest 7] [--seed 1] > verl_losses.jsonl
"""

from types import SimpleNamespace

import torch
from loss_batches import padded, write
from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig


class Config(ActorConfig):
    """Just as much of an ActorConfig as the losses read."""

    def __init__(self):
        pass


def config_of(told):
    config = Config()
    low, high = told.get("clip_ratio_low", 0.2), told.get("clip_ratio_high", 0.2)
    values = {"clip_ratio": 0.2, "clip_ratio_low": low, "clip_ratio_high": high,
              "global_batch_info": {}, "policy_loss": SimpleNamespace(**told.get("policy_loss", {}))}
    for name, value in values.items():
        object.__setattr__(config, name, value)
    return config


def options():
    """(what verl is told, what `algorithm` says here)."""
    mean = {"aggregation": "seq_mean_token_mean"}
    names = {"token-mean": "token_mean", "seq-mean-token-mean": "seq_mean_token_mean",
             "seq-mean-token-sum": "seq_mean_token_sum"}
    for verl, ours in names.items():
        yield {"name": "gspo", "aggregation": verl}, {"loss": "gspo_token", "aggregation": ours}
    yield {"name": "gspo", "clip_ratio_low": 3e-4, "clip_ratio_high": 4e-4}, {
        "loss": "gspo_token", **mean, "clip_low": 3e-4, "clip_high": 4e-4}
    yield {"name": "geo_mean"}, {"loss": "geo_mean", **mean}
    yield {"name": "geo_mean", "clip_ratio_low": 0.4, "clip_ratio_high": 0.1}, {
        "loss": "geo_mean", **mean, "clip_low": 0.4, "clip_high": 0.1}
    for low, high in (1.0, 5.0), (0.1, 2.0):
        told = {"clip_cov_ratio": 1.0, "clip_cov_lb": low, "clip_cov_ub": high}
        yield {"name": "clip_cov", "aggregation": "token-mean", "policy_loss": told}, {
            "loss": "clip_cov",
            "params": {"loss": {"share": 1.0, "cov_low": low, "cov_high": high}}}
    for share, coef in (0.3, 1.0), (0.0002, 0.5):
        told = {"kl_cov_ratio": share, "ppo_kl_coef": coef}
        yield {"name": "kl_cov", "aggregation": "token-mean", "policy_loss": told}, {
            "loss": "kl_cov", "params": {"loss": {"share": share, "coef": coef}}}


def expected(batch, told):
    logprobs = padded(batch["policy"]).requires_grad_()
    lengths = [len(row) for row in batch["policy"]]
    mask = padded([[1.0] * length for length in lengths])
    advantages = torch.tensor(batch["advantages"], dtype=torch.float64).unsqueeze(1) * mask
    loss, _ = core_algos.get_policy_loss_fn(told["name"])(
        padded(batch["old"]), logprobs, advantages, mask,
        told.get("aggregation", "seq-mean-token-mean"), config_of(told))
    loss.backward()
    gradient = [row[:length].tolist() for row, length in zip(logprobs.grad, lengths)]
    return loss.item(), [float(f"{slope:.11g}") for row in gradient for slope in row]


if __name__ == "__main__":
    write(options, expected, "verl", shortest=1)
