#!/usr/bin/env python3
"""Fashion-MNIST (Debian's dataset-fashion-mnist) -> PNG images and JSONL rows of the study and the quickstart.

General tasks teach a small base model to see (name, category, footwear, shift, background ...). Two target tasks
are then learnt by reinforcement: `caption` (any clean caption passes) and `code` (one fixed code per class).
Images train[0:50000] are for the base, train[50000:60000] for the target; test[500:1000] chooses, test[1000:5000]
reports, test[5000:5200] measures retention. Evaluation files do not depend on --seed. Standard library only.
"""
import argparse
import gzip
import hashlib
import json
import pathlib
import random
import shutil
import struct
import sys
import time
import zlib

NAMES = ['t-shirt', 'trousers', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'boot']
CATEGORIES = ['top', 'legs', 'top', 'dress', 'top', 'shoe', 'top', 'shoe', 'bag', 'shoe']
FOOTWEAR = {5, 7, 9}
CODES = ['K8', 'E3', 'M0', 'U1', 'B6', 'C6', 'R1', 'D3', 'L1', 'V8']
LETTERS, DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '0123456789'
SHIFTS = {'up': (-5, 0), 'down': (5, 0), 'left': (0, -5), 'right': (0, 5)}  # rows, columns
SIZE = 28
INVERT = bytes(255 - value for value in range(256))

# The last phrasing of every task is held out of all training.
GENERAL = {
    'name': ['what is this?', 'name the item.', 'which item is shown?', 'tell me the item.'],
    'category': ['which category?', 'what kind of product is it?', 'category of this?'],
    'foot': ['is it footwear?', 'can it be worn on the feet?', 'is this worn on feet?'],
    'isa': ['is it a {}?', 'is this a {}?', 'is a {} shown?'],
    'where': ['where is it shifted?', 'which way is it moved?', 'shifted which way?'],
    'light': ['dark or bright background?', 'is the background dark or bright?', 'background: dark or bright?'],
    'both': ['footwear and background?', 'is it footwear, which background?', 'background and footwear?'],
    'invent': ['make up a product code.', 'invent a product code.', 'invent any code.'],
}
MIX = ['name'] * 3 + ['category', 'foot', 'isa', 'isa', 'where', 'light', 'both', 'invent']
RETENTION = ['name', 'category', 'foot', 'isa', 'where', 'light', 'both']
TARGET = {
    'caption': ['describe the picture.', 'write a caption.', 'give a caption of the picture.'],
    'code': ['which product code?', 'give the product code.', 'what is the product code?'],
}
CAPTION_FORMS = ['{c}, {b}', '{b} {c}', 'a {c} on {b}', '{c} - {b}']


class Draw:
    """Named random choices. Only random() is used: Python promises that its sequence never changes."""

    def __init__(self, *key):
        self._random = random.Random(' '.join(map(str, key))).random

    def below(self, count):
        return int(self._random() * count)

    def pick(self, items):
        return items[self.below(len(items))]

    def chance(self, probability):
        return self._random() < probability


class Images:
    """One split of the data set; writes each needed variant (bright, shifted) once, as an 8-bit gray PNG."""

    def __init__(self, source, output, split):
        prefix = {'train': 'train', 'test': 't10k'}[split]
        self.labels = self._read(source / f'{prefix}-labels-idx1-ubyte.gz', 2049, 1)
        self._pixels = self._read(source / f'{prefix}-images-idx3-ubyte.gz', 2051, 3)
        self._output, self._split, self._written = output, split, set()

    @staticmethod
    def _read(path, magic, rank):
        data = gzip.open(path).read()
        header = struct.unpack_from(f'>{1 + rank}I', data)
        if header[0] != magic or (rank == 3 and header[2:] != (SIZE, SIZE)):
            raise SystemExit(f'{path}: not the idx file of Fashion-MNIST (header {header})')
        return data[4 * (1 + rank):]

    def path(self, index, bright=False, shift=None):
        """The variant's path relative to the output folder."""
        name = f'{index:05d}' + ('-bright' if bright else '') + (f'-{shift}' if shift else '')
        path = f'images/{self._split}/{index // 1000:02d}/{name}.png'
        if path not in self._written:
            self._written.add(path)
            file = self._output / path
            if not file.parent.exists():
                file.parent.mkdir(parents=True)
            file.write_bytes(encode_png(self._variant(index, bright, shift)))
        return path

    def _variant(self, index, bright, shift):
        offset = index * SIZE * SIZE
        pixels = self._pixels[offset:offset + SIZE * SIZE]
        rows = [pixels[at:at + SIZE] for at in range(0, SIZE * SIZE, SIZE)]
        if shift:  # zeros come in before the inversion
            down, right = SHIFTS[shift]
            empty = [bytes(SIZE)] * abs(down)
            rows = empty + rows[:SIZE - down] if down > 0 else rows[-down:] + empty
            if right > 0:
                rows = [bytes(right) + row[:SIZE - right] for row in rows]
            elif right < 0:
                rows = [row[-right:] + bytes(-right) for row in rows]
        return [row.translate(INVERT) for row in rows] if bright else rows

    def count(self):
        return len(self._written)


def encode_png(rows):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    filtered = b'\0' + b'\0'.join(rows)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(filtered, 1)) +
            chunk(b'IEND', b''))


def make_row(row_id, image, question, answer, task, verifier='exact'):
    content = [{'type': 'image'}, {'type': 'text', 'text': question}]
    return {'id': row_id, 'prompt': [{'role': 'user', 'content': content}], 'images': [image],
            'ground_truth': answer, 'task': task, 'verifier': verifier}


def caption(draw, label, bright):
    return draw.pick(CAPTION_FORMS).format(c=CATEGORIES[label], b=background(bright))


def background(bright):
    return 'bright' if bright else 'dark'


def yes_no(value):
    return 'yes' if value else 'no'


def general_row(draw, images, index, task, row_id, held_out=False):
    """One row of a general task: question, image variant, answer."""
    label = images.labels[index]
    question = GENERAL[task][-1] if held_out else draw.pick(GENERAL[task][:-1])
    bright = draw.chance(0.5 if task in ('light', 'both') else 0.3)
    shift = draw.pick(list(SHIFTS)) if task == 'where' or draw.chance(0.2) else None
    if task == 'isa':
        asked = label if draw.chance(0.5) else draw.pick([k for k in range(len(NAMES)) if k != label])
        question, answer = question.format(NAMES[asked]), yes_no(asked == label)
    else:
        answer = {
            'name': lambda: NAMES[label],
            'category': lambda: CATEGORIES[label],
            'foot': lambda: yes_no(label in FOOTWEAR),
            'where': lambda: shift,
            'light': lambda: background(bright),
            'both': lambda: f'{yes_no(label in FOOTWEAR)}, {background(bright)}',
            'invent': lambda: draw.pick(LETTERS) + draw.pick(DIGITS),
        }[task]()
    return make_row(row_id, images.path(index, bright, shift), question, answer, task)


def unhelpful_row(draw, images, index, task, row_id, p_caption):
    """A target prompt with an answer that is not the wanted one, so that the base knows the prompt only."""
    label = images.labels[index]
    question = draw.pick(TARGET[task][:-1])
    bright = draw.chance(0.5 if task == 'caption' else 0.3)
    shift = draw.pick(list(SHIFTS)) if draw.chance(0.2) else None
    if task == 'code':
        answer = draw.pick(LETTERS) + draw.pick(DIGITS)
    elif draw.chance(p_caption):
        answer = caption(draw, label, bright)
    else:
        answer = draw.pick([NAMES[label], CATEGORIES[label], background(bright)])
    return make_row(row_id, images.path(index, bright, shift), question, answer, task)


def target_row(draw, images, index, task, row_id, split):
    """One row of a target task. Code images are dark and upright but in the splits that shift or brighten."""
    label = images.labels[index]
    question = TARGET[task][-1] if split == 'other_phrasing' else draw.pick(TARGET[task][:-1])
    bright = draw.chance(0.5) if task == 'caption' else split == 'bright'
    shift = draw.pick(list(SHIFTS)) if split == 'shifted' else None
    answer = caption(draw, label, bright) if task == 'caption' else CODES[label]
    verifier = 'caption' if task == 'caption' else 'exact'
    return make_row(row_id, images.path(index, bright, shift), question, answer, task, verifier)


class Writer:
    """Writes the JSONL files; every file has a random stream of its own, so none depends on another."""

    def __init__(self, output, limit):
        self._output, self._limit, self.counts = output, limit, {}

    def write(self, name, count, row):
        count = min(count, self._limit or count)
        with open(self._output / f'{name}.jsonl', 'w', encoding='ascii') as file:
            for index in range(count):
                file.write(json.dumps(row(index, f'{name}-{index:05d}')) + '\n')
        self.counts[name] = count


def write_base(writer, train, arguments):
    general, target = Draw(arguments.seed, 'general'), Draw(arguments.seed, 'target prompts')
    writer.write('base_general', arguments.general_rows,
                 lambda _, row_id: general_row(general, train, general.below(50000), general.pick(MIX), row_id))
    writer.write('base_target_prompts', arguments.general_rows // 10,
                 lambda _, row_id: unhelpful_row(target, train, target.below(50000),
                                                 target.pick(['caption', 'caption', 'code']), row_id,
                                                 arguments.p_caption))


def write_target(writer, train, test, task, seed):
    draws = Draw(seed, task, 'train')
    writer.write(f'{task}_train', 10000,
                 lambda index, row_id: target_row(draws, train, 50000 + index, task, row_id, 'train'))
    splits = {'choose': (500, 500), 'target': (1000, 4000), 'other_phrasing': (1000, 4000),
              'shifted': (1000, 4000),
              'base_rate': (500, 100)}  # 16 samples of each tell how often the base succeeds
    if task == 'code':
        splits['bright'] = (1000, 4000)
    for split, (start, count) in splits.items():
        draw = Draw('evaluation', task, split)
        writer.write(f'{task}_{split}', count,
                     lambda index, row_id: target_row(draw, test, start + index, task, row_id, split))


def write_retention(writer, test, name, held_out):
    draw = Draw('evaluation', name)
    writer.write(name, 200 * len(RETENTION),
                 lambda index, row_id: general_row(draw, test, 5000 + index // len(RETENTION),
                                                   RETENTION[index % len(RETENTION)], row_id, held_out))


def prepare(arguments, folder):
    writer = Writer(folder, arguments.limit)
    train, test = (Images(arguments.source, folder, split) for split in ('train', 'test'))
    write_base(writer, train, arguments)
    for task in TARGET:
        write_target(writer, train, test, task, arguments.seed)
    write_retention(writer, test, 'retention', held_out=False)
    write_retention(writer, test, 'retention_held', held_out=True)
    return writer.counts, train.count() + test.count()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--source', type=pathlib.Path, default='/usr/share/datasets/fashion-mnist',
                        help='folder with the four idx files')
    parser.add_argument('--output', type=pathlib.Path, default='runs/quickstart/data', help='folder to write')
    parser.add_argument('--seed', type=int, default=0, help='of the training rows')
    parser.add_argument('--general-rows', type=int, default=60000, help='rows of the general mix')
    parser.add_argument('--p-caption', type=float, default=0.0,
                        help='share of true captions among the unhelpful answers (0.03: strong-start control)')
    parser.add_argument('--limit', type=int, default=0, help='at most so many rows a file, 0 = all (for tests)')
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    recipe = {'script': hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(), 'seed': arguments.seed,
              'general_rows': arguments.general_rows, 'p_caption': arguments.p_caption, 'limit': arguments.limit}
    proof = arguments.output / 'recipe.json'
    if proof.exists() and json.loads(proof.read_text()) == recipe:
        print(f'data: {arguments.output} is up to date')
        return 0
    if not arguments.source.is_dir():
        print(f'{arguments.source} not found: install dataset-fashion-mnist (scripts/setup.sh does)', file=sys.stderr)
        return 2
    start = time.monotonic()
    staging = arguments.output.with_name(f'.{arguments.output.name}.partial')
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    counts, images = prepare(arguments, staging)
    (staging / 'recipe.json').write_text(json.dumps(recipe, indent=1) + '\n')
    shutil.rmtree(arguments.output, ignore_errors=True)
    staging.rename(arguments.output)
    for name, count in counts.items():
        print(f'data: {name}.jsonl {count} rows')
    print(f'data: {images} images, {time.monotonic() - start:.1f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
