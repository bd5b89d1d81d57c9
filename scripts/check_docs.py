#!/usr/bin/env python3
"""Checks that the files, scripts, flags and configuration keys named in the documents exist.

A word in `back quotes` that looks like a path of this repository must exist; a `--flag` must appear in a
script or in the sources; a `section.key` must be a field of that section. In a room's README a file's name must be
one of the room (or a path with the room's name), and every source of the room must be named there: `foo.cpp`, `foo.h`
or `foo`, its folder (`report/`), or a pattern (`*_header.cpp`). src/README.md names every room of scripts/layers.txt.
"""
import argparse
import fnmatch
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP = {'include', 'src', 'kernels', 'configs', 'scripts', 'tests', 'third_party'}
SECTIONS = {'model': 'model', 'data': 'data', 'rollout': 'rollout', 'verifier': 'verifier', 'injection': 'algorithm',
            'algorithm': 'algorithm', 'optim': 'optim', 'trainer': 'trainer', 'eval': 'eval', 'distributed': 'trainer'}
SOURCES = {'.cpp', '.h', '.cu'}


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


def source_text(root, folder, suffixes):
    return '\n'.join(path.read_text() for path in sorted((root / folder).rglob('*')) if path.suffix in suffixes)


def check(root, path, flags, fields):
    for number, word in words(path.read_text()):
        place = f'{path.relative_to(root)}:{number}'
        if word.split('/')[0] in TOP and '/' in word and not re.search(r'[*<>{}…]', word):
            # A path that a command writes (third_party/libtorch) is git-ignored, hence not looked for.
            if not (root / word).exists() and not word.startswith('third_party/libtorch'):
                yield f'{place} -> {word} does not exist'
        elif (re.fullmatch(r'--[a-z][a-z-]+', word) and word not in flags and
              word[2:].replace('-', '_') not in flags):
            yield f'{place} -> no command knows {word}'
        match = re.fullmatch(r'([a-z]+)\.([a-z_]+)(=.*)?', word)
        if match and match.group(1) in SECTIONS and f'.{match.group(2)}' not in SOURCES | {'.json', '.jsonl'}:
            if f'visit("{match.group(2)}"' not in fields[match.group(1)]:
                yield f'{place} -> {match.group(1)} has no key {match.group(2)}'


def room_files(root, room):
    """Sources of a room, as paths below src/ROOM or include/sgrpo/ROOM."""
    return {path.relative_to(base) for base in (root / 'src' / room, root / 'include' / 'sgrpo' / room)
            for path in base.rglob('*') if path.suffix in SOURCES}


def is_named(file, word):
    """Whether the word names the file (`foo.h` speaks for `foo.cpp`), a folder above it, or a pattern that it matches."""
    if '*' in word:
        return fnmatch.fnmatch(file.as_posix(), word)
    if word.endswith('/'):
        return word in {f'{folder.as_posix()}/' for folder in file.parents if folder.name}
    path = file.with_suffix('')
    return re.sub(r'\.(cpp|h|cu)$', '', word) in {path.as_posix(), path.name}


def check_room(root, room):
    """What a room's README says of files, against the room."""
    readme = root / 'src' / room / 'README.md'
    if not readme.exists():
        yield f'src/{room} -> has no README.md'
        return
    files = room_files(root, room)
    named = {}
    for number, word in words(readme.read_text()):
        named.setdefault(word, number)
    for word, number in named.items():
        is_file = re.fullmatch(r'[\w*/]+\.(cpp|h|cu)', word) and word.split('/')[0] not in TOP
        places = (root / 'src' / word, root / 'include' / 'sgrpo' / word)  # of another room
        if is_file and not any(is_named(file, word) for file in files) and not any(place.exists() for place in places):
            yield f'{readme.relative_to(root)}:{number} -> the room has no {word}'
    for file in sorted(files):
        if file.suffix == '.cpp' and not any(is_named(file, word) for word in named):
            yield f'{readme.relative_to(root)} -> does not say what {file.as_posix()} is for'


def check_tour(root, rooms):
    """src/README.md leads through every room, to files that exist."""
    tour = root / 'src' / 'README.md'
    if not tour.exists():
        yield 'src/README.md -> is missing: the rooms in the order in which a row travels'
        return
    text = tour.read_text()
    named = {word for _, word in words(text)}
    for room in rooms:
        if room not in named:
            yield f'src/README.md -> does not lead through {room}'
    for number, word in words(text):
        if re.fullmatch(r'\w+/[\w/]+\.(cpp|h)', word) and word.split('/')[0] in rooms:
            if not (root / 'src' / word).exists() and not (root / 'include/sgrpo' / word).exists():
                yield f'src/README.md:{number} -> {word} does not exist'


def rooms_of(root):
    """Rooms of the include law that the tree has."""
    law = (root / 'scripts' / 'layers.txt').read_text()
    return [room for room in re.findall(r'^room (\w+):', law, re.MULTILINE)
            if (root / 'src' / room).is_dir() or (root / room).is_dir()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', type=pathlib.Path, default=ROOT)
    root = parser.parse_args().root.resolve()
    flags = source_text(root, 'src/cli', {'.cpp', '.h'}) + source_text(root, 'scripts', {'.sh', '.py'})
    fields = {}
    for section, room in SECTIONS.items():
        text = source_text(root, f'include/sgrpo/{room}', {'.h'})
        fields[section] = re.sub(r'visit\(\s*', 'visit(', text)
    rooms = rooms_of(root)
    documents = [root / 'README.md', root / 'third_party' / 'README.md', root / 'kernels' / 'README.md',
                 root / 'src' / 'README.md', *sorted((root / 'src').glob('*/README.md'))]
    documents = [path for path in documents if path.exists()]
    errors = [error for path in documents for error in check(root, path, flags, fields)]
    errors += [error for room in rooms if (root / 'src' / room).is_dir() for error in check_room(root, room)]
    errors += check_tour(root, rooms)
    print('\n'.join(errors) if errors else f'docs: {len(documents)} documents clean')
    return 1 if errors else 0


if __name__ == '__main__':
    sys.exit(main())
