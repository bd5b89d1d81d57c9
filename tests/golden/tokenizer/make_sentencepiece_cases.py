#!/usr/bin/env python3
"""Trains two small SentencePiece models and records what the Python package computes -> sentencepiece_cases.jsonl.

    python3 make_sentencepiece_cases.py        # sentencepiece 0.2

bpe: byte fallback, text kept as it is. unigram: unknown characters, extra white space removed. A row is
{"model", "text", "ids", "decoded"}; texts hold no control piece and no added token.
"""
import io
import json
import random
from pathlib import Path

import sentencepiece

from random_text import WORDS, text

HERE = Path(__file__).parent
MODELS = {
    "bpe": dict(model_type="bpe", vocab_size=600, byte_fallback=True, remove_extra_whitespaces=False),
    "unigram": dict(model_type="unigram", vocab_size=180, character_coverage=0.98),
}


def main() -> None:
    rng = random.Random(0)
    lines = [" ".join(rng.choice(WORDS) for _ in range(9)) for _ in range(400)]
    rows = []
    for name, options in MODELS.items():
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, normalization_rule_name="identity",
                                                 num_threads=1, **options)
        folder = HERE / f"sentencepiece_{name}"
        folder.mkdir(exist_ok=True)
        (folder / "tokenizer.model").write_bytes(out.getvalue())
        processor = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
        rng = random.Random(name)
        for t in ["", " ", "  a  b ", "\n", "aaaa" * 20] + [text(rng, []) for _ in range(150)]:
            ids = processor.encode(t)
            rows.append(dict(model=name, text=t, ids=ids, decoded=processor.decode(ids)))
    (HERE / "sentencepiece_cases.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    print(len(rows), "rows")


if __name__ == "__main__":
    main()
