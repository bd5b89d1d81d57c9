#!/usr/bin/env python3
"""What Pillow and transformers' fast Qwen2-VL image processor make of every image in files/.

    python3 make_goldens.py            # transformers 5.23, torch 2.11, torchvision 0.26, Pillow 13

Draws the rare containers (files/rare_*), then writes
  index.jsonl         file, canonical height and width, SHA-256 of the canonical RGB bytes, and for two processors the
                      resized [height, width] with the SHA-256 of the uint8 [3, H, W] bytes and of the f32 pixel values
  smart_resize.jsonl  [height, width, factor, min_pixels, max_pixels, resized height, resized width], 0 0 for an error
"""
import hashlib
import json
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as tvf
from transformers import Qwen2VLImageProcessor
from transformers.image_transforms import convert_to_rgb
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

HERE = Path(__file__).parent
FILES = HERE / "files"
CLIP = dict(image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])
HALF = dict(image_mean=[0.5] * 3, image_std=[0.5] * 3)
PROCESSORS = {
    "p14": dict(patch_size=14, size=dict(shortest_edge=56 * 56, longest_edge=28 * 28 * 48), **CLIP),
    "p16": dict(patch_size=16, size=dict(shortest_edge=64 * 64, longest_edge=32 * 32 * 40), **HALF),
}


def png(name, rows, width, bits, color, extra=(), late=()):
    """A PNG written by hand: `rows` are packed sample bytes, `extra` and `late` chunks before and after the data."""
    chunk = lambda tag, data: struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    body = b"".join(b"\0" + bytes(r) for r in rows)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, color, 0, 0, 0))
    out += b"".join(chunk(*e) for e in extra) + chunk(b"IDAT", zlib.compress(body)) + b"".join(chunk(*e) for e in late)
    (FILES / name).write_bytes(out + chunk(b"IEND", b""))


def bmp(name, width, height, bits, pixels, palette=b"", compression=0, masks=b"", info=40):
    head = struct.pack("<IiiHHIIiiII", info, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    head += masks + bytes(max(0, info - 40 - len(masks)))
    offset = 14 + len(head) + len(palette)
    (FILES / name).write_bytes(
        b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + head + palette + pixels)


def draw_rare():
    rng = np.random.default_rng(11)
    noise = lambda *shape: rng.integers(0, 256, shape, dtype=np.uint8)
    tiff = lambda value: b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HH", value, 0) + b"\0\0\0\0"
    xmp = lambda value: f'<x:xmpmeta><rdf tiff:Orientation="{value}"/></x:xmpmeta>'.encode()

    png("rare_gray2_key.png", noise(5, 2), 7, 2, 0, [(b"tRNS", b"\0\x02")])
    png("rare_gray4.png", noise(5, 4), 7, 4, 0)
    png("rare_gray8_key.png", noise(6, 9) // 64 * 64, 9, 8, 0, [(b"tRNS", b"\0\x40")])
    png("rare_bilevel_key.png", noise(6, 2), 13, 1, 0, [(b"tRNS", b"\0\x01")])
    png("rare_gray16_key.png", np.array([[0, 9, 1, 2, 0, 200, 0, 77]] * 4, np.uint8), 4, 16, 0, [(b"tRNS", b"\0\x09")])
    png("rare_gray_alpha16.png", noise(6, 5 * 4), 5, 16, 4)
    png("rare_rgb16.png", noise(6, 5 * 6), 5, 16, 2)
    png("rare_rgba16.png", noise(6, 5 * 8), 5, 16, 6)
    png("rare_rgb_key.png", noise(6, 5 * 3) // 128 * 128, 5, 8, 2, [(b"tRNS", b"\0\x80\0\0\0\x80")])
    png("rare_palette2_alpha.png", noise(6, 2), 8, 2, 3, [(b"PLTE", bytes(noise(12))), (b"tRNS", b"\x10\xff\x80")])
    png("rare_exif_late.png", noise(6, 9 * 3), 9, 8, 2, late=[(b"eXIf", tiff(5))])
    png("rare_xmp7.png", noise(6, 9 * 3), 9, 8, 2, [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(7))])
    png("rare_exif_wins.png", noise(6, 9 * 3), 9, 8, 2, [(b"eXIf", tiff(2)), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(7))])
    Image.fromarray(noise(9, 14, 3)).save(FILES / "rare_exif4.webp", lossless=True, exif=b"Exif\0\0" + tiff(4))
    Image.fromarray(noise(9, 14, 3)).save(FILES / "rare_xmp8.webp", lossless=True, xmp=xmp(8))
    Image.fromarray(noise(12, 17, 4)).save(FILES / "rare_lossy_alpha.webp", quality=70)
    Image.fromarray(noise(16, 24, 3)).save(FILES / "rare_xmp6.jpg", quality=90, xmp=xmp(6))
    Image.fromarray(noise(16, 24, 3)).save(FILES / "rare_exif9.jpg", quality=90, exif=b"Exif\0\0" + tiff(9))
    Image.fromarray(noise(40, 33, 3)).save(FILES / "rare_restart.jpg", quality=80, restart_marker_blocks=2)
    good = (FILES / "rare_restart.jpg").read_bytes()
    (FILES / "rare_trailing.jpg").write_bytes(good + b"thumbnail follows" * 3)
    bmp("rare_palette1.bmp", 9, 5, 1, bytes(noise(5, 4)), bytes(noise(8)))
    bmp("rare_palette4.bmp", 9, 5, 4, bytes(noise(5, 8)), bytes(noise(64)))
    bmp("rare_palette8.bmp", 9, 5, 8, bytes(noise(5, 12) // 2), bytes(noise(1024)))
    bmp("rare_top_down.bmp", 5, -4, 24, bytes(noise(4, 16)))
    bmp("rare_bgrx.bmp", 5, 4, 32, bytes(noise(4, 20)))
    bmp("rare_bgra.bmp", 5, 4, 32, bytes(noise(4, 20)), compression=3, info=108,
        masks=struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000))


def canonical(path):
    return convert_to_rgb(ImageOps.exif_transpose(Image.open(path)), return_numpy=True)


sha = lambda array: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def write_index():
    processors = {name: Qwen2VLImageProcessor(**settings) for name, settings in PROCESSORS.items()}
    rows = []
    for path in sorted(FILES.iterdir()):
        rgb = canonical(path)
        row = dict(file=path.name, height=rgb.shape[0], width=rgb.shape[1], rgb=sha(rgb))
        for name, processor in processors.items():
            settings = PROCESSORS[name]
            size = smart_resize(*rgb.shape[:2], settings["patch_size"] * 2, settings["size"]["shortest_edge"],
                                settings["size"]["longest_edge"])
            tensor = torch.from_numpy(rgb).permute(2, 0, 1).contiguous()
            resized = tvf.resize(tensor[None], size, interpolation=tvf.InterpolationMode.BICUBIC, antialias=True)[0]
            output = processor(images=[Image.fromarray(rgb)], return_tensors="pt")
            row[name] = dict(size=list(size), resized=sha(resized.numpy()), pixels=sha(output["pixel_values"].numpy()))
        rows.append(row)
    (HERE / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_smart_resize():
    random.seed(5)
    limits = [(28, 3136, 12845056), (28, 3136, 28 * 28 * 48), (32, 65536, 16777216), (32, 4096, 40960), (28, 1, 784)]
    sizes = [(1, 1), (1, 200), (1, 201), (201, 1), (42, 42), (70, 70), (98, 14), (126, 154), (4000, 3000), (10000, 50),
             (27, 5400), (27, 5401), (48, 80), (112, 16)]
    sizes += [(random.randint(1, 2500), random.randint(1, 2500)) for _ in range(60)]
    sizes += [(14 * random.randint(1, 60), 14 * random.randint(1, 60)) for _ in range(25)]  # halves go to even
    sizes += [(16 * random.randint(1, 60), 16 * random.randint(1, 60)) for _ in range(25)]
    rows = []
    for height, width in sizes:
        for limit in limits:
            try:
                result = smart_resize(height, width, *limit)
            except ValueError:
                result = (0, 0)
            rows.append([height, width, *limit, *result])
    (HERE / "smart_resize.jsonl").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


if __name__ == "__main__":
    draw_rare()
    write_index()
    write_smart_resize()
