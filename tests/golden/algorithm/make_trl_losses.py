"""Writes trl_losses.jsonl: loss and gradient of TRL's GRPOTrainer._compute_loss in float64.

Needs trl (1.16.0 was used, with torch 2.11.0, transformers 5.23.0).

    python make_trl_losses.py [--batches 2] [--longest 7] [--seed 1] > trl_losses.jsonl
"""

import math
from collections import defaultdict
from types import SimpleNamespace

import torch
from loss_batches import padded, write
from trl.trainer.grpo_trainer import GRPOTrainer

LENGTH = 40  # max_completion_length


class Alone:
    """An accelerator of one process."""

    num_processes = 1
    sync_gradients = True

    def gather(self, values):
        return values

    gather_for_metrics = gather

    def reduce(self, values, reduction):
        return values

    def pad_across_processes(self, values, dim, pad_index):
        return values


class Trainer:
    """Just as much of a GRPOTrainer as its loss reads."""

    _compute_loss = GRPOTrainer._compute_loss
    get_high_entropy_mask = GRPOTrainer.get_high_entropy_mask
    get_off_policy_mask = staticmethod(GRPOTrainer.get_off_policy_mask)
    get_gamma_weights = staticmethod(GRPOTrainer.get_gamma_weights)

    def __init__(self, logprobs, entropies, told):
        self.scored = (logprobs, entropies, None)
        self.loss_type = told.get("loss_type", "grpo")
        self.importance_sampling_level = told.get("level", "token")
        self.epsilon_low = told.get("epsilon", 0.2)
        self.epsilon_high = told.get("epsilon_high", 0.2)
        self.beta = told.get("beta", 0.0)
        self.top_entropy_quantile = told.get("top_entropy_quantile", 1.0)
        self.off_policy_mask_threshold = told.get("off_policy_mask_threshold")
        self.entropy_coef = told.get("entropy_coef", 0.0)
        self._entropy_bonus_enabled = self.entropy_coef != 0.0
        self.use_adaptive_entropy = False
        self.use_vllm = self.vllm_importance_sampling_correction = "mode" in told
        self.max_completion_length = LENGTH
        self.aux_loss_enabled = False
        self.current_gradient_accumulation_steps = 1
        self.accelerator = Alone()
        self.model = SimpleNamespace(training=True)
        self.args = SimpleNamespace(
            delta=told.get("delta"),
            use_bias_correction_kl=told.get("use_bias_correction_kl", True),
            sapo_temperature_pos=told.get("sapo_temperature_pos", 1.0),
            sapo_temperature_neg=told.get("sapo_temperature_neg", 1.05),
            vespo_k_pos=told.get("vespo_k_pos", 2.0),
            vespo_lambda_pos=told.get("vespo_lambda_pos", 3.0),
            vespo_k_neg=told.get("vespo_k_neg", 3.0),
            vespo_lambda_neg=told.get("vespo_lambda_neg", 2.0),
            steps_per_generation=1,
        )
        self._metrics = {"train": defaultdict(list)}

    def _get_per_token_logps_and_entropies(self, *_, **__):
        return self.scored


def correction(old, sampler, mask, told):
    """The ratio that _generate_and_score_completions makes of the sampler's log-probs."""
    gap = torch.nan_to_num((old - sampler) * mask, nan=0.0)
    if told["mode"].startswith("sequence"):
        gap = gap.sum(dim=-1, keepdim=True)
    ratio = torch.exp(gap)
    low, high = told.get("min"), told.get("max", 3.0)
    if told["mode"].endswith("truncate"):
        return torch.clamp(ratio, min=low, max=high)
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    return ratio.masked_fill((ratio < low) | (ratio > high), value=0.0)


def options():
    """(what TRL is told, what `algorithm` says here)."""
    per_sequence = {"aggregation": "seq_mean_token_mean"}
    constant = {"aggregation": "seq_mean_token_sum_const", "aggregation_constant": LENGTH}
    total = {"aggregation": "seq_mean_token_sum"}
    gspo = {"loss": "gspo", **per_sequence}
    yield {"loss_type": "grpo"}, per_sequence
    yield {"loss_type": "grpo", "on_policy": True}, per_sequence
    yield {"loss_type": "grpo", "epsilon": 0.1, "epsilon_high": 0.28}, {
        **per_sequence, "clip_low": 0.1, "clip_high": 0.28}
    yield {"loss_type": "grpo", "delta": 3.0}, {**per_sequence, "clip_dual": 3.0}
    yield {"loss_type": "bnpo"}, {}
    yield {"loss_type": "dapo", "epsilon_high": 0.28, "delta": 1.5}, {"clip_high": 0.28, "clip_dual": 1.5}
    yield {"loss_type": "dr_grpo"}, constant
    yield {"loss_type": "grpo", "level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4}, {
        **gspo, "clip_low": 3e-4, "clip_high": 4e-4}
    yield {"loss_type": "grpo", "level": "sequence", "delta": 1.3}, {**gspo, "clip_dual": 1.3}
    yield {"loss_type": "dapo", "level": "sequence"}, {"loss": "gspo"}
    yield {"loss_type": "dr_grpo", "level": "sequence"}, {"loss": "gspo", **constant}
    yield {"loss_type": "luspo", "level": "sequence"}, {"loss": "gspo", **total}
    yield {"loss_type": "luspo", "beta": 0.04}, {**total, "kl_coef": 0.04, "kl_importance": True}
    for level, params in ("token", {}), ("sequence", {"params": {"loss": {"sequence_ratio": True}}}):
        yield {"loss_type": "cispo", "level": level, "epsilon_high": 1.3}, {
            "loss": "cispo", "clip_high": 0.3, **params}
        yield {"loss_type": "sapo", "level": level}, {"loss": "sapo", **per_sequence, **params}
    yield {"loss_type": "sapo", "sapo_temperature_pos": 2.0, "sapo_temperature_neg": 0.5}, {
        "loss": "sapo", **per_sequence,
        "params": {"loss": {"temperature_pos": 2.0, "temperature_neg": 0.5}}}
    yield {"loss_type": "vespo"}, {"loss": "vespo"}
    yield {"loss_type": "vespo", "vespo_k_pos": 1.0, "vespo_lambda_pos": 1.5, "vespo_k_neg": 2.0,
           "vespo_lambda_neg": 0.5}, {
        "loss": "vespo",
        "params": {"loss": {"k_pos": 1.0, "lambda_pos": 1.5, "k_neg": 2.0, "lambda_neg": 0.5}}}
    for quantile in 0.2, 0.5, 0.0:
        yield {"loss_type": "dapo", "top_entropy_quantile": quantile, "beta": 0.1,
               "use_bias_correction_kl": False}, {"top_entropy_quantile": quantile, "kl_coef": 0.1}
    for rollout in True, False:
        yield {"loss_type": "grpo", "off_policy_mask_threshold": 0.05, "sampler": rollout}, {
            **per_sequence, "off_policy_mask": 0.05}
    yield {"loss_type": "dapo", "beta": 0.3}, {"kl_coef": 0.3, "kl_importance": True}
    yield {"loss_type": "dapo", "beta": 0.3, "on_policy": True}, {"kl_coef": 0.3, "kl_importance": True}
    yield {"loss_type": "dapo", "beta": 0.3, "use_bias_correction_kl": False}, {"kl_coef": 0.3}
    yield {"loss_type": "grpo", "level": "sequence", "beta": 0.3}, {
        **gspo, "kl_coef": 0.3, "kl_importance": True}
    yield {"loss_type": "cispo", "epsilon_high": 6.0, "beta": 0.3}, {
        "loss": "cispo", "clip_high": 5.0, "kl_coef": 0.3, "kl_importance": True}
    yield {"loss_type": "dapo", "entropy_coef": 0.01}, {"entropy_coef": 0.01}
    for mode in "token_truncate", "token_mask", "sequence_truncate", "sequence_mask":
        yield {"loss_type": "dapo", "mode": mode, "max": 1.2, "beta": 0.3}, {
            "tis": {"mode": mode, "max": 1.2}, "kl_coef": 0.3, "kl_importance": True}
        yield {"loss_type": "grpo", "mode": mode, "min": 0.8, "max": None}, {
            **per_sequence, "tis": {"mode": mode, "min": 0.8, "max": None}}
    for mode in "token_truncate", "token_mask":
        yield {"loss_type": "vespo", "mode": mode, "max": 1.2}, {
            "loss": "vespo", "tis": {"mode": mode, "max": 1.2}}


def expected(batch, told):
    logprobs = padded(batch["policy"]).requires_grad_()
    lengths = [len(row) for row in batch["policy"]]
    mask = padded([[1.0] * length for length in lengths])
    old = logprobs.detach() if told.get("on_policy") else padded(batch["old"])
    empty = torch.zeros(mask.shape, dtype=torch.long)
    inputs = {"prompt_ids": empty[:, :0], "prompt_mask": empty[:, :0], "completion_ids": empty,
              "completion_mask": mask, "advantages": torch.tensor(batch["advantages"], dtype=torch.float64),
              "old_per_token_logps": None if told.get("on_policy") else old,
              "ref_per_token_logps": padded(batch["ref"]), "num_items_in_batch": mask.sum()}
    if told.get("sampler"):
        inputs["sampling_per_token_logps"] = padded(batch["sampler"])
    if "mode" in told:
        inputs["importance_sampling_ratio"] = correction(old, padded(batch["sampler"]), mask, told)
    trainer = Trainer(logprobs, padded(batch["entropy"]), told)
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    gradient = [row[:length].tolist() for row, length in zip(logprobs.grad, lengths)]
    return loss.item(), [float(f"{slope:.11g}") for row in gradient for slope in row]


if __name__ == "__main__":
    write(options, expected, "trl", shortest=0)
