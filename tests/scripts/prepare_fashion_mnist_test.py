"""prepare_fashion_mnist.py: pixels, answers, held-out phrasings, determinism, reuse."""
import gzip
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = pathlib.Path('/usr/share/datasets/fashion-mnist')
SPLITS = [f'{task}_{split}' for task in ('caption', 'code')
          for split in ('choose', 'target', 'other_phrasing', 'shifted')] + ['code_bright', 'retention', 'retention_held']
HELD_OUT = {'tell me the item.', 'category of this?', 'is this worn on feet?', 'shifted which way?',
            'background: dark or bright?', 'background and footwear?', 'invent any code.',
            'give a caption of the picture.', 'what is the product code?'}
CATEGORIES = ['top', 'legs', 'top', 'dress', 'top', 'shoe', 'top', 'shoe', 'bag', 'shoe']


def prepare(folder, *flags):
    command = [sys.executable, '-B', ROOT / 'scripts' / 'prepare_fashion_mnist.py', '--output', folder,
               '--limit', '300', *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def read_rows(folder, name):
    return [json.loads(line) for line in (folder / f'{name}.jsonl').read_text().splitlines()]


def decode(path):
    """Rows of an 8-bit gray PNG without interlacing, filter 0 only."""
    data, at, packed = path.read_bytes(), 8, b''
    while at < len(data):
        length, kind = struct.unpack_from('>I4s', data, at)
        body = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack_from('>I', data, at + 8 + length)[0]
        if kind == b'IHDR':
            assert struct.unpack('>IIBBBBB', body) == (28, 28, 8, 0, 0, 0, 0)
        packed += body if kind == b'IDAT' else b''
        at += 12 + length
    raw = zlib.decompress(packed)
    return [list(raw[row * 29 + 1:row * 29 + 29]) for row in range(28)]


class PrepareFashionMnist(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name) / 'data'
        prepare(cls.folder)
        cls.pixels = gzip.open(SOURCE / 't10k-images-idx3-ubyte.gz').read()[16:]
        cls.labels = gzip.open(SOURCE / 't10k-labels-idx1-ubyte.gz').read()[8:]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def original(self, index):
        at = index * 784
        return [list(self.pixels[at + row * 28:at + row * 28 + 28]) for row in range(28)]

    def test_every_variant_equals_its_definition(self):
        seen = set()
        for row in read_rows(self.folder, 'caption_shifted'):
            path = row['images'][0]
            index, bright, way = re.fullmatch(r'images/test/\d\d/(\d{5})(-bright)?-(\w+)\.png', path).groups()
            down, right = {'up': (-5, 0), 'down': (5, 0), 'left': (0, -5), 'right': (0, 5)}[way]
            source = self.original(int(index))
            expected = [[source[y - down][x - right] if 0 <= y - down < 28 and 0 <= x - right < 28 else 0
                         for x in range(28)] for y in range(28)]
            if bright:
                expected = [[255 - value for value in line] for line in expected]
            self.assertEqual(decode(self.folder / path), expected, path)
            seen.add((bool(bright), way))
        self.assertEqual(len(seen), 8)

    def test_caption_names_category_and_background(self):
        forms = set()
        for index, row in enumerate(read_rows(self.folder, 'caption_target'), 1000):
            category = CATEGORIES[self.labels[index]]
            background = 'bright' if '-bright' in row['images'][0] else 'dark'
            forms.add(row['ground_truth'].replace(category, 'C').replace(background, 'B'))
            self.assertEqual(row['verifier'], 'caption')
        self.assertEqual(forms, {'C, B', 'B C', 'a C on B', 'C - B'})

    def test_code_images_are_dark_and_upright(self):
        codes = {}
        for index, row in enumerate(read_rows(self.folder, 'code_target'), 1000):
            self.assertEqual(row['images'], [f'images/test/01/{index:05d}.png'])
            codes.setdefault(self.labels[index], set()).add(row['ground_truth'])
        self.assertTrue(all(len(answers) == 1 for answers in codes.values()))

    def test_held_out_phrasings_never_appear_in_training(self):
        for name in ('base_general', 'base_target_prompts', 'caption_train', 'code_train'):
            for row in read_rows(self.folder, name):
                question = row['prompt'][0]['content'][1]['text']
                self.assertNotIn(question, HELD_OUT)
                self.assertFalse(question.endswith('shown?') and question.startswith('is a'), question)

    def test_retention_has_seven_tasks_in_equal_parts(self):
        tasks = [row['task'] for row in read_rows(self.folder, 'retention')[:294]]
        self.assertEqual({task: tasks.count(task) for task in tasks},
                         dict.fromkeys(['name', 'category', 'foot', 'isa', 'where', 'light', 'both'], 42))

    def test_unhelpful_rows_hold_no_caption(self):
        for row in read_rows(self.folder, 'base_target_prompts'):
            self.assertNotIn(' ', row['ground_truth'])

    def test_seed_changes_training_rows_but_no_evaluation_file(self):
        other, again = self.folder.with_name('other'), self.folder.with_name('again')
        prepare(other, '--seed', '1')
        prepare(again)
        for name in SPLITS:
            self.assertEqual((self.folder / f'{name}.jsonl').read_bytes(), (other / f'{name}.jsonl').read_bytes(), name)
        for name in ('base_general', 'caption_train'):
            self.assertNotEqual(read_rows(self.folder, name), read_rows(other, name))
            self.assertEqual(read_rows(self.folder, name), read_rows(again, name))

    def test_second_run_reuses_the_first(self):
        self.assertIn('up to date', prepare(self.folder))


if __name__ == '__main__':
    unittest.main()
