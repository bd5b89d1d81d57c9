#!/usr/bin/env python3
"""Compares `sgrpo tokenize` with Hugging Face `tokenizers` on random strings and prints the count of differences.

    python3 compare_random.py --tokenizer DIR [--binary build/release/sgrpo] [--count 1000000] [--seed 0]

DIR holds a tokenizer.json. Strings mix scripts, kinds of spaces, combining marks, numbers, special tokens and their
beginnings, and runs of one character up to some thousand times. Ids and decoded text are compared. One row in a hundred is
ill-formed UTF-8, which JSON does not allow: the program must answer it with an error row. Exit status 1 if any row differs.
"""
import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

from tokenizers import Tokenizer

from random_text import text

BATCH = 50000
BROKEN = [b"\xff", b"\x80", b"\xc0\xaf", b"\xe4\xbd", b"\xed\xa0\x80", b"\xf0\x9f\x99", b"\xf4\x90\x80\x80"]


def long_run(rng: random.Random, specials: list[str]) -> str:
    unit = rng.choice(["a", " ", "\n", "0", "=", "é", "你", "\u0301", "ab", " \n", "<", "🙂", rng.choice(specials or ["x"])])
    return text(rng, specials) + unit * rng.randint(50, 3000) + text(rng, specials)


def row(rng: random.Random, specials: list[str]) -> tuple[str | None, bytes]:
    """The string (none if it is ill-formed) and its JSON line."""
    kind = rng.random()
    if kind < 0.01:
        good = json.dumps(text(rng, specials)).encode()
        return None, b'{"text": ' + good[:-1] + rng.choice(BROKEN) + b'"}'
    string = long_run(rng, specials) if kind < 0.015 else text(rng, specials)
    return string, json.dumps({"text": string}, ensure_ascii=rng.random() < 0.5).encode()


def batches(args, specials):
    rng, left = random.Random(args.seed), args.count
    while left > 0:
        yield [row(rng, specials) for _ in range(min(BATCH, left))]
        left -= BATCH


def run(args, lines: list[bytes]) -> list[dict]:
    command = [args.binary, "tokenize", "--model", str(args.tokenizer)]
    done = subprocess.run(command, input=b"\n".join(lines) + b"\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode not in (0, 2):
        sys.exit(f"exit code {done.returncode}: {done.stderr.decode()}")
    got = [json.loads(line) for line in done.stdout.splitlines()]
    if len(got) != len(lines):
        sys.exit(f"{len(got)} rows for {len(lines)} strings: {done.stderr.decode()[-1000:]}")
    return got


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--binary", default="build/release/sgrpo")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    oracle = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    added = [t.content for t in oracle.get_added_tokens_decoder().values()]
    specials = added + [t[:-1] for t in added] + [t.upper() for t in added]
    compared = different = broken = 0
    for rows in batches(args, specials):
        got = run(args, [line for _, line in rows])
        strings = [string for string, _ in rows if string is not None]
        expected = iter(oracle.encode_batch(strings, add_special_tokens=False))
        for (string, line), answer in zip(rows, got):
            compared += 1
            if string is None:
                broken += 1
                want, equal = "an error row", "ill-formed UTF-8" in answer.get("error", "")
            else:
                ids = next(expected).ids
                want = dict(ids=ids, text=oracle.decode(ids, skip_special_tokens=False))
                equal = answer == want
            if not equal:
                different += 1
                if different <= 10:
                    print(f"{ascii(line)[:500]}\n  expected {ascii(want)[:500]}\n  got      {ascii(answer)[:500]}")
    print(f"{different} of {compared} strings differ ({broken} of them ill-formed)")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
