#!/usr/bin/env python3
"""Checks that the files, scripts, flags and configuration keys named in the documents exist.

A word in `back quotes` that looks like a path of this repository must exist; a `--flag` must appear in a
script or in the sources; a `section.key` must be a field of that section.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP = {'include', 'src', 'kernels', 'configs', 'scripts', 'tests', 'third_party'}
SECTIONS = {'model': 'model', 'data': 'data', 'rollout': 'rollout', 'verifier': 'verifier', 'injection': 'algorithm',
            'algorithm': 'algorithm', 'optim': 'optim', 'trainer': 'trainer', 'eval': 'eval', 'distributed': 'trainer'}


def words(text):
    """(line, word) of every inline code span and of every line in a fenced block."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith('```'):
            fenced = not fenced
            continue
        spans = [line] if fenced else re.findall(r'`([^`]+)`', line)
        for span in spans:
            for word in span.split():
                yield number, word.strip('(),.;:"\'')


def source_text(folder, suffixes):
    return '\n'.join(path.read_text() for path in sorted((ROOT / folder).rglob('*')) if path.suffix in suffixes)


def check(path, flags, fields):
    for number, word in words(path.read_text()):
        place = f'{path.relative_to(ROOT)}:{number}'
        if word.split('/')[0] in TOP and '/' in word and not re.search(r'[*<>{}…]', word):
            # A path that a command writes (third_party/libtorch) is git-ignored, hence not looked for.
            if not (ROOT / word).exists() and not word.startswith('third_party/libtorch'):
                yield f'{place} -> {word} does not exist'
        elif (re.fullmatch(r'--[a-z][a-z-]+', word) and word not in flags and
              word[2:].replace('-', '_') not in flags):
            yield f'{place} -> no command knows {word}'
        match = re.fullmatch(r'([a-z]+)\.([a-z_]+)(=.*)?', word)
        if match and match.group(1) in SECTIONS and f'visit("{match.group(2)}"' not in fields[match.group(1)]:
            yield f'{place} -> {match.group(1)} has no key {match.group(2)}'


def main():
    flags = source_text('src/cli', {'.cpp', '.h'}) + source_text('scripts', {'.sh', '.py'})
    fields = {}
    for section, room in SECTIONS.items():
        text = re.sub(r'visit\(\s*', 'visit(', source_text(f'include/sgrpo/{room}', {'.h'}))
        fields[section] = text
    documents = [ROOT / 'README.md', ROOT / 'third_party' / 'README.md']
    errors = [error for path in documents if path.exists() for error in check(path, flags, fields)]
    print('\n'.join(errors) if errors else f'docs: {len(documents)} documents clean')
    return 1 if errors else 0


if __name__ == '__main__':
    sys.exit(main())
