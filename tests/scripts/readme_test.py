"""README.md: its C++ examples compile with the house warnings."""
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ['-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', '-Wshadow', '-Wconversion', '-Wno-sign-conversion',
         '-Werror', f'-I{ROOT}/include', f'-I{ROOT}/src']


class Readme(unittest.TestCase):
    def test_every_cpp_block_compiles(self):
        blocks = re.findall(r'^```cpp\n(.*?)^```', (ROOT / 'README.md').read_text(), re.DOTALL | re.MULTILINE)
        self.assertTrue(blocks)
        for block in blocks:
            with tempfile.NamedTemporaryFile('w', suffix='.cpp') as file:
                file.write(block)
                file.flush()
                done = subprocess.run(['g++', *FLAGS, file.name], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == '__main__':
    unittest.main()
