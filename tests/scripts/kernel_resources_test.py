"""kernel_resources.sh with a made-up nvcc: passes without spills, fails by name with one, and when a hot kernel is gone."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'kernel_resources.sh'

# Says for every __global__ function of the file what the assembler says; $SPILLS names one that spills in double and
# float, $GONE one that it leaves out.
NVCC = r"""#!/usr/bin/env python3
import os, pathlib, re, sys
source = pathlib.Path(sys.argv[sys.argv.index('-c') + 1])
for kernel in re.findall(r'(\w+_kernel|\bkernel)\(', source.read_text()):
    if kernel == os.environ.get('GONE'):
        continue
    for kind, spilled in ('float', os.environ.get('SPILLS') == kernel), ('double', os.environ.get('SPILLS_IN_DOUBLE') == kernel):
        for target in 'sm_80', 'sm_90a':
            print(f"ptxas info    : Compiling entry function 'void {kernel}<4, {kind}>(int)' for '{target}'")
            print(f"ptxas info    : Function properties for {kernel}")
            print(f"    8 bytes stack frame, {8 * spilled} bytes spill stores, {4 * spilled} bytes spill loads")
            print("ptxas info    : Used 40 registers, used 1 barriers, 32 bytes smem")
"""


class KernelResources(unittest.TestCase):
    def run_script(self, **environment):
        with tempfile.TemporaryDirectory() as folder:
            nvcc = pathlib.Path(folder) / 'nvcc'
            nvcc.write_text(NVCC)
            nvcc.chmod(0o755)
            return subprocess.run([SCRIPT], capture_output=True, text=True,
                                  env={**os.environ, 'NVCC': str(nvcc), **environment})

    def test_passes_without_spills(self):
        done = self.run_script(SPILLS_IN_DOUBLE='backward_query_kernel')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(re.search(r'^rms_norm_cuda\.cu +sm_90a +40 +0 +32  void rms_norm_forward_kernel<4, float>$',
                                  done.stdout, re.MULTILINE), done.stdout)
        self.assertTrue(re.search(r' 12 +32  void backward_query_kernel<4, double>$', done.stdout, re.MULTILINE))

    def test_names_a_hot_kernel_that_spills(self):
        done = self.run_script(SPILLS='swiglu_forward_kernel')
        self.assertEqual(done.returncode, 1)
        self.assertIn('swiglu_forward_kernel of elementwise_cuda.cu spills registers on sm_80', done.stderr)

    def test_names_a_hot_kernel_that_is_gone(self):
        done = self.run_script(GONE='rotate_kernel')
        self.assertEqual(done.returncode, 1)
        self.assertIn('rotate_kernel of elementwise_cuda.cu is not there for sm_90a', done.stderr)

    def test_asks_for_nvcc(self):
        done = subprocess.run([SCRIPT], capture_output=True, text=True, env={**os.environ, 'NVCC': '/nowhere/nvcc'})
        self.assertEqual((done.returncode, done.stderr), (2, 'kernel_resources: no nvcc: set NVCC or CUDA_HOME\n'))


if __name__ == '__main__':
    unittest.main()
