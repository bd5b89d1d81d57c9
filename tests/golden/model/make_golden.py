#!/usr/bin/env python3
"""Writes a tiny Qwen2.5-VL checkpoint and what transformers computes for it: float32, eager attention, CPU.

usage: tests/golden/model/make_golden.py [FOLDER]      default: qwen2_5_vl beside this script; made with transformers 5.23

  config.json, model.safetensors   hub layout; heads, widths and window counts differ from one another on purpose
  expected.safetensors             keys "<case>/<name>" for the cases text, image and images:
      token_ids [T] i64, prompt_length [1] i64, position_ids [3,T] i64, pixel_values [N,D] f32, grid_thw [I,3] i64
      hidden [T,D]                 after the final norm
      features [M,D]               of the vision tower, in image order
      window_order [M] i64         merged patches in window order
      window_ends [W] i64          cumulative patches of the attention windows
      logprobs [C], entropy [C]    of the tokens behind the prompt, over the whole vocabulary
  grad.safetensors                 d(mean completion NLL of case images)/d(parameter), checkpoint names
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.vision_utils import get_vision_window_index

IMAGE, VIDEO, START, END = 290, 291, 288, 289
SECTION = [2, 1, 1]


def make_config():
    text = dict(vocab_size=304, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-6,
                rope_parameters=dict(rope_type='default', rope_theta=10000.0, mrope_section=SECTION),
                bos_token_id=300, eos_token_id=301, pad_token_id=None)
    # Windows of 24 pixels are 3 merged patches wide: ragged for every grid below.
    vision = dict(depth=2, hidden_size=24, intermediate_size=28, num_heads=2, out_hidden_size=32, patch_size=4,
                  spatial_merge_size=2, temporal_patch_size=2, in_channels=3, window_size=24,
                  fullatt_block_indexes=[1])
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, image_token_id=IMAGE,
                            video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END)


def hub_config(config):
    """As the published checkpoints write it."""
    text, vision = config.text_config, config.vision_config
    keys = ('vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads',
            'num_key_value_heads', 'max_position_embeddings', 'rms_norm_eps')
    vision_keys = ('depth', 'hidden_size', 'intermediate_size', 'num_heads', 'out_hidden_size', 'patch_size',
                   'spatial_merge_size', 'temporal_patch_size', 'window_size')
    return dict(architectures=['Qwen2_5_VLForConditionalGeneration'], model_type='qwen2_5_vl',
                **{key: getattr(text, key) for key in keys}, hidden_act='silu', rope_theta=10000.0,
                rope_scaling=dict(type='mrope', mrope_section=SECTION), use_sliding_window=False,
                tie_word_embeddings=True, torch_dtype='float32', image_token_id=IMAGE, video_token_id=VIDEO,
                vision_start_token_id=START, vision_end_token_id=END,
                vision_config=dict({key: getattr(vision, key) for key in vision_keys}, hidden_act='silu', in_chans=3,
                                   fullatt_block_indexes=list(vision.fullatt_block_indexes)))


def fill(model, generator):
    """Norms away from 1, biases away from 0, logits far from uniform."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith('bias'):
                parameter.copy_(0.1 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(1.0 + 0.25 * noise.clamp(-2, 2))
            elif 'embed_tokens' in name:
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise * (1.2 / parameter[0].numel() ** 0.5))


def make_case(generator, grids, completion_length):
    """Text, then each image in its markers with text behind it, then the completion."""
    def text(length):
        return torch.randint(0, 280, (length,), generator=generator).tolist()

    ids = text(5)
    for _, height, width in grids:
        ids += [START] + [IMAGE] * (height * width // 4) + [END] + text(4)
    prompt_length = len(ids)
    ids += text(completion_length)
    patches = sum(t * h * w for t, h, w in grids)
    return dict(token_ids=torch.tensor(ids), prompt_length=torch.tensor([prompt_length]),
                pixel_values=torch.randn(patches, 3 * 2 * 4 * 4, generator=generator),
                grid_thw=torch.tensor(grids, dtype=torch.int64).reshape(-1, 3))


def run(model, case):
    """Adds the expected values to the case; returns the mean negative log-likelihood of the completion."""
    ids, grid = case['token_ids'], case['grid_thw']
    base, inputs = model.model, {}
    types = (ids == IMAGE).int()[None]
    base.rope_deltas = None
    if len(grid):
        inputs = dict(pixel_values=case['pixel_values'], image_grid_thw=grid)
        positions, _ = base.get_rope_index(ids[None], mm_token_type_ids=types, image_grid_thw=grid,
                                           attention_mask=torch.ones_like(ids[None]))
        positions = positions[:, 0]
        output = base.visual(case['pixel_values'], grid_thw=grid)
        case['features'] = output if torch.is_tensor(output) else output.pooler_output
        order, ends = get_vision_window_index(grid, spatial_merge_size=2, window_size=24, patch_size=4)
        case['window_order'] = torch.as_tensor(order)
        case['window_ends'] = torch.unique_consecutive(torch.as_tensor(ends, dtype=torch.int64))[1:]
    else:
        positions = torch.arange(len(ids)).expand(3, -1)
    case['position_ids'] = positions.clone()
    kept = []
    handle = base.language_model.norm.register_forward_hook(lambda _, __, output: kept.append(output[0]))
    logits = model(input_ids=ids[None], attention_mask=torch.ones_like(ids[None]), mm_token_type_ids=types,
                   use_cache=False, **inputs).logits[0]
    handle.remove()
    case['hidden'] = kept[0]
    prompt = int(case['prompt_length'])
    log_p = torch.log_softmax(logits[prompt - 1:-1], dim=-1)
    case['logprobs'] = log_p.gather(1, ids[prompt:, None])[:, 0]
    case['entropy'] = -(log_p.exp() * log_p).sum(-1)
    return -case['logprobs'].mean()


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / 'qwen2_5_vl'
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(20)
    model = Qwen2_5_VLForConditionalGeneration._from_config(make_config(), attn_implementation='eager').float().eval()
    fill(model, generator)
    model.save_pretrained(out)
    (out / 'generation_config.json').unlink(missing_ok=True)
    (out / 'config.json').write_text(json.dumps(hub_config(model.config), indent=1) + '\n')
    cases = dict(text=make_case(generator, [], 7), image=make_case(generator, [(1, 10, 14)], 5),
                 images=make_case(generator, [(1, 6, 8), (1, 4, 10), (1, 2, 2)], 6))
    for name, case in cases.items():
        model.zero_grad()
        loss = run(model, case)
        if name == 'images':
            loss.backward()
    expected = {f'{name}/{key}': value.detach().contiguous() for name, case in cases.items()
                for key, value in case.items()}
    save_file(expected, out / 'expected.safetensors', metadata=dict(transformers=transformers.__version__))
    stored = load_file(out / 'model.safetensors')
    grads = {}
    for name, parameter in model.named_parameters():
        for old, new in (('', ''), ('model.language_model.', 'model.'), ('model.visual.', 'visual.')):
            if name.startswith(old) and new + name[len(old):] in stored:
                grads[new + name[len(old):]] = parameter.grad
                break
    assert grads.keys() == stored.keys(), grads.keys() ^ stored.keys()
    save_file(grads, out / 'grad.safetensors')


if __name__ == '__main__':
    main()
