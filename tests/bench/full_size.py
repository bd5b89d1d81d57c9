#!/usr/bin/env python3
"""Published shapes at full size from random weights: init, plan and one forward pass; seconds, peak memory, bytes read.

    cmake --build --preset release --target sgrpo
    python3 tests/bench/full_size.py [--models qwen2-vl-2b,qwen2.5-vl-3b] [--work DIR] [--sgrpo PROGRAM] [--keep]

For each model (a file of tests/golden/shapes): `init` writes it in bfloat16, `plan` counts its parameters, `logprobs --dtype
bfloat16` scores one row (with an image where the model has a tower). Needs the model's size on disk and 1.2 x of it in memory.
Exits with 1 if the plan's count is not the number of values in the files, if the pass reads any weight twice (more than 1 %
above the size of the folder), if its peak memory is above --peak x the size, or if a result is not finite.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPES = ROOT / 'tests/golden/shapes'
TOKENS = dict(image_token_id='<|image_pad|>', video_token_id='<|video_pad|>', vision_start_token_id='<|vision_start|>',
              vision_end_token_id='<|vision_end|>')


class Run:
    """A finished process: seconds, peak resident bytes, bytes that read calls returned, stdout."""

    def __init__(self, command):
        start = time.perf_counter()
        with tempfile.TemporaryFile('w+') as out:
            process = subprocess.Popen([str(part) for part in command], stdout=out)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its counters outlive it until it is collected
            counters = dict(line.split(': ') for line in pathlib.Path(f'/proc/{process.pid}/io').read_text().splitlines())
            _, status, usage = os.wait4(process.pid, 0)
            out.seek(0)
            self.output = out.read()
        process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.perf_counter() - start
        self.peak = usage.ru_maxrss * 1024
        self.read = int(counters['rchar'])
        if process.returncode:
            raise SystemExit(f'{command}: exit {process.returncode}')


def png(width, height):
    """A picture of three waves."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += bytes((x * 255 // width, y * 255 // height, int(127 + 127 * math.sin(x * y / 900))))
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(bytes(rows))) + chunk(b'IEND', b''))


def spec_of(config, arguments):
    """What `init` is given: the published configuration with the ids of a small tokenizer."""
    ids = {token['content']: token['id'] for token in json.loads(arguments.tokenizer.read_text())['added_tokens']}
    spec = dict(config=dict(config), tokenizer=str(arguments.tokenizer))
    if arguments.chat_template:
        spec['chat_template'] = str(arguments.chat_template)
    vision = config.get('vision_config')
    if vision:
        spec['config'].update({key: ids[token] for key, token in TOKENS.items()})
        spec['preprocessor'] = dict(
            image_processor_type='Qwen2VLImageProcessor', do_convert_rgb=True, do_resize=True, resample=3, do_rescale=True,
            rescale_factor=1 / 255, do_normalize=True, image_mean=[0.48145466, 0.4578275, 0.40821073],
            image_std=[0.26862954, 0.26130258, 0.27577711], min_pixels=3136, max_pixels=12845056,
            patch_size=vision['patch_size'], temporal_patch_size=2, merge_size=2)
    return spec


def weights_of(folder):
    """(bytes of the weight files, values in them)."""
    size = values = 0
    for path in folder.glob('*.safetensors'):
        size += path.stat().st_size
        with path.open('rb') as file:
            header = json.loads(file.read(struct.unpack('<Q', file.read(8))[0]))
        values += sum(math.prod(entry['shape']) for name, entry in header.items() if name != '__metadata__')
    return size, values


def measure(name, arguments, work):
    config = json.loads((SHAPES / f'{name}.json').read_text())
    folder = work / name
    (work / 'spec.yaml').write_text(json.dumps(spec_of(config, arguments)))  # JSON is YAML
    init = Run([arguments.sgrpo, 'init', '--spec', work / 'spec.yaml', '--output', folder, '--threads', arguments.threads])
    size, values = weights_of(folder)
    plan = Run([arguments.sgrpo, 'plan', f'model.path={folder}', 'model.dtype=bfloat16', '--json'])
    (work / 'image.png').write_bytes(png(arguments.side, arguments.side))
    has_image = 'vision_config' in config
    row = dict(id='a', prompt='what is this? Describe it.', images=['image.png'] if has_image else [],
               completion='a bag and a shoe')
    (work / 'rows.jsonl').write_text(json.dumps(row) + '\n')
    score = Run([arguments.sgrpo, 'logprobs', '--model', folder, '--input', work / 'rows.jsonl', '--output',
                 work / 'scores.jsonl', '--dtype', 'bfloat16', '--threads', arguments.threads])
    scores = json.loads((work / 'scores.jsonl').read_text())
    planned = json.loads(plan.output)
    result = dict(
        model=name, parameters=planned['parameters'], gigabytes=size / 1e9, shards=len(list(folder.glob('*.safetensors'))),
        init_seconds=init.seconds, init_peak_gigabytes=init.peak / 1e9, plan_seconds=plan.seconds,
        plan_peak_gib=planned['peak_bytes'] / 2**30, forward_seconds=score.seconds, tokens=len(scores['prompt_ids']),
        peak_gigabytes=score.peak / 1e9, peak_over_size=score.peak / size, read_over_size=score.read / size,
        mean_logprob=sum(scores['logprobs']) / len(scores['logprobs']))
    print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in result.items()}),
          flush=True)
    problems = []
    if planned['parameters'] != values:
        problems.append(f'plan counts {planned["parameters"]} parameters, the files hold {values}')
    if score.read > 1.01 * size:
        problems.append(f'{score.read} bytes were read of {size}')
    if score.peak > arguments.peak * size:
        problems.append(f'peak memory is {score.peak / size:.2f} x the weights, allowed {arguments.peak}')
    if not all(math.isfinite(value) for value in scores['logprobs'] + scores['entropy']):
        problems.append('log-probabilities are not finite')
    if not arguments.keep:
        shutil.rmtree(folder)
    return [f'{name}: {problem}' for problem in problems]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default='qwen2-vl-2b,qwen2.5-vl-3b,qwen3-vl-2b')
    parser.add_argument('--tokenizer', type=pathlib.Path, default=ROOT / 'configs/study/tokenizer.json')
    parser.add_argument('--chat-template', type=pathlib.Path, default=ROOT / 'configs/study/chat_template.jinja')
    parser.add_argument('--sgrpo', type=pathlib.Path, default=ROOT / 'build/release/sgrpo')
    parser.add_argument('--work', type=pathlib.Path, help='default: a temporary folder')
    parser.add_argument('--side', type=int, default=448, help='of the image, in pixels')
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--peak', type=float, default=1.2, help='allowed peak memory / size of the weights')
    parser.add_argument('--keep', action='store_true', help='leave the folders')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or pathlib.Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        problems = [problem for name in arguments.models.split(',') for problem in measure(name, arguments, work)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
