"""gpu_check.sh over a made-up device and binary that pass, lie, fail or hang: each check can fail, and is named then."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# $FAULTS holds words: what the binary gets wrong. Counts of earlier calls lie beside it.
SGRPO = r"""#!/bin/bash
has() { [[ " $FAULTS " == *" $1 "* ]]; }
count() { echo >>"$0.$1"; wc -l <"$0.$1"; }
command=$1 device=cpu dtype=float32 folder= output=
for ((i = 1; i <= $#; ++i)); do
  next=$((i + 1))
  case ${!i} in
    --device) device=${!next} ;;
    --output) output=${!next} ;;
    --dtype) dtype=${!next} ;;
    output_dir=*) folder=${!i#*=} ;;
    data.train=*) [ "$(wc -l <"${!i#*=}")" = 12 ] || exit 9 ;;
  esac
done
has "fail_$command" && { echo "made-up failure of $command"; exit 3; }
has "hang_$command" && [ "$device" = cuda ] && sleep 300
case $command in
  init) mkdir -p "$output" ;;
  doctor)
    printf '  device:               %s\n' "$(has no_use && echo cpu || echo cuda)"
    printf '  cuda_devices:         %s\n' "$(has no_device && echo 0 || echo 1)" ;;
  logprobs | generate)
    value=-1.25 ids='[5, 2]'
    has "off_$command" && [ "$device $dtype" = "cuda float32" ] && value=-1.251
    has "unsteady_$command" && [ "$device $dtype" = "cuda float32" ] && value=-1.2500$(count logprobs)
    has nan_bfloat16 && [ "$dtype" = bfloat16 ] && value=NaN
    has other_tokens && [ "$device $command" = "cuda generate" ] && ids='[6, 2]'
    echo "{\"id\": \"a\", \"completion_ids\": $ids, \"logprobs\": [-0.5, $value]}" >"$output" ;;
  train)
    mkdir -p "$folder/checkpoints/latest/model"
    has unsteady_weights && count train
    (has unsteady_weights && wc -l <"$0.train"; echo weights) >"$folder/checkpoints/latest/model/model.safetensors" ;;
esac
exit 0
"""


class GpuCheck(unittest.TestCase):
    def run_script(self, faults='', gpu=True, limit=60):
        """(exit code, output, names of the checks that failed) over a binary with these faults."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, text in (('sgrpo', SGRPO), ('nvidia-smi', '#!/bin/sh\n' + ('echo made-up' if gpu else 'exit 9'))):
                (folder / name).write_text(text)
                (folder / name).chmod(0o755)
            report = folder / 'checks.jsonl'
            done = subprocess.run(
                [ROOT / 'scripts/gpu_check.sh', '--limit', str(limit), '--json', report, folder / 'sgrpo'],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}', 'FAULTS': faults})
            checks = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
        printed = re.findall(r'^FAIL +(.*?) +\d+ s ', done.stdout, re.MULTILINE)
        self.assertEqual(printed, [check['check'] for check in checks if not check['ok']])
        return done.returncode, done.stdout, printed

    def test_passes_on_a_right_device(self):
        code, output, failed = self.run_script()
        self.assertEqual((code, failed), (0, []), output)
        self.assertIn('gpu_check: all checks passed', output)

    def test_finds_lies(self):
        code, output, failed = self.run_script(
            'no_device off_logprobs unsteady_weights other_tokens nan_bfloat16')
        self.assertEqual(code, 1, output)
        self.assertEqual(failed, ['binary loads; doctor names the GPU', 'CPU and GPU log-probs agree within 1e-4',
                                  'greedy completions and log-probs agree', 'bfloat16 stays within 0.05 of float32',
                                  'two GPU runs give the same weights'])
        self.assertIn('gpu_check: 5 checks failed', output)
        failed = self.run_script('no_use unsteady_logprobs off_generate')[2]
        self.assertEqual(failed, ['binary loads; doctor names the GPU', 'two GPU runs give the same bits',
                                  'greedy completions and log-probs agree'])

    def test_shows_what_a_failing_command_says(self):
        code, output, failed = self.run_script('fail_train fail_doctor')
        self.assertEqual(code, 1)
        self.assertEqual(failed, ['binary loads; doctor names the GPU', 'three S-GRPO steps on the GPU',
                                  'three S-GRPO steps on the GPU again', 'two GPU runs give the same weights'])
        self.assertIn('      made-up failure of train', output)
        self.assertIn('(exit 3)', output)

    def test_stops_what_hangs(self):
        code, output, failed = self.run_script('hang_generate', limit=4)
        self.assertEqual(code, 1)
        self.assertEqual(failed, ['greedy generation on the GPU', 'greedy completions and log-probs agree'])
        self.assertIn('(stopped after 4 s)', output)

    def test_says_that_there_is_no_gpu(self):
        code, output, _ = self.run_script(gpu=False)
        self.assertEqual(code, 2)
        self.assertIn('gpu_check: no GPU here', output)


if __name__ == '__main__':
    unittest.main()
