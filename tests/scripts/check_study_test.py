"""check_study.py on a made-up quickstart folder: holds when the figures do, fails by name when one does not."""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def safetensors(values):
    data = struct.pack(f'<{len(values)}f', *values)
    header = json.dumps({'w': {'dtype': 'F32', 'shape': [len(values)], 'data_offsets': [0, len(data)]}}).encode()
    return struct.pack('<Q', len(header)) + header + data


def make_folder(root, sgrpo_target=0.96, grpo_weight=1.0, grpo_status='incorrect'):
    def write(path, content):
        path = root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def metrics(injected_first, injected_last, all_pass):
        rows = [{'step': 0, 'val/choose/pass@1': 0.0}]
        for step in range(1, 201):
            rows.append({'step': step, 'reward': 0.5, 'entropy': 1.0, 'group/frac_all_fail': 0.1, 'group/frac_mixed': 0.2,
                         'group/frac_all_pass': all_pass, 'val/choose/pass@1': 0.9,
                         'cgi/injected_frac': injected_first if step <= 20 else injected_last})
        return '\n'.join(map(json.dumps, rows)) + '\n'

    def evaluation(target):
        scores = {f'val/{split}/pass@1': target for split in ('target', 'other_phrasing', 'shifted')}
        return json.dumps({**scores, 'val/retention/macro': 0.92, 'val/retention_held/macro': 0.7})

    write('grpo/metrics.jsonl', metrics(0.0, 0.0, 0.0))
    write('sgrpo/metrics.jsonl', metrics(1.0, 0.02, 0.75))
    write('grpo/completions/step-000001.jsonl', json.dumps({'origin': 'sampled', 'status': grpo_status}) + '\n')
    write('grpo/checkpoints/latest/model/model.safetensors', safetensors([grpo_weight]))
    write('base_stage2/checkpoints/latest/model/model.safetensors', safetensors([1.0]))
    write('eval/caption_base_rate-base_stage2.json', json.dumps({'val/base_rate/pass@1': 0.0}))
    for name, target in (('base_stage2', 0.0), ('grpo', 0.0), ('sgrpo', sgrpo_target)):
        write(f'eval/caption_eval-{name}.json', evaluation(target))


class CheckStudy(unittest.TestCase):
    def check(self, **figures):
        with tempfile.TemporaryDirectory() as folder:
            make_folder(pathlib.Path(folder), **figures)
            done = subprocess.run([sys.executable, '-B', ROOT / 'scripts' / 'check_study.py', folder],
                                  capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def test_good_figures_hold(self):
        status, output = self.check()
        self.assertEqual(status, 0, output)
        self.assertIn('all criteria hold', output)

    def test_low_target_accuracy_fails_by_name(self):
        status, output = self.check(sgrpo_target=0.91)
        self.assertEqual(status, 1)
        self.assertIn('FAIL 3 S-GRPO target accuracy at the end >= 0.93: 0.910', output)
        self.assertIn('1 criteria fail', output)

    def test_moved_weights_without_a_success_fail(self):
        status, output = self.check(grpo_weight=1.0000001)
        self.assertEqual(status, 1)
        self.assertIn('bit by bit: different', output)

    def test_sampled_success_asserts_nothing_about_grpo(self):
        status, output = self.check(grpo_weight=2.0, grpo_status='correct')
        self.assertEqual(status, 0, output)
        self.assertIn('nothing asserted', output)

    def test_unfinished_folder_is_a_usage_error(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, '-B', ROOT / 'scripts' / 'check_study.py', folder],
                                  capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn('not a finished quickstart', done.stderr)


if __name__ == '__main__':
    unittest.main()
