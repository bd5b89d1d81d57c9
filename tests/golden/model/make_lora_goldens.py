#!/usr/bin/env python3
"""Writes LoRA adapters of the golden checkpoints and what PEFT computes with them: float32, eager attention, CPU.

usage: tests/golden/model/make_lora_goldens.py      made with transformers 5.23 and PEFT 0.21

  lora/<name>/adapter_config.json, adapter_model.safetensors    as PEFT saves them
  lora/<name>/expected.safetensors
      logprobs [C]            of the last case of the checkpoint's goldens, its completion
      grad/<name>             d(mean completion NLL)/d(adapter tensor), names of adapter_model.safetensors
      merged/<name>           merge_and_unload: weights that the adapter changes, checkpoint names
"""
import json
import pathlib
import shutil
import sys
import tempfile

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
LANGUAGE = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
ADAPTERS = {
    'qwen2_5_vl_all': dict(family='qwen2_5_vl', targets='all-linear', rank=3, alpha=6),
    'qwen3_vl_mixed': dict(family='qwen3_vl', targets=['q_proj', 'down_proj', 'attn.qkv', 'linear_fc2'], rank=2, alpha=5),
    'qwen2_attention': dict(family='qwen2', targets=['q_proj', 'v_proj'], rank=4, alpha=3, use_rslora=True),
    'qwen3_language': dict(family='qwen3', targets=LANGUAGE, rank=2, alpha=4),
}


def read_golden(family):
    """Checkpoint tensors and the last case, in either form of the goldens."""
    folder = HERE / family
    if (folder / 'golden.safetensors').exists():
        golden = load_file(folder / 'golden.safetensors')
        weights = {name[7:]: value for name, value in golden.items() if name.startswith('weight/')}
    else:
        golden, weights = load_file(folder / 'expected.safetensors'), load_file(folder / 'model.safetensors')
    case = 'images/' if 'images/token_ids' in golden else 'text/'
    return weights, {name[len(case):]: value for name, value in golden.items() if name.startswith(case)}


def load(family, weights, folder):
    shutil.copy(HERE / family / 'config.json', folder)
    save_file(weights, folder / 'model.safetensors', metadata=dict(format='pt'))
    kind = transformers.AutoModelForImageTextToText if 'vl' in family else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(folder, attn_implementation='eager', dtype=torch.float32)
    return model.eval()


def logprobs_of(model, case):
    ids, prompt = case['token_ids'], int(case['prompt_length'])
    inputs = dict(input_ids=ids[None], attention_mask=torch.ones_like(ids[None]), use_cache=False)
    if len(case['grid_thw']):
        image = model.config.image_token_id
        inputs.update(pixel_values=case['pixel_values'], image_grid_thw=case['grid_thw'],
                      mm_token_type_ids=(ids == image).int()[None])
    log_p = torch.log_softmax(model(**inputs).logits[0, prompt - 1:-1], dim=-1)
    return log_p.gather(1, ids[prompt:, None])[:, 0]


def checkpoint_name(name, weights):
    for old, new in (('', ''), ('model.language_model.', 'model.'), ('model.visual.', 'visual.')):
        if name.startswith(old) and new + name[len(old):] in weights:
            return new + name[len(old):]
    raise KeyError(name)


def make(name, family, targets, rank, alpha, **options):
    out = HERE / 'lora' / name
    out.mkdir(parents=True, exist_ok=True)
    weights, case = read_golden(family)
    with tempfile.TemporaryDirectory() as folder:
        base = load(family, weights, pathlib.Path(folder))
        before = {key: value.clone() for key, value in base.state_dict().items()}
        config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, **options)
        model = peft.get_peft_model(base, config).eval()
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():  # B away from zero, or A would have no gradient
            for key, parameter in model.named_parameters():
                if 'lora_' in key:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        logprobs = logprobs_of(model, case)
        (-logprobs.mean()).backward()
        grads = {key.replace('.default', ''): parameter.grad for key, parameter in model.named_parameters()
                 if 'lora_' in key}
        model.save_pretrained(folder + '/adapter')
        saved = load_file(folder + '/adapter/adapter_model.safetensors')
        assert saved.keys() == grads.keys(), saved.keys() ^ grads.keys()
        shutil.copy(folder + '/adapter/adapter_model.safetensors', out)
        adapter_config = json.loads(pathlib.Path(folder, 'adapter/adapter_config.json').read_text())
        adapter_config['base_model_name_or_path'] = '../../' + family
        adapter_config['target_modules'] = sorted(adapter_config['target_modules'])
        (out / 'adapter_config.json').write_text(json.dumps(adapter_config, indent=1, sort_keys=True) + '\n')
        after = model.merge_and_unload().state_dict()
    tensors = dict(logprobs=logprobs, **{f'grad/{key}': value for key, value in grads.items()})
    for key, value in after.items():
        if not torch.equal(value, before[key]):
            tensors['merged/' + checkpoint_name(key, weights)] = value
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, out / 'expected.safetensors',
              metadata=dict(transformers=transformers.__version__, peft=peft.__version__))
    print(name, len(saved), 'adapter tensors')


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ADAPTERS:
        make(name, **ADAPTERS[name])


if __name__ == '__main__':
    main()
