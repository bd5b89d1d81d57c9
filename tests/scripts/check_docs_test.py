"""check_docs.py: a true tree passes; files, keys, flags and rooms that are not there are named with their place."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TREE = {'scripts/layers.txt': 'room core:\nroom data: core\nroom later: core\n',
        'README.md': 'Set `data.shuffle`, see `src/data/rows.cpp`, call `sgrpo lint --data F`.\n',
        'include/sgrpo/data/options.h': 'visit("shuffle", shuffle);\n',
        'src/cli/lint.cpp': '// --data\n',
        'src/core/README.md': '`text.h`\n',
        'src/core/text.cpp': '',
        'src/core/text.h': '',
        'src/data/README.md': '`rows` reads, `png_*.cpp` decode, `part/` has the rest, `core/text.h` helps.\n',
        'src/data/rows.cpp': '',
        'src/data/png_a.cpp': '',
        'src/data/part/one.cpp': '',
        'src/README.md': '| `core` | `core/text.cpp` |\n| `data` | `data/rows.cpp` |\n'}


class CheckDocs(unittest.TestCase):
    def check(self, changed):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {**TREE, **changed}.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run([sys.executable, '-B', ROOT / 'scripts' / 'check_docs.py', '--root', root],
                                  capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def refuses(self, changed, *messages):
        self.assertEqual(self.check(changed), (1, ''.join(message + '\n' for message in messages)))

    def test_true_documents_pass(self):
        self.assertEqual(self.check({}), (0, 'docs: 4 documents clean\n'))

    def test_paths_keys_and_flags_must_exist(self):
        self.refuses({'README.md': 'x\n`src/data/gone.cpp` `data.shufle` `--dta`\n'},
                     'README.md:2 -> src/data/gone.cpp does not exist',
                     'README.md:2 -> data has no key shufle',
                     'README.md:2 -> no command knows --dta')
        self.refuses({'src/data/README.md': TREE['src/data/README.md'] + '`data.shufle`\n'},
                     'src/data/README.md:2 -> data has no key shufle')

    def test_files_of_a_room_are_those_that_its_readme_names(self):
        self.refuses({'src/data/README.md': TREE['src/data/README.md'] + '`lines.cpp` `jpeg_*.cpp`\n'},
                     'src/data/README.md:2 -> the room has no lines.cpp',
                     'src/data/README.md:2 -> the room has no jpeg_*.cpp')
        self.refuses({'src/data/new.cpp': '', 'src/data/other/one.cpp': ''},
                     'src/data/README.md -> does not say what new.cpp is for',
                     'src/data/README.md -> does not say what other/one.cpp is for')
        self.refuses({'src/later/a.cpp': '', 'src/README.md': TREE['src/README.md'] + '`later`\n'},
                     'src/later -> has no README.md')

    def test_the_way_of_a_row_leads_through_every_room(self):
        self.refuses({'src/README.md': '| `core` | `core/gone.cpp` |\n'},
                     'src/README.md -> does not lead through data',
                     'src/README.md:1 -> core/gone.cpp does not exist')


if __name__ == '__main__':
    unittest.main()
