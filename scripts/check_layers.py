#!/usr/bin/env python3
"""Checks the include law of scripts/layers.txt and the sizes that keep files readable.

Prints `file:line -> what is wrong` and exits 1 when anything is. `--root DIR` checks another tree (tests).
"""
import argparse
import pathlib
import re
import sys

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
TORCH = re.compile(r'(torch|ATen|c10)/')
MAX_LINES, MAX_KERNEL_LINES, MAX_README_LINES = 600, 800, 25
UNFINISHED = re.compile(r'\b(TODO|FIXME|XXX)\b')
TEXT_MEMBER = re.compile(r'^  std::(?:string|(?:optional|vector|map)<std::string.*>) (\w+)\b(?!\()')
OPTION_TEXT = re.compile(r'\b(model|data|rollout|verifier|injection|algorithm|optim|trainer|eval|distributed|options_?|config)'
                         r'\.(\w+)(\.name\(\))? *[!=]= *"')
LONG_README = {'algorithm'}  # its README is the index of papers


class Law:
    """layers.txt: who may include what."""

    def __init__(self, path):
        self.rooms, self.headers, self.torch_free, self.torch_free_files, self.kernel_headers = {}, {}, set(), set(), []
        self.text_options, self.files = {}, {}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            words = line.split('#')[0].split()
            if not words:
                continue
            kind, rest = words[0], words[1:]
            if kind == 'room':
                self.rooms[rest[0].rstrip(':')] = set(rest[1:])
            elif kind == 'file':
                self.files[rest[0].rstrip(':')] = set(rest[1:])
            elif kind == 'header':
                self.headers[rest[0].rstrip(':')] = set(rest[1:]) - {'-'}
            elif kind == 'torchfree':
                self.torch_free |= set(rest)
            elif kind == 'torchfree-file':
                self.torch_free_files |= set(rest)
            elif kind == 'text-option':
                self.text_options[rest[0].rstrip(':')] = set(rest[1:])
            elif kind == 'kernel-header':
                self.kernel_headers += rest
            else:
                raise SystemExit(f'{path}:{number}: unknown word {kind!r}')
        self._check_names(path)
        self._check_cycles(path)

    def _check_names(self, path):
        for room, allowed in self.rooms.items():
            for unknown in allowed - set(self.rooms):
                raise SystemExit(f'{path}: room {room} may include {unknown}, which is no room')

    def _check_cycles(self, path):
        done, trail = set(), []

        def visit(room):
            if room in trail:
                raise SystemExit(f'{path}: cycle {" -> ".join(trail[trail.index(room):] + [room])}')
            if room in done:
                return
            trail.append(room)
            for other in sorted(self.rooms[room]):
                visit(other)
            done.add(trail.pop())

        for room in self.rooms:
            visit(room)


class Checker:
    def __init__(self, root):
        self.root, self.law, self.errors = root, Law(root / 'scripts' / 'layers.txt'), []

    def error(self, path, line, text):
        self.errors.append(f'{path.relative_to(self.root)}:{line} -> {text}')

    def run(self):
        for folder in ('include', 'src', 'kernels', 'tests'):
            for path in sorted((self.root / folder).rglob('*')):
                if path.suffix in ('.h', '.cpp', '.cu', '.cuh'):
                    self.check_source(path)
        for path in sorted((self.root / 'scripts').rglob('*')):
            if path.suffix in ('.py', '.sh', '.cmake'):
                self.check_size(path, path.read_text().splitlines(), MAX_LINES)
        for room in sorted(self.law.rooms):
            self.check_room(room)
        return self.errors

    def room_of(self, path):
        """The room whose law holds for a file; None for tests, which may include anything but torch/torch.h."""
        parts = path.relative_to(self.root).parts
        return {'include': parts[2], 'src': parts[1], 'kernels': 'kernels', 'tests': None}[parts[0]]

    def check_source(self, path):
        room = self.room_of(path)
        lines = path.read_text(encoding='utf-8').splitlines()
        if room is not None and room not in self.law.rooms:
            self.error(path, 1, f'{room} is no room of scripts/layers.txt')
            return
        self.check_size(path, lines, MAX_KERNEL_LINES if room == 'kernels' else MAX_LINES)
        is_options = path.name in ('options.h', 'run_config.h') and path.is_relative_to(self.root / 'include')
        for number, line in enumerate(lines, 1):
            if UNFINISHED.search(line):
                self.error(path, number, 'unfinished work left in the text')
            self.check_text_option(path, number, room, line, is_options)
            match = INCLUDE.match(line)
            if match:
                self.check_include(path, number, room, match.group(2), match.group(1) == '<')

    def check_text_option(self, path, number, room, line, is_options):
        """Options are types: text members of options need an entry in the law, comparisons have none."""
        member = TEXT_MEMBER.match(line) if is_options else None
        if member and member.group(1) not in self.law.text_options.get(room, ()):
            self.error(path, number, f'option {member.group(1)} is text: make it an enumeration or a Choice')
        if room not in (None, 'config') and OPTION_TEXT.search(line):
            self.error(path, number, f'option {OPTION_TEXT.search(line).group(2)} is compared as a string')

    def check_size(self, path, lines, limit):
        if len(lines) > limit:
            self.error(path, len(lines), f'{len(lines)} lines, at most {limit}')

    def check_include(self, path, number, room, header, is_angled):
        for prefix, homes in self.law.headers.items():
            if header.startswith(prefix) and room not in homes and (room is not None or not homes):
                where = ', '.join(sorted(homes)) or 'nowhere'
                self.error(path, number, f'{header} (allowed in: {where})')
        if room is None:
            return
        is_free = room in self.law.torch_free or str(path.relative_to(self.root)) in self.law.torch_free_files
        if is_free and TORCH.match(header):
            self.error(path, number, f'{header} (torch-free code)')
        if room == 'kernels':
            self.check_kernel_include(path, number, header, is_angled)
            return
        other = self.room_of_header(header, is_angled)
        allowed = self.law.rooms[room] | self.law.files.get(str(path.relative_to(self.root)), set())
        if other and other != room and other not in allowed:
            self.error(path, number, f'{header} ({room} may not include {other})')

    def room_of_header(self, header, is_angled):
        """"sgrpo/<room>/x.h", "kernels/x.h", and private "<room>/x.h" of src/."""
        parts = header.split('/')
        if parts[0] == 'sgrpo' and len(parts) > 2:
            return parts[1]
        if not is_angled and len(parts) > 1 and parts[0] in self.law.rooms:
            return parts[0]
        return None

    def check_kernel_include(self, path, number, header, is_angled):
        is_standard = is_angled and re.fullmatch(r'[a-z_0-9]+', header)
        is_cuda = any(header.startswith(prefix) for prefix in self.law.kernel_headers)
        is_own = not is_angled and not header.startswith(('sgrpo/', 'torch/', 'ATen/', 'c10/'))
        if not (is_standard or is_cuda or is_own):
            self.error(path, number, f'{header} (kernels see standard and CUDA headers only)')

    def check_room(self, room):
        folder = self.root / ('kernels' if room == 'kernels' else f'src/{room}')
        if not any(path.suffix in ('.cpp', '.cu') for path in folder.rglob('*')):
            return
        readme = folder / 'README.md'
        if not readme.exists():
            self.error(readme, 1, 'missing: what enters the room, what leaves it')
        elif room not in LONG_README:
            self.check_size(readme, readme.read_text().splitlines(), MAX_README_LINES)
        cmake = folder / 'CMakeLists.txt'
        if not cmake.exists():
            self.error(cmake, 1, 'missing: sgrpo_room(...)')
            return
        linked = set()
        for rooms in re.findall(r'sgrpo_room\(\w+[^)]*?ROOMS\s+([\w\s]*?)(?:\s(?:LIBRARIES|SOURCES)|\))', cmake.read_text()):
            linked |= {other.removesuffix('_plain') for other in rooms.split()}  # x_plain: x without its tensors
        for other in sorted(linked - self.law.rooms[room] - {room}):
            self.error(cmake, 1, f'links {other}, which {room} may not include')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    errors = Checker(parser.parse_args().root.resolve()).run()
    print('\n'.join(errors) if errors else 'layers: clean')
    return 1 if errors else 0


if __name__ == '__main__':
    sys.exit(main())
