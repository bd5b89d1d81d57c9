#!/usr/bin/env python3
"""Draws small images in every colour mode, container and orientation, and writes what Pillow and transformers make of them.

    python3 make_zoo.py            # transformers 5.23, Pillow 13

  zoo.jsonl   {"file", "bytes": base64, "height", "width", "rgb": SHA-256 of the canonical RGB bytes}, or, for what Pillow
              refuses or cannot open, {"file", "bytes", "refused": true}
"""
import base64
import hashlib
import io
import json
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb

warnings.simplefilter("ignore")
rng = np.random.default_rng(5)
FILES = {}
H, W = 29, 41


def noise(*shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


def photo(h=H, w=W, channels=3):
    """Waves and a little noise: compressible, with every grey level."""
    y, x = np.mgrid[0:h, 0:w]
    waves = [127 + 120 * np.sin(x / (7 + 3 * i) + y / (11 - 2 * i) + i) for i in range(channels)]
    return np.clip(np.stack(waves, -1) + rng.normal(0, 6, (h, w, channels)), 0, 255).astype(np.uint8)


def save(name, image, **options):
    buffer = io.BytesIO()
    extension = name.rsplit(".", 1)[1]
    kind = options.pop("format", {"jpg": "JPEG", "tif": "TIFF"}.get(extension, extension.upper()))
    image.save(buffer, format=kind, **options)
    FILES[name] = buffer.getvalue()


def chunk(tag, data):
    return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))


def png(name, rows, width, height, bits, color, extra=(), late=(), interlace=0):
    """`rows`: scan lines with their filter bytes, as one string, or an array of packed lines."""
    body = rows if isinstance(rows, bytes) else b"".join(b"\0" + bytes(r) for r in rows)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace))
    out += b"".join(chunk(*e) for e in extra) + chunk(b"IDAT", zlib.compress(body)) + b"".join(chunk(*e) for e in late)
    FILES[name] = out + chunk(b"IEND", b"")


def tiff(value, order="<"):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, value, 0, 0)


def draw_sizes():
    for h, w in [(1, 1), (1, 7), (7, 1), (2, 3), (8, 8), (16, 16), (17, 33), (200, 1), (1, 200)]:
        image = Image.fromarray(photo(h, w))
        save(f"size_{w}x{h}.png", image)
        save(f"size_{w}x{h}.jpg", image, quality=88)
        save(f"size_{w}x{h}.bmp", image)
        save(f"size_{w}x{h}.webp", image, quality=80)
        save(f"size_{w}x{h}_lossless.webp", image, lossless=True)


def draw_modes():
    rgb = Image.fromarray(photo())
    rgba = Image.fromarray(np.dstack([photo(), noise(H, W)]))
    for mode in ["1", "L", "P", "RGB"]:
        save(f"mode_{mode}.png", rgb.convert(mode))
        save(f"mode_{mode}.bmp", rgb.convert(mode))
    save("mode_RGBA.bmp", rgba)
    for mode in ["LA", "RGBA"]:
        save(f"mode_{mode}.png", rgba.convert(mode))
    save("mode_PA.png", rgba.quantize(32))
    save("mode_I16.png", Image.fromarray(rng.integers(0, 65536, (H, W), dtype=np.uint16)))
    save("mode_I16_dark.png", Image.fromarray(rng.integers(0, 500, (H, W), dtype=np.uint16)))
    palette = rgb.convert("P")
    save("key_P_index.png", palette, transparency=5)
    save("key_P_bytes.png", palette, transparency=bytes(range(256)))
    save("key_L.png", rgb.convert("L"), transparency=120)
    save("key_RGB.png", rgb, transparency=tuple(int(v) for v in np.array(rgb)[3, 3]))
    save("key_1.png", rgb.convert("1"), transparency=1)
    save("key_1_black.png", rgb.convert("1"), transparency=0)


def draw_png_layouts():
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    h, w = 11, 13
    for bits in (1, 2, 4, 8, 16):
        for color in (0, 2, 3, 4, 6):
            if (bits < 8 and color in (2, 4, 6)) or (bits == 16 and color == 3):
                continue
            name = f"png_{color}_{bits}"
            rows = noise(h, (w * channels[color] * bits + 7) // 8)
            table = [(b"PLTE", bytes(noise(3 * (1 << bits))))] if color == 3 else []
            gamma = [(b"gAMA", struct.pack(">I", 100000)), (b"cHRM", struct.pack(">8I", *range(30000, 38000, 1000)))]
            png(name + ".png", rows, w, h, bits, color, gamma + table)
            if color == 0:
                for key in (0, 1, 3, 200, 257):
                    png(f"{name}_key{key}.png", rows if bits != 8 else rows // 64 * 64, w, h, bits, color,
                        [(b"tRNS", struct.pack(">H", key))])
            if color == 2:
                for key in (128, 0x8080):
                    png(f"{name}_key{key}.png", rows // 128 * 128, w, h, bits, color,
                        [(b"tRNS", struct.pack(">3H", key, 0, key))])
            if color == 3:
                for label, alpha in [("all", bytes(noise(1 << bits))), ("one", b"\0"), ("opaque", b"\xff\xff")]:
                    png(f"{name}_alpha_{label}.png", rows, w, h, bits, color, table + [(b"tRNS", alpha)])
    png("png_short_palette.png", noise(5, 8) // 64, 8, 5, 8, 3, [(b"PLTE", bytes(noise(12)))])
    png("png_background.png", noise(5, 32), 8, 5, 8, 6, [(b"bKGD", struct.pack(">3H", 10, 200, 30)), (b"sRGB", b"\0")])
    profile = b"x\0\0" + zlib.compress(b"not a profile" * 20)
    png("png_profile.png", noise(5, 24), 8, 5, 8, 2, [(b"iCCP", profile)])
    png("png_filters.png", b"".join(bytes([y % 5]) + bytes(noise(60)) for y in range(15)), 20, 15, 8, 2)


def interlaced(samples, pack):
    """Adam7: the scan lines of seven reduced images."""
    out = b""
    for y0, x0, dy, dx in [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]:
        for row in samples[y0::dy, x0::dx]:
            out += b"\0" + pack(row) if row.size else b""
    return out


def draw_interlaced():
    nibbles = lambda row: bytes(a << 4 | b for a, b in zip(row[0::2].tolist(), (row[1::2].tolist() + [0])[:(len(row) + 1) // 2]))
    for h, w in [(13, 19), (1, 1), (5, 3), (29, 41)]:
        png(f"adam7_rgb_{w}x{h}.png", interlaced(photo(h, w), bytes), w, h, 8, 2, interlace=1)
        rgba = np.dstack([photo(h, w), noise(h, w)])
        png(f"adam7_rgba_{w}x{h}.png", interlaced(rgba, bytes), w, h, 8, 6, interlace=1)
        png(f"adam7_palette_{w}x{h}.png", interlaced(noise(h, w) // 16, nibbles), w, h, 4, 3,
            [(b"PLTE", bytes(noise(48)))], interlace=1)
        deep = rng.integers(0, 65536, (h, w), dtype=np.uint16).astype(">u2")
        png(f"adam7_gray16_{w}x{h}.png", interlaced(deep, lambda row: row.tobytes()), w, h, 16, 0, interlace=1)


def draw_animations():
    frames = [Image.fromarray(photo(20, 30)) for _ in range(3)]
    clear = [Image.fromarray(noise(20, 30, 4)) for _ in range(3)]
    save("frames.png", frames[0], save_all=True, append_images=frames[1:], duration=100)
    save("frames_default.png", frames[0], save_all=True, append_images=frames[1:], default_image=True)
    save("frames_alpha.png", clear[0], save_all=True, append_images=clear[1:], duration=100)
    rest = dict(save_all=True, append_images=frames[1:], duration=100)
    save("frames.webp", frames[0], quality=70, **rest)
    save("frames_lossless.webp", frames[0], lossless=True, **rest)
    rest["append_images"] = clear[1:]
    save("frames_alpha.webp", clear[0], quality=70, **rest)
    save("frames_alpha_lossless.webp", clear[0], lossless=True, background=(10, 200, 30, 255), **rest)
    part = np.zeros((40, 50, 4), np.uint8)
    part[10:21, 7:30] = noise(11, 23, 4)
    rest["append_images"] = [Image.fromarray(noise(40, 50, 4))]
    save("frames_part.webp", Image.fromarray(part), lossless=True, **rest)


def draw_webp():
    rgb, rgba = Image.fromarray(photo()), Image.fromarray(np.dstack([photo(), noise(H, W)]))
    for quality in (5, 50, 95):
        save(f"lossy_{quality}.webp", rgb, quality=quality)
        save(f"lossy_{quality}_alpha.webp", rgba, quality=quality)
    save("lossy_rough_alpha.webp", rgba, quality=50, alpha_quality=20)
    save("lossless.webp", rgb, lossless=True)
    save("lossless_alpha.webp", rgba, lossless=True)
    save("lossless_exact.webp", rgba, lossless=True, exact=True)
    save("lossy_gray.webp", rgb.convert("L"))


def draw_jpeg():
    rgb = Image.fromarray(photo(61, 83))
    for subsampling in (0, 1, 2, "4:1:1"):
        for progressive in (False, True):
            name = f"jpeg_{str(subsampling).replace(':', '')}{'_progressive' if progressive else ''}.jpg"
            save(name, rgb, quality=80, subsampling=subsampling, progressive=progressive)
    save("jpeg_gray.jpg", rgb.convert("L"))
    save("jpeg_gray_progressive.jpg", rgb.convert("L"), progressive=True)
    save("jpeg_cmyk.jpg", rgb.convert("CMYK"), quality=90)
    save("jpeg_cmyk_noise.jpg", Image.fromarray(noise(23, 37, 4), "CMYK"), quality=75)
    ycck = bytearray(FILES["jpeg_cmyk.jpg"])
    at = ycck.find(b"\xff\xeeAdobe"[:2])
    if at > 0:
        ycck[at + 15] = 2  # the same samples called YCCK
        FILES["jpeg_ycck.jpg"] = bytes(ycck)
    save("jpeg_rgb.jpg", rgb, keep_rgb=True)
    for quality in (1, 10, 30, 92, 100):
        save(f"jpeg_quality{quality}.jpg", rgb, quality=quality)
    save("jpeg_restart.jpg", rgb, restart_marker_rows=1)
    small = Image.fromarray(photo())
    save("jpeg_two_pictures.jpg", small, format="MPO", save_all=True, append_images=[Image.fromarray(photo())])


def draw_orientations():
    for value in range(10):
        pixels = photo(12, 21)
        image, rows = Image.fromarray(pixels), pixels.reshape(12, -1)
        for order, label in ("<", "le"), (">", "be"):
            save(f"exif{value}_{label}.jpg", image, exif=b"Exif\0\0" + tiff(value, order))
            png(f"exif{value}_{label}.png", rows, 21, 12, 8, 2, [(b"eXIf", tiff(value, order))])
            save(f"exif{value}_{label}.webp", image, lossless=True, exif=tiff(value, order))
        png(f"exif{value}_late.png", rows, 21, 12, 8, 2, late=[(b"eXIf", tiff(value))])
        save(f"exif{value}_alpha.webp", image.convert("RGBA"), quality=80, exif=b"Exif\0\0" + tiff(value))
        save(f"exif{value}_gray.jpg", image.convert("L"), exif=b"Exif\0\0" + tiff(value))
        save(f"exif{value}_cmyk.jpg", image.convert("CMYK"), exif=b"Exif\0\0" + tiff(value))
    many = Image.Exif()
    many[0x0112], many[0x010F], many[0x0100] = 7, "maker" * 40, 41
    for extension in ("jpg", "png", "webp"):
        save(f"exif_many.{extension}", Image.fromarray(photo(12, 21)), exif=many)


def draw_png_carriers():
    """Where old and new writers of PNG keep the orientation, and which of two counts."""
    pixels = (np.arange(12 * 63) * 37 % 251).astype(np.uint8).reshape(12, 63)
    packet = lambda value: b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % value
    raw = lambda value: b"\nexif\n%8d\n" % (6 + len(tiff(value))) + (b"Exif\0\0" + tiff(value)).hex().encode() + b"\n"
    broken = lambda text: (b"\0" + zlib.compress(text))[:-9]
    text = lambda key, value: (b"tEXt", key + b"\0" + value)
    packed = lambda key, value: (b"zTXt", key + b"\0\0" + zlib.compress(value))
    world = lambda key, value, pack=False: (
        b"iTXt", key + b"\0" + bytes([pack, 0]) + b"\0\0" + (zlib.compress(value) if pack else value))
    exif, xmp = b"Raw profile type exif", b"XML:com.adobe.xmp"
    other = tiff(6).replace(b"\x12\x01", b"\x13\x01")  # another tag than the orientation
    for name, chunks in {
        "prefix": [(b"eXIf", b"Exif\0\0" + tiff(6))],
        "two_prefixes": [(b"eXIf", b"Exif\0\0" * 2 + tiff(6))],
        "raw_text": [text(exif, raw(6))],
        "raw_packed": [packed(exif, raw(8))],
        "raw_world": [world(exif, raw(5))],
        "raw_world_packed": [world(exif, raw(7), True)],
        "raw_lines": [text(exif, raw(6)[:40] + b"\n" + raw(6)[40:])],
        "raw_app1": [packed(b"Raw profile type APP1", raw(6))],
        "text_exif": [text(b"exif", tiff(6))],
        "xmp": [world(xmp, packet(6))],
        "xmp_packed": [world(xmp, packet(8), True)],
        "xmp_text": [text(xmp, packet(6))],
        "xmp_ztxt": [packed(xmp, packet(6))],
        "xmp_element": [world(xmp, b"<tiff:Orientation>6</tiff:Orientation>")],
        "xmp_not_utf8": [world(xmp, b"\xff" + packet(6))],
        "exif_before_raw": [(b"eXIf", tiff(3)), text(exif, raw(6))],
        "exif_behind_raw": [text(exif, raw(6)), (b"eXIf", tiff(3))],
        "exif_before_xmp": [(b"eXIf", tiff(1)), world(xmp, packet(6))],
        "raw_before_xmp": [world(xmp, packet(6)), text(exif, raw(3))],
        "other_tag_then_xmp": [(b"eXIf", other), world(xmp, packet(6))],
        "other_tag_not_raw": [(b"eXIf", other), text(exif, raw(6))],
        "two_exif": [(b"eXIf", tiff(6)), (b"eXIf", tiff(3))],
        "two_xmp": [world(xmp, packet(6)), world(xmp, packet(3))],
        "two_raw": [text(exif, raw(6)), packed(exif, raw(3))],
        "damaged_zlib": [(b"zTXt", exif + b"\0" + broken(raw(6))), world(xmp, packet(8))],
        "damaged_world": [(b"iTXt", xmp + b"\0\1\0\0\0" + broken(packet(6)))],
        "no_separator": [(b"tEXt", exif), (b"iTXt", xmp + b"\0\0")],
    }.items():
        png(f"carrier_{name}.png", pixels, 21, 12, 8, 2, chunks)
        png(f"carrier_{name}_late.png", pixels, 21, 12, 8, 2, late=chunks)


def bmp(name, w, h, bits, pixels, palette=b"", compression=0, masks=b"", info=40, colors=0):
    if info == 12:
        head = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", info, w, h, 1, bits, compression, len(pixels), 0, 0, colors, 0)
        head += masks + bytes(max(0, info - 40 - len(masks)))
    offset = 14 + len(head) + len(palette)
    FILES[name] = b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + head + palette + pixels


def draw_bmp():
    stride = lambda w, bits: (w * bits + 31) // 32 * 4
    table = lambda bits, entry=4: bytes(noise(entry << bits)) if bits <= 8 else b""
    for bits in (1, 4, 8, 16, 24, 32):
        for w, h in ((9, 5), (9, -5), (1, 1), (33, 6)):
            bmp(f"bmp{bits}_{w}x{h}.bmp", w, h, bits, bytes(noise(abs(h), stride(w, bits))), table(bits))
        pixels = bytes(noise(5, stride(9, bits)))
        if bits not in (16, 32):
            bmp(f"bmp{bits}_os2.bmp", 9, 5, bits, pixels, table(bits, 3), info=12)
        for info in (52, 56, 64, 108, 124):
            bmp(f"bmp{bits}_info{info}.bmp", 9, 5, bits, pixels, table(bits), info=info)
    bmp("bmp8_colors10.bmp", 9, 5, 8, bytes(noise(5, 12) % 10), bytes(noise(40)), colors=10)
    bmp("bmp8_colors10_beyond.bmp", 9, 5, 8, bytes(noise(5, 12)), bytes(noise(40)), colors=10)
    gray = b"".join(bytes([i, i, i, 0]) for i in range(256))
    bmp("bmp8_gray.bmp", 9, 5, 8, bytes(noise(5, 12)), gray)
    bmp("bmp1_black_white.bmp", 9, 5, 1, bytes(noise(5, 4)), b"\0\0\0\0\xff\xff\xff\0")
    bmp("bmp1_white_black.bmp", 9, 5, 1, bytes(noise(5, 4)), b"\xff\xff\xff\0\0\0\0\0")
    masks = [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0),
             (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
             (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0), (7, 8, 16, 0)]
    for i, mask in enumerate(masks):
        pixels = bytes(noise(5, 36))
        bmp(f"bmp32_masks{i}.bmp", 9, 5, 32, pixels, compression=3, masks=struct.pack("<4I", *mask), info=108)
        if mask[3] == 0:
            bmp(f"bmp32_masks{i}_info40.bmp", 9, 5, 32, pixels, compression=3, masks=struct.pack("<3I", *mask[:3]))
    for i, mask in enumerate([(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F), (0xF00, 0xF0, 0xF)]):
        bmp(f"bmp16_masks{i}.bmp", 9, 5, 16, bytes(noise(5, 20)), compression=3, masks=struct.pack("<3I", *mask))
        bmp(f"bmp16_masks{i}_v4.bmp", 9, -5, 16, bytes(noise(5, 20)), compression=3, masks=struct.pack("<3I", *mask), info=108)
    bmp("bmp24_masks.bmp", 9, 5, 24, bytes(noise(5, 28)), compression=3, masks=struct.pack("<3I", 0xFF0000, 0xFF00, 0xFF), info=56)
    single = b"".join(b"".join(bytes([1, v]) for v in row) + b"\0\0" for row in noise(5, 9).tolist()) + b"\0\1"
    streams = {
        "single": single,
        "runs": b"\x09\3\0\0\4\5\5\7\0\0\0\5\1\2\3\4\5\0\4\x09\0\0\2\1\0\0\x09\x08\0\1",
        "jump": b"\3\3\0\2\2\1\2\5\0\0\x09\1\0\0\0\1",
        "early_end": b"\x09\3\0\0\0\1",
        "short_row": b"\4\3\0\0\x09\5\0\0\x09\6\0\0\x09\7\0\0\x09\x08\0\0\0\1",
        "long_run": b"\x0c\3\0\0\x09\5\0\0\x09\6\0\0\x09\7\0\0\x09\x08\0\0\0\1",
    }
    for name, stream in streams.items():
        bmp(f"bmp8_rle_{name}.bmp", 9, 5, 8, stream, bytes(noise(1024)), compression=1)
    bmp("bmp8_rle_gray.bmp", 9, 5, 8, single, gray, compression=1)
    bmp("bmp8_rle_top_down.bmp", 9, -5, 8, single, bytes(noise(1024)), compression=1)
    nibbles = b"\x09\x12\0\0\0\5\x12\x34\x50\0\4\x67\0\0" + b"\x09\x89\0\0" * 2 + b"\0\x09\x12\x34\x56\x78\x90\0\0\0\0\1"
    bmp("bmp4_rle.bmp", 9, 5, 4, nibbles, bytes(noise(64)), compression=2)


def canonical(data):
    return convert_to_rgb(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), return_numpy=True)


def main():
    for draw in (draw_sizes, draw_modes, draw_png_layouts, draw_interlaced, draw_animations, draw_webp, draw_jpeg,
                 draw_orientations, draw_bmp, draw_png_carriers):
        draw()
    lines = []
    for name, data in sorted(FILES.items()):
        row = dict(file=name, bytes=base64.b64encode(data).decode())
        try:
            rgb = canonical(data)
            row.update(height=rgb.shape[0], width=rgb.shape[1], rgb=hashlib.sha256(rgb.tobytes()).hexdigest())
        except Exception:
            row.update(refused=True)
        lines.append(json.dumps(row))
    (Path(__file__).parent / "zoo.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
