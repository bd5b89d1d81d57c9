#!/usr/bin/env python3
"""Makes the small tokenizers of this folder and what `tokenizers` computes with them.

    python3 make_cases.py        # tokenizers 0.23; rewrites qwen/, hub/, plain/, gpt2/, smollm2/ and cases.jsonl

qwen: as Qwen2.5 (NFC, its split), merges as pairs. hub: the same in old files (merges as strings, vocab.json, merges.txt,
tokenizer_config.json). plain: ByteLevel alone, no merges. gpt2: ByteLevel with a space in front, ignore_merges, and added
tokens with every option. smollm2: as SmolLM2 (every digit by itself, then ByteLevel with its own expression; special tokens
first). A row is {"tokenizer", "text", "ids"}, {"tokenizer", "bytes" (hexadecimal, ill-formed UTF-8), "ids"} or, for decoding,
{"tokenizer", "ids", "decoded", "skipped"}.
"""
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from random_text import WORDS, text

HERE = Path(__file__).parent
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
OPTIONS = [
    AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
    AddedToken("<both>", lstrip=True, rstrip=True, special=True, normalized=False), AddedToken("word", single_word=True, normalized=False),
    AddedToken("<a>", normalized=False), AddedToken("<a><b>", normalized=False), AddedToken("<é>", normalized=True),
    AddedToken("two words", normalized=True), AddedToken("ſ", single_word=True, normalized=False),
]


# Numbers of every kind, the two ranges of Unicode 17 included: Rust's own tables are younger than the expressions'.
NUMBERS = ["\u0661\u0662", "x\u00b2", "\u00bd", "\u2167", "\u4e09", "\U00011de0", "\U00016ff4\U00016ff6", "\U00010d40", "3.14", " 2026", "1 2", "7th"]


def train(pre_tokenizer, normalizer, specials=()) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=520, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False,
                                  special_tokens=list(specials))
    rng = random.Random(0)
    lines = [" ".join(rng.choice(WORDS) for _ in range(9)) for _ in range(300)] + ["a" * n for n in (2, 4, 8, 16, 32)] * 20
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.decoder, tokenizer.post_processor = decoders.ByteLevel(), processors.ByteLevel(trim_offsets=False)
    return tokenizer


def build() -> dict[str, Tokenizer]:
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN), "isolated"),
                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    qwen = train(split, normalizers.NFC())
    qwen.add_special_tokens(SPECIALS)
    qwen.add_tokens([AddedToken(t, normalized=False) for t in ("<tool_call>", "</tool_call>", "<|im_start|>x")])
    plain = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[]))
    plain.normalizer, plain.pre_tokenizer = normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens(SPECIALS)
    gpt2 = train(pre_tokenizers.ByteLevel(add_prefix_space=True), None)
    raw = json.loads(gpt2.to_str())
    raw["model"]["ignore_merges"] = True
    # Tokens that no merge makes: only ignore_merges finds them.
    size = len(raw["model"]["vocab"])
    raw["model"]["vocab"].update({"Ġunmerged": size, "Ġwhole": size + 1})
    gpt2 = Tokenizer.from_str(json.dumps(raw))
    gpt2.add_tokens(OPTIONS)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    smollm2 = train(digits, None, SPECIALS)
    smollm2.post_processor = None
    return {"qwen": qwen, "plain": plain, "gpt2": gpt2, "smollm2": smollm2}


def broken(rng: random.Random) -> bytes:
    """Text with bytes cut, added or changed."""
    raw = bytearray(text(rng, SPECIALS).encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw) + 1)
        raw[at:at + rng.randint(0, 2)] = bytes(rng.choice(b"\x80\xbf\xc0\xc3\xe0\xed\xa0\xe4\xf0\xf4\x90\xf5\xff") for _ in range(rng.randint(0, 2)))
    return bytes(raw)


def save(name: str, tokenizer: Tokenizer) -> None:
    (HERE / name).mkdir(exist_ok=True)
    (HERE / name / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")


def save_hub(tokenizer: Tokenizer) -> None:
    folder = HERE / "hub"
    folder.mkdir(exist_ok=True)
    raw = json.loads(tokenizer.to_str())
    merges = [" ".join(pair) for pair in raw["model"]["merges"]]
    raw["model"]["merges"] = merges
    write = lambda file, value: (folder / file).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    write("tokenizer.json", raw)
    write("vocab.json", raw["model"]["vocab"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    added = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in raw["added_tokens"]}
    write("tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": False, "added_tokens_decoder": added})


def main() -> None:
    tokenizers = build()
    rows = []
    for name, tokenizer in tokenizers.items():
        save(name, tokenizer)
        rng = random.Random(name)
        specials = ([t.content for t in OPTIONS] + ["<e\u0301>", " word ", "  <left>", "<right>  ", "<both>\n", "wordy", "sword", "unmerged", " whole"]
                    if name == "gpt2" else SPECIALS + NUMBERS if name == "smollm2" else SPECIALS + ["<|im_start|>x", "<|im_start", "<|IM_END|>", "<tool_call>"])
        texts = ["", " ", "a" * 300, "word", " word", "<a><b><a>"] + [text(rng, specials) for _ in range(250)]
        for t in texts:
            rows.append(dict(tokenizer=name, text=t, ids=tokenizer.encode(t, add_special_tokens=False).ids))
        for _ in range(60):
            ids = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randint(1, 10))]
            rows.append(dict(tokenizer=name, ids=ids, decoded=tokenizer.decode(ids, skip_special_tokens=False),
                             skipped=tokenizer.decode(ids, skip_special_tokens=True)))
    rng = random.Random("broken")
    for raw in (broken(rng) for _ in range(100)):
        rows.append(dict(tokenizer="qwen", bytes=raw.hex(), ids=tokenizers["qwen"].encode(raw.decode(errors="replace"), add_special_tokens=False).ids))
    save_hub(tokenizers["qwen"])
    (HERE / "cases.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    print(len(rows), "rows")


if __name__ == "__main__":
    main()
