#!/usr/bin/env python3
"""The published Qwen vocabulary, from `qwen.tiktoken` of the PyPI package dashscope, as a folder with tokenizer.json.

    pip install dashscope tokenizers
    python3 published_vocabulary.py --out DIR [--tiktoken FILE]
    python3 compare_random.py --tokenizer DIR

The 151,643 ranks are the ids. Where tiktoken joins any pair whose union has the lowest rank, `tokenizers` wants a list of
merges: a token's own is the pair that is left when only lower ranks have been joined inside it. Everything but vocabulary,
merges and added tokens is that of qwen/tokenizer.json beside this file. Too large to be kept here (11 MB).
"""
import argparse
import base64
import importlib.util
import json
from pathlib import Path

HERE = Path(__file__).parent
RANKS = 151643
# In the order of their ids, from 151643 (Qwen2-VL has the first 14, Qwen2.5 the first 22, Qwen3 all); False: not special.
ADDED = [(f"<|{name}|>", True) for name in (
    "endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start quad_end vision_start vision_end "
    "vision_pad image_pad video_pad").split()]
ADDED += [("<tool_call>", False), ("</tool_call>", False)]
ADDED += [(f"<|{name}|>", False) for name in "fim_prefix fim_middle fim_suffix fim_pad repo_name file_sep".split()]
ADDED += [(name, False) for name in ("<tool_response>", "</tool_response>", "<think>", "</think>")]


def symbols() -> list[str]:
    """What byte-level BPE writes for each byte (GPT-2): itself if printable, else the next character from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def merge_of(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    parts = [token[i:i + 1] for i in range(len(token))]
    while len(parts) > 2:
        joined = [ranks.get(a + b, RANKS) for a, b in zip(parts, parts[1:])]
        at = joined.index(min(joined))
        if joined[at] >= ranks[token]:
            break
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    if len(parts) != 2:
        raise ValueError(f"{token!r} is not made of two tokens")
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiktoken", type=Path, help="default: that of the installed package")
    args = parser.parse_args()
    path = args.tiktoken
    if path is None:
        path = Path(importlib.util.find_spec("dashscope").submodule_search_locations[0]) / "resources" / "qwen.tiktoken"
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, path.read_bytes().splitlines())}
    if sorted(ranks.values()) != list(range(RANKS)):
        raise SystemExit(f"{path}: {len(ranks)} ranks, expected 0..{RANKS - 1}")
    symbol = symbols()
    text = {token: "".join(symbol[byte] for byte in token) for token in ranks}
    ordered = sorted(ranks, key=ranks.get)
    tokenizer = json.loads((HERE / "qwen" / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {text[token]: ranks[token] for token in ordered}
    tokenizer["model"]["merges"] = [[text[part] for part in merge_of(token, ranks)] for token in ordered if len(token) > 1]
    tokenizer["added_tokens"] = [
        dict(id=RANKS + i, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=special)
        for i, (content, special) in enumerate(ADDED)]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    print(f"{RANKS} tokens, {len(tokenizer['model']['merges'])} merges, {len(ADDED)} added tokens -> {args.out}")


if __name__ == "__main__":
    main()
