"""Random strings that try what a byte-level tokenizer has to decide."""
import random

WORDS = ("the of and to in is you that it he was for on are as with his they at be this have from or "
         "Straße Größe Übermut naïve façade été où garçon œuvre L'été l'homme qu'il Tiếng Việt được phở "
         "İstanbul ılık ŞEKER don't I'm we'LL they've o'clock Привет мир Ελλάδα שלום مرحبا नमस्ते สวัสดี "
         "你好 世界 図書館 カタカナ ひらがな 한국어 안녕 🙂 👩‍👩‍👧 🇩🇪 ✌🏽 def return std::vector<int> x=1; 0x1F 1e-5").split()
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\u00a0", "\u2003", "\u3000", "\u180e", "\u200b", "\u0085", "\u2028"]
MARKS = ["\u0301", "\u0323", "\u0308", "\u0327", "\u3099", "\u0340", "\u0344", "\u093c", "\u05b0", "\u1dfa", "\u08ca"]
PLACES = [(0x20, 0x7F), (0x80, 0x250), (0x250, 0x600), (0x600, 0x1000), (0x1000, 0x3400), (0x3400, 0xD800), (0xE000, 0x10000),
          (0x10000, 0x20000), (0x20000, 0x32000), (0xE0000, 0xE0200)]


def point(rng: random.Random) -> str:
    low, high = rng.choice(PLACES)
    return chr(rng.randrange(low, high))


def text(rng: random.Random, specials: list[str]) -> str:
    makers = [
        lambda: rng.choice(WORDS),
        lambda: rng.choice(WORDS).upper(),
        lambda: rng.choice(SPACES),
        lambda: " ",
        lambda: str(rng.randrange(10 ** rng.randint(1, 9))),
        lambda: rng.choice("!?.,;:'\"()[]{}<>|@#$%^&*-_=+/\\~`…—“”„"),
        lambda: rng.choice("aeiouncsAEO한가각") + "".join(rng.choice(MARKS) for _ in range(rng.randint(1, 3))),
        lambda: point(rng),
        lambda: "".join(point(rng) for _ in range(rng.randint(1, 4))),
        lambda: rng.choice(["a", " ", "=", "\n", "0", "é", "你", "ab"]) * rng.randint(2, 40),
        lambda: rng.choice(["'s", "'S", "'t", "'RE", "'ll", "'\u017f", "'", "'d "]),
        lambda: rng.choice(specials) if specials else "",
    ]
    return "".join(rng.choice(makers)() for _ in range(rng.randint(1, 14)))
