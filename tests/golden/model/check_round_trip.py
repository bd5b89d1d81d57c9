#!/usr/bin/env python3
"""Tiny checkpoints of every family through `sgrpo export`, `sgrpo sft` and `sgrpo train`, and back into transformers.

usage: tests/golden/model/check_round_trip.py [--sgrpo build/release/sgrpo] [--keep DIR] [NAME_PART ...]

Every family, in both layouts (hub: as the published checkpoints; v5: as transformers 5 writes them), whole and in
shards, tied and untied, float32, bfloat16 and float16. What holds of every folder that the program writes:

  files   the same names; config, tokenizer, processor and template byte for byte; of a weight file the header, and of
          a module that was frozen every tensor
  loads   from_pretrained finds no key missing, unexpected or misshapen and warns of nothing
  scores  `sgrpo logprobs` of the folder equals transformers' log-probabilities to 1e-4, the input's own as well

Prints a line a case; exit code 1 if one fails. Made for transformers 5.23; nothing of it is needed at run time.
"""
import argparse
import copy
import json
import logging
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from make_golden import fill

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = REPOSITORY / 'tests/golden'
ROWS, PATCH = 896, {'qwen3_vl': 16}  # rows of the embedding; the tokenizer has 790 ids
IDS = dict(image_token_id=780, video_token_id=781, vision_start_token_id=777, vision_end_token_id=778)
TOLERANCE = 1e-4  # two correct float32 programs; plausible mistakes move log-probs by more
FAMILIES = dict(
    qwen2=dict(config='Qwen2Config', model='Qwen2ForCausalLM', template='qwen2_5'),
    qwen3=dict(config='Qwen3Config', model='Qwen3ForCausalLM', template='qwen3', text=dict(head_dim=16)),
    llama=dict(config='LlamaConfig', model='LlamaForCausalLM', template='smollm2'),
    qwen2_vl=dict(config='Qwen2VLConfig', model='Qwen2VLForConditionalGeneration', template='qwen2_vl',
                  processor='Qwen2VLProcessor', vision=dict(embed_dim=24, mlp_ratio=2, hidden_size=32)),
    qwen2_5_vl=dict(config='Qwen2_5_VLConfig', model='Qwen2_5_VLForConditionalGeneration', template='qwen2_5_vl',
                    processor='Qwen2_5_VLProcessor',
                    vision=dict(hidden_size=24, intermediate_size=40, out_hidden_size=32, window_size=56,
                                fullatt_block_indexes=[1])),
    qwen3_vl=dict(config='Qwen3VLConfig', model='Qwen3VLForConditionalGeneration', template='qwen3_vl',
                  processor='Qwen3VLProcessor', text=dict(head_dim=16),
                  vision=dict(hidden_size=24, intermediate_size=40, out_hidden_size=32, num_position_embeddings=25,
                              deepstack_visual_indexes=[0])),
)
VARIANTS = [  # dtype, tied, shards
    ('float32', True, 1), ('float32', False, 3), ('bfloat16', True, 2), ('bfloat16', False, 1), ('float16', True, 1),
    ('float16', False, 2)]


class Failure(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Failure(message)


# ------------------------------------------------------------------------------------------------ the input

def make_config(family, tied):
    parts = FAMILIES[family]
    rope = dict(rope_type='default', rope_theta=10000.0)
    text = dict(vocab_size=ROWS, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=4096, rms_norm_eps=1e-6, rope_parameters=rope,
                bos_token_id=768, eos_token_id=770, pad_token_id=None, **parts.get('text', {}))
    make = getattr(transformers, parts['config'])
    if 'vision' not in parts:
        return make(**text, tie_word_embeddings=tied)
    rope['mrope_section'] = [4, 2, 2] if family == 'qwen3_vl' else [2, 1, 1]
    if family == 'qwen3_vl':
        rope['mrope_interleaved'] = True
    vision = dict(depth=2, num_heads=2, patch_size=PATCH.get(family, 14), spatial_merge_size=2, temporal_patch_size=2,
                  in_channels=3, **parts['vision'])
    return make(text_config=text, vision_config=vision, tie_word_embeddings=tied, **IDS)


def hub_config(family, config, dtype):
    """config.json in the words of the published checkpoints."""
    hub = copy.deepcopy(config)
    hub.pop('dtype', None)
    text = hub.get('text_config', hub)
    for section in (text, hub.get('vision_config', {})):
        section.pop('dtype', None)
    rope = text.pop('rope_parameters')
    text.pop('layer_types', None)
    text['rope_theta'] = rope['rope_theta']
    scaling = dict(mrope_section=rope.get('mrope_section'))
    if family == 'qwen3_vl':
        text['rope_scaling'] = dict(scaling, mrope_interleaved=True, rope_type='default')
        hub['vision_config']['model_type'] = 'qwen3_vl'
    elif 'text_config' in hub:
        hub.pop('text_config')
        for key, value in text.items():
            if key not in ('model_type', 'architectures', 'tie_word_embeddings'):
                hub.setdefault(key, value)
        hub['rope_scaling'] = dict(scaling, type='mrope')
        hub['vision_config']['in_chans'] = hub['vision_config'].pop('in_channels')
        hub['vision_config'].pop('model_type', None)
    else:
        text['rope_scaling'] = None
    hub['torch_dtype'] = dtype
    hub['transformers_version'] = '4.41.2'
    return hub


def write_side_files(family, layout, out):
    """Tokenizer, template and processor."""
    parts, source = FAMILIES[family], GOLDEN / 'data/model'
    template = (GOLDEN / f"tokenizer/chat_templates/{parts['template']}.jinja").read_text()
    settings = json.loads((source / 'tokenizer_config.json').read_text())
    shutil.copy(source / 'tokenizer.json', out)
    if layout == 'hub':
        settings['chat_template'] = template
        if 'vision' in parts:
            (out / 'chat_template.json').write_text(json.dumps(dict(chat_template=template)))
    else:
        settings.pop('chat_template', None)
        (out / 'chat_template.jinja').write_text(template)
        tokenizer = json.loads((source / 'tokenizer.json').read_text())
        tokenizer['model']['merges'] = [merge.split(' ') for merge in tokenizer['model']['merges']]
        (out / 'tokenizer.json').write_text(json.dumps(tokenizer, ensure_ascii=False))
    (out / 'tokenizer_config.json').write_text(json.dumps(settings, indent=2))
    if 'vision' not in parts:
        return
    patch = PATCH.get(family, 14)
    areas = dict(shortest_edge=(2 * patch) ** 2, longest_edge=12 * (2 * patch) ** 2)
    image = dict(patch_size=patch, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3,
                 image_processor_type='Qwen2VLImageProcessor')
    if layout == 'v5':
        nested = dict(image, size=areas, do_resize=True, do_rescale=True, do_normalize=True, resample=3,
                      rescale_factor=1 / 255)
        video = dict(patch_size=patch, merge_size=2, temporal_patch_size=2,
                     video_processor_type='Qwen3VLVideoProcessor' if family == 'qwen3_vl' else 'Qwen2VLVideoProcessor')
        (out / 'processor_config.json').write_text(
            json.dumps(dict(image_processor=nested, video_processor=video, processor_class=parts['processor']), indent=2))
    elif family == 'qwen3_vl':
        (out / 'preprocessor_config.json').write_text(
            json.dumps(dict(image, size=areas, processor_class=parts['processor'])))
    else:
        (out / 'preprocessor_config.json').write_text(
            json.dumps(dict(image, min_pixels=areas['shortest_edge'], max_pixels=areas['longest_edge'],
                            processor_class=parts['processor'])))


def hub_name(name):
    for new, old in (('model.language_model.', 'model.'), ('model.visual.', 'visual.')):
        if name.startswith(new):
            return old + name[len(new):]
    return name


def nested_name(family, name):
    if 'vision' not in FAMILIES[family] or name.startswith(('model.language_model.', 'model.visual.', 'lm_head')):
        return name
    return 'model.' + name if name.startswith('visual.') else 'model.language_model.' + name[len('model.'):]


def write_shards(tensors, count, out):
    names = sorted(tensors)
    files, weight_map = [names[i::count] for i in range(count)], {}
    for i, part in enumerate(files):
        file = f'model-{i + 1:05d}-of-{count:05d}.safetensors' if count > 1 else 'model.safetensors'
        save_file({name: tensors[name] for name in part}, out / file, metadata=dict(format='pt'))
        weight_map.update({name: file for name in part})
    if count > 1:
        size = sum(t.nbytes for t in tensors.values())
        (out / 'model.safetensors.index.json').write_text(
            json.dumps(dict(metadata=dict(total_size=size), weight_map=dict(sorted(weight_map.items()))), indent=2))


def make_checkpoint(case, out):
    family, layout = case['family'], case['layout']
    model = getattr(transformers, FAMILIES[family]['model'])._from_config(make_config(family, case['tied'])).float()
    fill(model, torch.Generator().manual_seed(7))
    model.tie_weights()
    model = model.to(getattr(torch, case['dtype']))
    model.generation_config = transformers.GenerationConfig(eos_token_id=[770, 768], pad_token_id=768, do_sample=True)
    model.save_pretrained(out)
    tensors = load_file(out / 'model.safetensors')
    (out / 'model.safetensors').unlink()
    if layout == 'v5':
        tensors = {nested_name(family, name): tensor for name, tensor in tensors.items()}
    elif family != 'qwen3_vl':
        tensors = {hub_name(name): tensor for name, tensor in tensors.items()}
    embedding = next(name for name in tensors if name.endswith('embed_tokens.weight'))
    if case['head'] == 'written':
        tensors['lm_head.weight'] = tensors[embedding].clone()
    elif case['head'] == 'only':
        tensors['lm_head.weight'] = tensors.pop(embedding)
    write_shards(tensors, case['shards'], out)
    if layout == 'hub':
        config = json.loads((out / 'config.json').read_text())
        (out / 'config.json').write_text(json.dumps(hub_config(family, config, case['dtype']), indent=2))
    write_side_files(family, layout, out)


def write_rows(family, folder):
    rows = [dict(id='text', prompt='Which one is larger?', ground_truth='the left one', completion='the left one'),
            dict(id='short', prompt='Count to three.', ground_truth='one two three', completion='1, 2, 3')]
    if 'vision' in FAMILIES[family]:
        image = Image.new('RGB', (90, 60))
        image.putdata([(i * 7 % 256, i * 13 % 256, i // 90 * 4) for i in range(90 * 60)])
        image.save(folder / 'image.png')
        content = [dict(type='image'), dict(type='text', text='What is this?')]
        rows[0].update(prompt=[dict(role='user', content=content)], images=['image.png'])
    (folder / 'rows.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return rows


# ------------------------------------------------------------------------------------------------ what must hold

def header(path):
    with open(path, 'rb') as file:
        size = struct.unpack('<Q', file.read(8))[0]
        return size, file.read(size)


def check_files(before, after, frozen=()):
    """Returns how many tensors changed."""
    names = sorted(p.name for p in before.iterdir())
    expect(names == sorted(p.name for p in after.iterdir()), f'files {sorted(p.name for p in after.iterdir())}')
    changed = 0
    for name in names:
        if not name.endswith('.safetensors'):
            expect((before / name).read_bytes() == (after / name).read_bytes(), f'{name} changed')
            continue
        expect(header(before / name) == header(after / name), f'the header of {name} changed')
        old, new = load_file(before / name), load_file(after / name)
        for key, value in new.items():
            is_same = torch.equal(value.view(torch.uint8), old[key].view(torch.uint8))
            changed += not is_same
            expect(is_same or not any(part in key for part in frozen), f'{key} was frozen and changed')
    return changed


class Messages(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def load(family, folder):
    """The model in float32 and its processor or tokenizer; fails on any message."""
    messages = Messages()
    logger = logging.getLogger('transformers')
    logger.addHandler(messages)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            model, info = getattr(transformers, FAMILIES[family]['model']).from_pretrained(
                folder, output_loading_info=True, dtype=torch.float32, attn_implementation='eager')
            reader = (transformers.AutoProcessor if 'vision' in FAMILIES[family]
                      else transformers.AutoTokenizer).from_pretrained(folder)
    finally:
        logger.removeHandler(messages)
    for key in ('missing_keys', 'unexpected_keys', 'mismatched_keys', 'error_msgs'):
        expect(not info.get(key), f'{key}: {info.get(key)}')
    texts = messages.texts + [str(w.message) for w in caught if 'transformers' in str(w.filename)]
    expect(not texts, f'transformers says: {texts}')
    return model.eval(), reader


def reference_logprobs(family, folder, rows, image_folder):
    model, reader = load(family, folder)
    result = []
    for row in rows:
        prompt = row['prompt']
        messages = prompt if isinstance(prompt, list) else [dict(role='user', content=prompt)]
        text = reader.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        images = [Image.open(image_folder / path) for path in row.get('images', [])]
        if images:
            inputs = dict(reader(text=[text], images=images, return_tensors='pt', return_mm_token_type_ids=True))
        else:
            inputs = dict(getattr(reader, 'tokenizer', reader)(text, return_tensors='pt'))
        tokenizer = getattr(reader, 'tokenizer', reader)
        completion = torch.tensor([tokenizer(row['completion'])['input_ids'] + [tokenizer.convert_tokens_to_ids('<|im_end|>')]])
        length = inputs['input_ids'].shape[1]
        inputs['input_ids'] = torch.cat([inputs['input_ids'], completion], 1)
        inputs['attention_mask'] = torch.ones_like(inputs['input_ids'])
        if 'mm_token_type_ids' in inputs:
            inputs['mm_token_type_ids'] = torch.cat([inputs['mm_token_type_ids'], torch.zeros_like(completion)], 1)
        logits = model(**inputs, use_cache=False).logits[0, length - 1:-1]
        log_p = torch.log_softmax(logits, -1).gather(1, completion[0, :, None])[:, 0]
        result.append((inputs['input_ids'][0, :length].tolist(), log_p))
    return result


class Program:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder

    def __call__(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True)
        expect(done.returncode == 0, f'sgrpo {arguments[0]} ended with {done.returncode}: '
                                     f'{(done.stderr.strip().splitlines() or [""])[-1]}')
        return done.stderr

    def logprobs(self, model):
        self('logprobs', '--model', model, '--input', 'rows.jsonl', '--output', 'scores.jsonl', '--threads', 1)
        return [json.loads(line) for line in (self.folder / 'scores.jsonl').read_text().splitlines()]


def check_scores(program, family, model, rows):
    worst = 0.0
    for ours, (ids, expected) in zip(program.logprobs(model), reference_logprobs(family, model, rows, program.folder)):
        expect(ours['prompt_ids'] == ids, f"prompt ids of {ours['id']} differ")
        worst = max(worst, (torch.tensor(ours['logprobs']) - expected.detach()).abs().max().item())
    expect(worst <= TOLERANCE, f'log-probs differ by {worst:.1e}')
    return worst


def train_config(folder, command, freeze):
    """A configuration with steps large enough to move every bfloat16 weight."""
    config = dict(seed=1, output_dir=str(folder / command), model=dict(path=str(folder / 'model'), freeze=freeze),
                  data=dict(train=str(folder / 'rows.jsonl')), optim=dict(lr=0.01, max_grad_norm=0),
                  rollout=dict(group_size=2, max_new_tokens=8),
                  trainer=dict(steps=2, prompts_per_step=2, keep_last=2, save_every=1),
                  eval=dict(at_start=False))
    path = folder / f'{command}.yaml'
    path.write_text(json.dumps(config))
    return path


def check(case, binary, folder):
    model, family = folder / 'model', case['family']
    model.mkdir()
    make_checkpoint(case, model)
    rows = write_rows(family, folder)
    program = Program(binary, folder)
    worst = check_scores(program, family, model, rows)
    program('export', '--checkpoint', model, '--output', 'exported')
    expect(check_files(model, folder / 'exported') == 0, 'export changed a tensor')
    has_vision = 'vision' in FAMILIES[family]
    notes = []
    for command, freeze, frozen in (('sft', ['vision', 'merger'] if has_vision else [], ['visual.']),
                                    ('train', [], [])):
        program(command, train_config(folder, command, freeze), '--threads', 1)
        for step in ('step-000001', 'step-000002'):
            saved = folder / command / 'checkpoints' / step / 'model'
            changed = check_files(model, saved, frozen)
            expect(changed > 5, f'{command} changed {changed} tensors only')
        notes.append(f'{command} {changed}')
        worst = max(worst, check_scores(program, family, saved, rows))
        program('export', '--checkpoint', folder / command, '--output', f'exported-{command}')
        expect(check_files(saved, folder / f'exported-{command}') == 0, f'export of the run of {command} differs')
    return f"log-probs within {worst:.0e}; tensors changed: {', '.join(notes)}"


def all_cases():
    for family in FAMILIES:
        for layout in ('hub', 'v5'):
            for dtype, tied, shards in VARIANTS:
                yield dict(family=family, layout=layout, dtype=dtype, tied=tied, shards=shards, head='as tied')
            for head in ('written', 'only'):
                yield dict(family=family, layout=layout, dtype='float32', tied=True, shards=1, head=head)


def name_of(case):
    parts = [case['family'], case['layout'], case['dtype'], 'tied' if case['tied'] else 'untied',
             'whole' if case['shards'] == 1 else f"{case['shards']} shards"]
    return ' '.join(parts + ([f"head {case['head']}"] if case['head'] != 'as tied' else []))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sgrpo', default=str(REPOSITORY / 'build/release/sgrpo'))
    parser.add_argument('--keep', help='folder in which failed cases stay')
    parser.add_argument('parts', nargs='*', help='cases whose names contain every one of these')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    failed = 0
    for case in all_cases():
        name = name_of(case)
        if not all(part in name.split() or part == name for part in arguments.parts):
            continue
        folder = pathlib.Path(tempfile.mkdtemp(prefix='round-trip-'))
        try:
            print(f'ok    {name}: {check(case, arguments.sgrpo, folder)}', flush=True)
        except Failure as failure:
            failed += 1
            print(f'FAIL  {name}: {failure}', flush=True)
            if arguments.keep:
                shutil.copytree(folder, pathlib.Path(arguments.keep) / name.replace(' ', '-'), dirs_exist_ok=True)
        finally:
            shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
