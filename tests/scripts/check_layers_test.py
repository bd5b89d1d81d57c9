"""check_layers.py: a clean tree passes, every kind of offence is named with its place."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class CheckLayers(unittest.TestCase):
    def check(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            law = (ROOT / 'scripts' / 'layers.txt').read_text()
            for name, text in {'scripts/layers.txt': law, **files}.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run([sys.executable, '-B', ROOT / 'scripts' / 'check_layers.py', '--root', root],
                                  capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def refuses(self, files, message):
        status, output = self.check(files)
        self.assertEqual(status, 1, output)
        self.assertIn(message, output)

    def test_clean_tree_passes(self):
        status, output = self.check({'include/sgrpo/data/a.h': '#include "sgrpo/image/b.h"\n#include <vector>\n'})
        self.assertEqual((status, output), (0, 'layers: clean\n'))

    def test_upward_include_is_named_with_file_and_line(self):
        self.refuses({'include/sgrpo/model/a.h': '#include <vector>\n#include "sgrpo/data/rows.h"\n'},
                     'include/sgrpo/model/a.h:2 -> sgrpo/data/rows.h (model may not include data)')

    def test_a_file_of_the_law_looks_further_and_its_room_does_not(self):
        text = '#include "sgrpo/model/options.h"\n'
        status, output = self.check({'include/sgrpo/trainer/run_config.h': text})
        self.assertEqual((status, output), (0, 'layers: clean\n'))
        self.refuses({'src/trainer/update.cpp': text}, 'src/trainer/update.cpp:1 -> sgrpo/model/options.h')

    def test_private_header_of_another_room_counts(self):
        self.refuses({'src/verifier/a.h': '#include "model/attention.h"\n'}, 'verifier may not include model')

    def test_third_party_header_outside_its_home_is_refused(self):
        self.refuses({'include/sgrpo/data/a.h': '#include <opencv2/core.hpp>\n'},
                     'opencv2/core.hpp (allowed in: image)')

    def test_torch_h_is_refused_everywhere_tests_included(self):
        self.refuses({'tests/core/a_test.cpp': '#include <torch/torch.h>\n'}, 'torch/torch.h (allowed in: nowhere)')

    def test_tensors_in_torch_free_code_are_refused(self):
        self.refuses({'include/sgrpo/types/verdict.h': '#include <ATen/core/Tensor.h>\n'}, '(torch-free code)')

    def test_kernels_see_no_project_header(self):
        self.refuses({'kernels/foo/foo.cu': '#include <cuda_runtime.h>\n#include "sgrpo/core/check.h"\n'},
                     'kernels/foo/foo.cu:2')

    def test_an_option_that_is_text_is_refused(self):
        self.refuses({'include/sgrpo/optim/options.h': 'struct O {\n  std::string schedule = "linear";\n};\n'},
                     'include/sgrpo/optim/options.h:2 -> option schedule is text')
        self.refuses({'include/sgrpo/data/options.h': '  std::optional<std::string> image_dir, other;\n'
                                                      '  std::vector<std::string> names;\n'},
                     'options.h:2 -> option names is text')

    def test_an_option_compared_as_a_string_is_refused(self):
        self.refuses({'include/sgrpo/optim/a.h': 'if (options_.schedule == "linear") {}\n'},
                     'include/sgrpo/optim/a.h:1 -> option schedule is compared as a string')

    def test_long_file_is_refused(self):
        self.refuses({'include/sgrpo/core/a.h': '\n' * 601}, '601 lines, at most 600')

    def test_room_without_readme_is_refused(self):
        self.refuses({'src/optim/a.cpp': '', 'src/optim/CMakeLists.txt': 'sgrpo_room(optim ROOMS core)\n'},
                     'src/optim/README.md:1 -> missing')

    def test_forbidden_link_is_refused(self):
        self.refuses({'src/optim/a.cpp': '', 'src/optim/README.md': 'in, out\n',
                      'src/optim/CMakeLists.txt': 'sgrpo_room(optim TORCH ROOMS core model)\n'},
                     'links model, which optim may not include')

    def test_cycle_in_the_law_is_refused(self):
        status, output = self.check({'scripts/layers.txt': 'room a: b\nroom b: a\n'})
        self.assertNotEqual(status, 0)
        self.assertIn('cycle a -> b -> a', output)


if __name__ == '__main__':
    unittest.main()
