#!/usr/bin/env python3
"""Writes <family>/bf16.safetensors: what transformers computes in float32 with weights rounded to bfloat16, and how far it
strays from that when it computes in bfloat16. Eager attention, CPU.

usage: tests/golden/model/make_bf16_goldens.py [FAMILY ...]     default: all folders beside it; made with transformers 5.23

  <case>/{hidden,logprobs,entropy}   float32, of the cases of the family's own golden
  error/{hidden,logprobs,entropy}    |bfloat16 - float32|_2 / |float32|_2 over all cases together
  error/grad                         the same of d(sum over cases of the mean completion NLL)/d(parameters), all together
"""
import json
import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

from make_family_goldens import stored_names

HERE = pathlib.Path(__file__).resolve().parent


def read_golden(folder):
    """(weights, cases) of either layout."""
    if (folder / 'model.safetensors').exists():
        return load_file(folder / 'model.safetensors'), split_cases(load_file(folder / 'expected.safetensors'))
    tensors = load_file(folder / 'golden.safetensors')
    weights = {key[len('weight/'):]: value for key, value in tensors.items() if key.startswith('weight/')}
    return weights, split_cases(tensors)


def split_cases(tensors):
    cases = {}
    for key, value in tensors.items():
        case, name = key.split('/', 1)
        if case in ('text', 'image', 'images'):
            cases.setdefault(case, {})[name] = value
    return cases


def load_model(folder, weights, dtype):
    rounded = {name: value.to(torch.bfloat16) for name, value in weights.items()}
    with tempfile.TemporaryDirectory() as scratch:
        config = json.loads((folder / 'config.json').read_text())
        (pathlib.Path(scratch) / 'config.json').write_text(json.dumps(config))
        save_file(rounded, pathlib.Path(scratch) / 'model.safetensors', metadata=dict(format='pt'))
        model_class = getattr(transformers, config['architectures'][0])
        return model_class.from_pretrained(scratch, dtype=dtype, attn_implementation='eager').eval()


def run(model, case):
    """(hidden, logprobs, entropy), and the mean negative log-likelihood of the completion."""
    ids, grid, inputs = case['token_ids'], case['grid_thw'], {}
    base = model.model
    if hasattr(base, 'rope_deltas'):
        base.rope_deltas = None
        image = model.config.image_token_id
        inputs = dict(mm_token_type_ids=(ids == image).int()[None])
        if len(grid):
            inputs.update(pixel_values=case['pixel_values'], image_grid_thw=grid)
    kept = []
    norm = getattr(base, 'language_model', base).norm
    handle = norm.register_forward_hook(lambda _, __, output: kept.append(output[0]))
    logits = model(input_ids=ids[None], attention_mask=torch.ones_like(ids[None]), use_cache=False, **inputs).logits[0]
    handle.remove()
    prompt = int(case['prompt_length'])
    log_p = torch.log_softmax(logits[prompt - 1:-1].float(), dim=-1)
    logprobs = log_p.gather(1, ids[prompt:, None])[:, 0]
    entropy = -(log_p.exp() * log_p).sum(-1)
    values = dict(hidden=kept[0], logprobs=logprobs, entropy=entropy)
    return {key: value.detach().float() for key, value in values.items()}, -logprobs.mean()


def run_all(folder, weights, cases, dtype):
    """Results by case, and the gradients."""
    model = load_model(folder, weights, dtype)
    results, losses = {}, []
    for name, case in cases.items():
        results[name], loss = run(model, case)
        losses.append(loss)
    sum(losses).backward()
    grads = {name: parameter.grad.float() for name, parameter in stored_names(model.named_parameters(), weights).items()}
    return results, grads


def relative(got, expected):
    """Of lists of tensors, taken as one vector."""
    difference = sum((a - b).double().square().sum() for a, b in zip(got, expected))
    return torch.sqrt(difference / sum(b.double().square().sum() for b in expected)).float().reshape(1)


def make(folder):
    weights, cases = read_golden(folder)
    truth, truth_grads = run_all(folder, weights, cases, torch.float32)
    rough, rough_grads = run_all(folder, weights, cases, torch.bfloat16)
    tensors = {f'{name}/{key}': value for name, result in truth.items() for key, value in result.items()}
    for key in ('hidden', 'logprobs', 'entropy'):
        tensors[f'error/{key}'] = relative([rough[name][key] for name in truth], [truth[name][key] for name in truth])
    tensors['error/grad'] = relative([rough_grads[name] for name in truth_grads], list(truth_grads.values()))
    print(folder.name, {key[6:]: f'{value.item():.2e}' for key, value in tensors.items() if key.startswith('error/')})
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, folder / 'bf16.safetensors',
              metadata=dict(transformers=transformers.__version__))


def main():
    torch.set_num_threads(1)
    for family in sys.argv[1:] or sorted(path.parent.name for path in HERE.glob('*/config.json')):
        make(HERE / family)


if __name__ == '__main__':
    main()
