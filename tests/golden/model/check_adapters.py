#!/usr/bin/env python3
"""LoRA runs of tiny checkpoints of every family, and their adapters in PEFT.

usage: tests/golden/model/check_adapters.py [--sgrpo build/release/sgrpo] [FAMILY ...]

For each family, in both layouts: two steps of SFT with an adapter on all linear layers, then two of GRPO that train the
same adapter on. What holds of each run:

  loads    PeftModel.from_pretrained(base, checkpoint) warns of nothing, and its adapter has the tensors of the file
  scores   log-probabilities of PEFT's model, of `sgrpo logprobs --model CHECKPOINT` and of the merged export in
           transformers agree to 1e-4, and differ from the base's
  export   changes the weights of the adapted layers alone

Prints a line a case; exit code 1 if one fails. Made for transformers 5.23 and PEFT 0.21.
"""
import argparse
import json
import pathlib
import sys
import tempfile
import warnings

import peft
import torch
import transformers
from safetensors.torch import load_file

import check_round_trip as base

LORA = dict(rank=4, alpha=8, targets='all-linear')


def with_adapter(family, folder, adapter):
    """The base with its adapter, loaded by PEFT."""
    model, _ = base.load(family, folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        model = peft.PeftModel.from_pretrained(model, adapter).eval()
    texts = [str(w.message) for w in caught if 'peft' in str(w.filename)]
    base.expect(not texts, f'PEFT says: {texts}')
    saved = load_file(adapter / 'adapter_model.safetensors')
    live = {name.replace('.default', ''): value for name, value in model.named_parameters() if 'lora_' in name}
    base.expect(saved.keys() == live.keys(), f'tensors differ: {sorted(saved.keys() ^ live.keys())[:4]}')
    for name, value in saved.items():
        base.expect(torch.equal(value, live[name]), f'{name} differs')
    return model, len(saved)


def merged_scores(family, folder, adapter, rows):
    """Log-probabilities of PEFT's model, through the one path that scores checkpoints."""
    model, count = with_adapter(family, folder, adapter)
    load, reader = base.load, base.load(family, folder)[1]
    base.load = lambda *_: (model, reader)
    try:
        return base.reference_logprobs(family, folder, rows, adapter.parents[3]), count
    finally:
        base.load = load


def check_run(program, family, run, rows):
    folder = program.folder
    adapter = folder / run / 'checkpoints/step-000002/model'
    expected, count = merged_scores(family, folder / 'model', adapter, rows)
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
        worst = max(worst, (a - b).abs().max().item())
    base.expect(worst <= base.TOLERANCE, f'merged log-probs differ by {worst:.1e}')
    return f'{run}: {count} tensors, log-probs within {worst:.0e}, moved by {moved:.2f}'


def write_config(folder, command, model):
    path = base.train_config(folder, command, [])
    config = json.loads(path.read_text())
    config['model'] = dict(path=str(model), lora=LORA)
    config['verifier'] = dict(name='regex', params=dict(pattern='[aeiou]'), truncated='judge')
    path.write_text(json.dumps(config))
    return path


def check(family, layout, binary, folder):
    (folder / 'model').mkdir()
    base.make_checkpoint(
        dict(family=family, layout=layout, dtype='float32', tied=False, shards=2, head='as tied'), folder / 'model')
    rows = base.write_rows(family, folder)
    program = base.Program(binary, folder)
    program('sft', write_config(folder, 'sft', folder / 'model'), '--threads', 1)
    program('train', write_config(folder, 'train', folder / 'sft'), '--threads', 1)
    return '; '.join(check_run(program, family, run, rows) for run in ('sft', 'train'))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sgrpo', default=str(base.REPOSITORY / 'build/release/sgrpo'))
    parser.add_argument('families', nargs='*')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    failed = 0
    for family in arguments.families or base.FAMILIES:
        for layout in ('hub', 'v5'):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    print(f'ok    {family} {layout}: {check(family, layout, arguments.sgrpo, pathlib.Path(folder))}')
                except base.Failure as failure:
                    failed += 1
                    print(f'FAIL  {family} {layout}: {failure}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
