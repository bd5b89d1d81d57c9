#!/usr/bin/env python3
"""Compares `sgrpo tokenize` with the Python package `sentencepiece` on models trained here; prints the count of differences.

    python3 compare_sentencepiece.py [--binary build/release/sgrpo] [--count 5000] [--seed 0]

Models: BPE, unigram, characters; with and without byte fallback, dummy prefix, extra white space and single digits;
every normalisation rule; symbols of the user and control pieces; ChatML tokens behind the pieces, in
tokenizer_config.json or added_tokens.json. `count` strings a model: ids and decoded text. Where a folder adds tokens,
the package is asked for the stretches between them. Exit status 1 if any row differs. None does with package 0.1.97,
the version of the library that the program links; 0.2.3 breaks a tie of two unigram segmentations the other way in about
one string of 50,000.
"""
import argparse
import io
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece

from random_text import WORDS, text

CHATML = ["<|im_start|>", "<|im_end|>", "<|im_start|>user"]
SYMBOLS = dict(user_defined_symbols=["<sep>", "é", "def return"], control_symbols=["<ctl>"])
MODELS = {
    "bpe": dict(model_type="bpe", vocab_size=600),
    "bpe, bytes": dict(model_type="bpe", vocab_size=900, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False),
    "bpe, bytes, no prefix": dict(model_type="bpe", vocab_size=900, byte_fallback=True, normalization_rule_name="identity",
                                  add_dummy_prefix=False, remove_extra_whitespaces=False, split_digits=True, **SYMBOLS),
    "bpe, nmt_nfkc_cf": dict(model_type="bpe", vocab_size=700, normalization_rule_name="nmt_nfkc_cf", add_dummy_prefix=False),
    "bpe, spaces": dict(model_type="bpe", vocab_size=900, byte_fallback=True, normalization_rule_name="identity",
                        remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True, **SYMBOLS),
    "unigram": dict(model_type="unigram", vocab_size=300),
    "unigram, bytes": dict(model_type="unigram", vocab_size=560, byte_fallback=True, normalization_rule_name="identity", **SYMBOLS),
    "unigram, no prefix": dict(model_type="unigram", vocab_size=300, add_dummy_prefix=False, remove_extra_whitespaces=False,
                               normalization_rule_name="nfkc", character_coverage=0.98),
    "unigram, suffix": dict(model_type="unigram", vocab_size=300, treat_whitespace_as_suffix=True, normalization_rule_name="nfkc_cf", **SYMBOLS),
    "characters": dict(model_type="char", vocab_size=200, character_coverage=0.98),
}


def train(options) -> bytes:
    rng = random.Random(0)
    lines = [" ".join(rng.choice(WORDS) for _ in range(9)) for _ in range(400)] + ["    if x:\t1   2"] * 20
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, num_threads=1, hard_vocab_limit=False,
                                             minloglevel=2, **options)
    return out.getvalue()


class Oracle:
    """The package, and added tokens around it."""

    def __init__(self, model: bytes, added: list[str]):
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.size = self.processor.get_piece_size()
        self.added = {content: self.size + i for i, content in enumerate(added)}
        longest_first = sorted(map(re.escape, added), key=len, reverse=True)
        self.cut = re.compile("(" + "|".join(longest_first) + ")") if added else None

    def encode(self, string: str) -> list[int]:
        ids = []
        for part in self.cut.split(string) if self.cut else [string]:
            ids += [self.added[part]] if part in self.added else self.processor.encode(part)
        return ids

    def decode(self, ids: list[int]) -> str:
        out, run, names = "", [], {id: content for content, id in self.added.items()}
        for id in [*ids, None]:
            if id is None or id in names:
                out, run = out + self.processor.decode(run) + names.get(id, ""), []
            else:
                run.append(id)
        return out


def write_folder(folder: Path, model: bytes, oracle: Oracle, old: bool) -> None:
    (folder / "tokenizer.model").write_bytes(model)
    if not oracle.added:
        return
    entries = {str(id): dict(content=content, special=True, normalized=False) for content, id in oracle.added.items()}
    config = dict(eos_token="<|im_end|>") if old else dict(added_tokens_decoder=entries, eos_token="<|im_end|>")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if old:
        (folder / "added_tokens.json").write_text(json.dumps(oracle.added))


def compare(args, name: str, model: bytes, added: list[str], old: bool) -> int:
    oracle = Oracle(model, added)
    rng = random.Random(f"{args.seed} {name}")
    specials = added + ["<s>", "</s>", "<unk>", "<sep>", "<ctl>", "<0x41>", "\u2581", "\u2581the", "<|im_", "def return", "\0", "\x01", "\ufeff", "ﬁ", "①"]
    strings = ["", " ", "\n", "  a  b "] + [text(rng, specials) for _ in range(args.count)]
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), model, oracle, old)
        rows = "".join(json.dumps({"text": s}) + "\n" for s in strings)
        done = subprocess.run([args.binary, "tokenize", "--model", folder], input=rows.encode(), stdout=subprocess.PIPE, check=True)
    got = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(got) == len(strings)
    different = 0
    for string, answer in zip(strings, got):
        ids = oracle.encode(string)
        want = dict(ids=ids, text=oracle.decode(ids))
        if answer != want:
            different += 1
            if different <= 5:
                print(f"{name}: {ascii(string)}\n  expected {ascii(want)}\n  got      {ascii(answer)}")
    print(f"{name}{', added_tokens.json' if old else ', added tokens' if added else ''}: "
          f"{different} of {len(strings)} strings differ, {oracle.size} pieces")
    return different


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/sgrpo")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    different = 0
    for name, options in MODELS.items():
        model = train(options)
        for added, old in (([], False), (CHATML, False), (CHATML, True)):
            different += compare(args, name, model, added, old)
    print(f"{different} strings differ")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
