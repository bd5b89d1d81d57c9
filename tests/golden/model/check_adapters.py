#!/usr/bin/env python3
"""LoRA runs of tiny checkpoints of every family, and their adapters in PEFT.

usage: tests/golden/model/check_adapters.py [--sgrpo build/release/sgrpo] [--model DIR] [FAMILY ...]

--model: instead of the families, one Qwen2.5-VL checkpoint of any size (`tests/bench/peer.py model --shape t1 --out DIR`).

For each family, in both layouts: two steps of SFT with an adapter on all linear layers, then two of GRPO that train the
same adapter on. What holds of each run:

  loads    PeftModel.from_pretrained(base, checkpoint) warns of nothing, and its adapter has the tensors of the file
  scores   log-probabilities of PEFT's model, of `sgrpo logprobs --model CHECKPOINT` and of the merged export in
           transformers agree to 1e-4, and differ from the base's
  grads    `sgrpo logprobs --grad` of the adapter equals PEFT's gradient of the first row's mean completion NLL
  export   changes the weights of the adapted layers alone

Prints a line a case; exit code 1 if one fails. Made for transformers 5.23 and PEFT 0.21.
"""
import argparse
import functools
import json
import pathlib
import shutil
import sys
import tempfile
import warnings

import peft
import torch
import transformers
from safetensors.torch import load_file

import check_round_trip as base

GRADIENT_FLOOR = 0.1  # keys' adapters have gradients that all but cancel: rounding of terms of this size remains
LORA = dict(rank=4, alpha=8, targets='all-linear')


def with_adapter(family, folder, adapter):
    """The base with its adapter, loaded by PEFT, ready for gradients."""
    model, _ = base.load(family, folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        model = peft.PeftModel.from_pretrained(model, adapter, is_trainable=True).eval()
    texts = [str(w.message) for w in caught if 'peft' in str(w.filename)]
    base.expect(not texts, f'PEFT says: {texts}')
    saved = load_file(adapter / 'adapter_model.safetensors')
    live = {name.replace('.default', ''): value for name, value in model.named_parameters() if 'lora_' in name}
    base.expect(saved.keys() == live.keys(), f'tensors differ: {sorted(saved.keys() ^ live.keys())[:4]}')
    for name, value in saved.items():
        base.expect(torch.equal(value, live[name]), f'{name} differs')
    return model, len(saved)


def peft_scores(family, folder, adapter, rows):
    """PEFT's model, and its log-probabilities through the one path that scores checkpoints."""
    model, count = with_adapter(family, folder, adapter)
    load, reader = base.load, base.load(family, folder)[1]
    base.load = lambda *_: (model, reader)
    try:
        return base.reference_logprobs(family, folder, rows, adapter.parents[3]), model, count
    finally:
        base.load = load


def check_gradients(program, adapter, model, logprobs):
    """Largest difference relative to a tensor's largest gradient, of the first row."""
    rows = (program.folder / 'rows.jsonl').read_text().splitlines()
    (program.folder / 'first.jsonl').write_text(rows[0] + '\n')
    program('logprobs', '--model', adapter, '--input', 'first.jsonl', '--output', 'first.out', '--grad',
            'grad.safetensors', '--threads', 1)
    (-logprobs.mean()).backward()
    ours, worst = load_file(program.folder / 'grad.safetensors'), 0.0
    for name, parameter in model.named_parameters():
        if 'lora_' in name:
            grad = ours.pop(name.replace('.default', ''))
            expected = torch.zeros_like(grad) if parameter.grad is None else parameter.grad
            scale = max(expected.abs().max().item(), GRADIENT_FLOOR)
            worst = max(worst, (grad - expected).abs().max().item() / scale)
    base.expect(not ours, f'gradients of {sorted(ours)[:3]}')
    base.expect(worst <= base.TOLERANCE, f'gradients differ by {worst:.1e} of their largest')
    return worst


def check_run(program, family, run, rows):
    folder = program.folder
    adapter = folder / run / 'checkpoints/step-000002/model'
    scores, model, count = peft_scores(family, folder / 'model', adapter, rows)
    gap = check_gradients(program, adapter, model, scores[0][1])
    expected = [(ids, logprobs.detach()) for ids, logprobs in scores]
    worst = moved = 0.0
    plain = program.logprobs('model')
    for ours, before, (ids, logprobs) in zip(program.logprobs(adapter), plain, expected):
        base.expect(ours['prompt_ids'] == ids, 'prompt ids differ')
        worst = max(worst, (torch.tensor(ours['logprobs']) - logprobs).abs().max().item())
        moved = max(moved, (torch.tensor(before['logprobs']) - logprobs).abs().max().item())
    base.expect(worst <= base.TOLERANCE, f'log-probs differ by {worst:.1e}')
    base.expect(moved > 100 * base.TOLERANCE, f'the adapter moves log-probs by {moved:.1e} only')
    merged = folder / f'merged-{run}'
    program('export', '--checkpoint', folder / run, '--output', merged)
    changed = base.check_files(folder / 'model', merged)
    base.expect(changed == count // 2, f'export changed {changed} tensors, the adapter has {count // 2} layers')
    worst = max(worst, base.check_scores(program, family, merged, rows))
    for (_, a), (_, b) in zip(expected, base.reference_logprobs(family, merged, rows, folder)):
        worst = max(worst, (a - b.detach()).abs().max().item())
    base.expect(worst <= base.TOLERANCE, f'merged log-probs differ by {worst:.1e}')
    return f'{run}: {count} tensors, log-probs within {worst:.0e}, moved by {moved:.2f}, gradients within {gap:.0e}'


def write_config(folder, command, model):
    path = base.train_config(folder, command, [])
    config = json.loads(path.read_text())
    config['model'] = dict(path=str(model), lora=LORA)
    config['rollout']['max_new_tokens'] = 24
    config['verifier'] = dict(name='regex', params=dict(pattern='[aeiou]'), truncated='judge')
    path.write_text(json.dumps(config))
    return path


def check_family(family, layout, binary, folder):
    (folder / 'model').mkdir()
    base.make_checkpoint(
        dict(family=family, layout=layout, dtype='float32', tied=False, shards=2, head='as tied'), folder / 'model')
    return check(family, base.write_rows(family, folder), binary, folder)


def check_model(source, binary, folder):
    shutil.copytree(source, folder / 'model')
    config = json.loads((source / 'config.json').read_text())
    ids = json.loads((source / 'generation_config.json').read_text())
    config['text_config'].update(bos_token_id=ids['pad_token_id'], eos_token_id=ids['eos_token_id'])  # within the rows
    (folder / 'model/config.json').write_text(json.dumps(config))
    return check('qwen2_5_vl', base.write_rows('qwen2_5_vl', folder), binary, folder)


def check(family, rows, binary, folder):
    program = base.Program(binary, folder)
    program('sft', write_config(folder, 'sft', folder / 'model'), '--threads', 1)
    program('train', write_config(folder, 'train', folder / 'sft'), '--threads', 1)
    return '; '.join(check_run(program, family, run, rows) for run in ('sft', 'train'))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sgrpo', default=str(base.REPOSITORY / 'build/release/sgrpo'))
    parser.add_argument('--model', type=pathlib.Path)
    parser.add_argument('families', nargs='*')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    cases = {f'{family} {layout}': functools.partial(check_family, family, layout)
             for family in arguments.families or base.FAMILIES for layout in ('hub', 'v5')}
    if arguments.model:
        cases = {str(arguments.model): functools.partial(check_model, arguments.model)}
    failed = 0
    for name, case in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f'ok    {name}: {case(arguments.sgrpo, pathlib.Path(folder))}', flush=True)
            except base.Failure as failure:
                failed += 1
                print(f'FAIL  {name}: {failure}', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
