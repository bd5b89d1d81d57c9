#!/usr/bin/env python3
r"""Prints the code point ranges behind src/tokenizer/unicode.cpp.

    python3 unicode_tables.py        # tokenizers 0.23, Python 3.11 (Unicode 14, as PCRE2 10.42), libutf8proc 2.8

1. Letters and numbers of the expressions of `tokenizers` (Unicode 16) that Unicode 14 did not have.
2. Members of the \w of an added token's single_word (Rust's `regex`, Unicode 16) that have no such category in utf8proc.
3. Code points that utf8proc reorders or composes and the NFC of `tokenizers` (Unicode 9) leaves alone.
"""
import ctypes
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

POINTS = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]
COMPOSE_STABLE = 2 | 8
WORD_CATEGORIES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)  # Lu Ll Lt Lm Lo Mn Mc Me Nd Nl Pc in utf8proc.h
CONTEXTS = ("{0}", "a{0}\u0301", "a{0}\u0323", "a{0}\u0301\u0323", "{0}\u0301", "\u0301{0}\u0323")


def matched(expression: str) -> set[int]:
    splitter = pre_tokenizers.Split(Regex(expression), "removed")
    kept = set()
    for i in range(0, len(POINTS), 50000):
        for _, (first, last) in splitter.pre_tokenize_str("".join(map(chr, POINTS[i : i + 50000]))):
            kept.update(POINTS[i + first : i + last])
    return set(POINTS) - kept


def word_points() -> set[int]:
    """Code points next to which a single_word token is not recognised."""
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    tokenizer.add_tokens([AddedToken("single", single_word=True, normalized=False)])
    points = set()
    for i in range(0, len(POINTS), 100000):
        block = POINTS[i : i + 100000]
        encoded = tokenizer.encode_batch(["single" + chr(p) for p in block])
        points.update(p for p, e in zip(block, encoded) if 1 not in e.ids)
    return points


def utf8proc_nfc():
    library, libc = ctypes.CDLL("libutf8proc.so.2"), ctypes.CDLL(None)
    library.utf8proc_map.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
    library.utf8proc_map.restype = ctypes.c_ssize_t
    libc.free.argtypes = [ctypes.c_void_p]

    def nfc(text: str) -> str:
        raw, out = text.encode(), ctypes.c_void_p()
        size = library.utf8proc_map(raw, len(raw), ctypes.byref(out), COMPOSE_STABLE)
        result = ctypes.string_at(out, size).decode()
        libc.free(out)
        return result

    return nfc


def show(title: str, points: set[int]) -> None:
    ranges: list[list[int]] = []
    for p in sorted(points):
        if ranges and ranges[-1][1] == p - 1:
            ranges[-1][1] = p
        else:
            ranges.append([p, p])
    print(f"{title}: {len(points)} code points,", " ".join(f"{a:X}-{b:X}" for a, b in ranges))


def main() -> None:
    for category in "LN":
        older = {p for p in POINTS if unicodedata.category(chr(p))[0] == category}
        now = matched(rf"\p{{{category}}}")
        show(f"{category} since Unicode 14", now - older)
        show(f"{category} no longer", older - now)
    show("\\s", matched(r"\s"))
    library = ctypes.CDLL("libutf8proc.so.2")
    show("\\w besides", {p for p in word_points() if library.utf8proc_category(p) not in WORD_CATEGORIES})
    ours, theirs = utf8proc_nfc(), normalizers.NFC().normalize_str
    young = {p for p in POINTS if any(ours(c.format(chr(p))) != theirs(c.format(chr(p))) for c in CONTEXTS)}
    # A pair composes only together: U+11935 U+11930 = U+11938 is the one of Unicode 10 to 15.
    if ours("\U00011935\U00011930") != theirs("\U00011935\U00011930"):
        young |= {0x11930, 0x11935, 0x11938}
    show("NFC since Unicode 9", young)


if __name__ == "__main__":
    main()
