#!/usr/bin/env python3
"""Writes tiny checkpoints of the other families and what transformers computes for them: float32, eager attention, CPU.

usage: tests/golden/model/make_family_goldens.py [FAMILY ...]      default: all; made with transformers 5.23

  <family>/config.json           as transformers 5 writes it
  <family>/golden.safetensors    keys
      weight/<name>, grad/<name>       checkpoint names; d(mean completion NLL of the last case)/d(parameter)
      <case>/<name>                    as in make_golden.py, cases text and, with vision, image and images
      <case>/deepstack.<i> [M,D]       Qwen3-VL: features of the i-th listed block
      grid/{sizes,rows,weights}        Qwen3-VL: image sizes, their table rows [N,4] and weights [N,4], side 48
"""
import json
import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from make_golden import fill

IMAGE, VIDEO, START, END = 90, 91, 88, 89
PATCH = 2
FAMILIES = dict(
    qwen2=dict(config='Qwen2Config', model='Qwen2ForCausalLM', tied=True),
    qwen3=dict(config='Qwen3Config', model='Qwen3ForCausalLM', tied=False, text=dict(attention_bias=True, head_dim=16)),
    llama=dict(config='LlamaConfig', model='LlamaForCausalLM', tied=True, text=dict(attention_bias=True)),
    qwen2_vl=dict(config='Qwen2VLConfig', model='Qwen2VLForConditionalGeneration', tied=False, section=[1, 2, 1],
                  vision=dict(embed_dim=8, mlp_ratio=2, hidden_size=16)),
    qwen3_vl=dict(config='Qwen3VLConfig', model='Qwen3VLForConditionalGeneration', tied=True, section=[4, 2, 2],
                  text=dict(head_dim=16),
                  vision=dict(hidden_size=8, intermediate_size=20, out_hidden_size=16, num_position_embeddings=25,
                              deepstack_visual_indexes=[0, 2])),
)


def make_config(family):
    parts = FAMILIES[family]
    rope = dict(rope_type='default', rope_theta=10000.0)
    text = dict(vocab_size=96, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
                num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=1e-6, rope_parameters=rope,
                bos_token_id=92, eos_token_id=93, pad_token_id=None, **parts.get('text', {}))
    make = getattr(transformers, parts['config'])
    if 'vision' not in parts:
        return make(**text, tie_word_embeddings=parts['tied'])
    rope['mrope_section'] = parts['section']
    if family == 'qwen3_vl':
        rope['mrope_interleaved'] = True
    vision = dict(depth=3, num_heads=2, patch_size=PATCH, spatial_merge_size=2, temporal_patch_size=2, in_channels=3,
                  **parts['vision'])
    return make(text_config=text, vision_config=vision, tie_word_embeddings=parts['tied'], image_token_id=IMAGE,
                video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END)


def make_case(generator, grids, completion_length):
    """Text, then each image in its markers with text behind it, then the completion."""
    def text(length):
        return torch.randint(0, 80, (length,), generator=generator).tolist()

    ids = text(5)
    for _, height, width in grids:
        ids += [START] + [IMAGE] * (height * width // 4) + [END] + text(3)
    prompt_length = len(ids)
    ids += text(completion_length)
    patches = sum(t * h * w for t, h, w in grids)
    return dict(token_ids=torch.tensor(ids), prompt_length=torch.tensor([prompt_length]),
                pixel_values=torch.randn(patches, 3 * 2 * PATCH * PATCH, generator=generator),
                grid_thw=torch.tensor(grids, dtype=torch.int64).reshape(-1, 3))


def run(model, case):
    """Adds the expected values to the case; returns the mean negative log-likelihood of the completion."""
    ids, grid = case['token_ids'], case['grid_thw']
    base, inputs = model.model, {}
    case['position_ids'] = torch.arange(len(ids)).expand(3, -1).contiguous()
    if len(grid):
        base.rope_deltas = None
        types = (ids == IMAGE).int()[None]
        inputs = dict(pixel_values=case['pixel_values'], image_grid_thw=grid, mm_token_type_ids=types)
        positions, _ = base.get_rope_index(ids[None], mm_token_type_ids=types, image_grid_thw=grid,
                                           attention_mask=torch.ones_like(ids[None]))
        case['position_ids'] = positions[:, 0].clone()
        output = base.visual(case['pixel_values'], grid_thw=grid)
        case['features'] = output.pooler_output
        for i, features in enumerate(getattr(output, 'deepstack_features', None) or []):
            case[f'deepstack.{i}'] = features
    kept = []
    norm = getattr(base, 'language_model', base).norm
    handle = norm.register_forward_hook(lambda _, __, output: kept.append(output[0]))
    logits = model(input_ids=ids[None], attention_mask=torch.ones_like(ids[None]), use_cache=False, **inputs).logits[0]
    handle.remove()
    case['hidden'] = kept[0]
    prompt = int(case['prompt_length'])
    log_p = torch.log_softmax(logits[prompt - 1:-1], dim=-1)
    case['logprobs'] = log_p.gather(1, ids[prompt:, None])[:, 0]
    case['entropy'] = -(log_p.exp() * log_p).sum(-1)
    return -case['logprobs'].mean()


def stored_names(parameters, stored):
    """Parameters by the names of the checkpoint."""
    result = {}
    for name, parameter in parameters:
        for old, new in (('', ''), ('model.language_model.', 'model.'), ('model.visual.', 'visual.')):
            if name.startswith(old) and new + name[len(old):] in stored:
                result[new + name[len(old):]] = parameter
                break
    assert result.keys() == stored.keys(), result.keys() ^ stored.keys()
    return result


def make(family):
    out = pathlib.Path(__file__).resolve().parent / family
    out.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(30)
    model_class = getattr(transformers, FAMILIES[family]['model'])
    model = model_class._from_config(make_config(family), attn_implementation='eager').float().eval()
    fill(model, generator)
    model.tie_weights()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        stored = load_file(pathlib.Path(folder) / 'model.safetensors')
        config = json.loads((pathlib.Path(folder) / 'config.json').read_text())
    (out / 'config.json').write_text(json.dumps(config, indent=1) + '\n')
    cases = dict(text=make_case(generator, [], 7))
    if 'vision' in FAMILIES[family]:
        cases.update(image=make_case(generator, [(1, 6, 10)], 5), images=make_case(generator, [(1, 4, 8), (1, 2, 2)], 6))
    for case in cases.values():
        model.zero_grad()
        loss = run(model, case)
    loss.backward()
    tensors = {f'weight/{name}': value for name, value in stored.items()}
    for name, parameter in stored_names(model.named_parameters(), stored).items():
        tensors[f'grad/{name}'] = parameter.grad
    for name, case in cases.items():
        tensors.update({f'{name}/{key}': value for key, value in case.items()})
    if family == 'qwen3_vl':
        sizes = torch.tensor([[1, 2, 2], [1, 6, 14], [1, 22, 4]])
        rows, weights = get_vision_interpolation_indices_and_weights(sizes, 48, 'bilinear', True, 2)
        tensors.update({'grid/sizes': sizes, 'grid/rows': rows, 'grid/weights': weights})
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, out / 'golden.safetensors',
              metadata=dict(transformers=transformers.__version__))


def main():
    torch.set_num_threads(1)
    for family in sys.argv[1:] or FAMILIES:
        make(family)


if __name__ == '__main__':
    main()
