"""Image files to patches, per core: sgrpo, transformers' fast processor (torchvision) and its PIL processor, side by side.

  compare_images.py --sgrpo build/release/sgrpo [--count 24] [--kind jpeg|png|webp]

Every reader takes the same files in turn, on one thread: read, decode, orientation, RGB, resize, normalise, patch. The figures
are CPU milliseconds an image, the median over the files; sgrpo's are its own (`lint --images full`), the peers' are thread time.
Prints a table and one JSON line. Needs: torch==2.11.0 torchvision transformers==5.23.0 pillow numpy.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time

SIZES = [(640, 480), (1024, 768), (1920, 1080)]


def photo(width, height, seed):
    """Something as hard to compress as a photograph: noise at every scale, its strength falling with the frequency."""
    import numpy as np
    from PIL import Image
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for octave in range(2, 9):
        small = rng.normal(0, 2 ** octave, (max(1, height >> octave), max(1, width >> octave), 3))
        scaled = [Image.fromarray(small[..., c].astype("float32")).resize((width, height), Image.BICUBIC) for c in range(3)]
        total += np.stack([np.asarray(s) for s in scaled], -1)
    total += rng.normal(0, 3, total.shape)
    total = 128 + total * 50 / total.std()
    return Image.fromarray(np.clip(total, 0, 255).astype("uint8"))


def draw(folder, kind, count):
    options = {"jpeg": dict(quality=88), "png": dict(compress_level=6), "webp": dict(quality=80)}[kind]
    files = {}
    for width, height in SIZES:
        files[f"{width}x{height}"] = names = []
        for i in range(count):
            names.append(os.path.join(folder, f"{width}x{height}-{i}.{kind}"))
            photo(width, height, i).save(names[-1], format=kind.upper(), **options)
    return files


def time_ours(binary, model, names, folder):
    data = os.path.join(folder, "rows.jsonl")
    with open(data, "w") as file:
        for name in names:
            file.write(json.dumps({"prompt": "x", "images": [name]}) + "\n")
    out = subprocess.run(["taskset", "-c", "0", binary, "lint", "--data", data, "--model", model, "--images", "full", "--json",
                          "data.max_prompt_tokens=10000000"], capture_output=True, text=True)
    summary = json.loads(out.stdout.splitlines()[-1])["summary"]
    if summary["bad_rows"] or summary["image_files"]["usable"] != len(names):
        sys.exit(out.stdout + out.stderr)
    return summary["image_files"]["median_cpu_ms"]


def time_peer(processor, names, fast):
    import torch
    from PIL import Image, ImageOps
    torch.set_num_threads(1)
    spent = []
    for name in names[:2] + names:  # the first two warm up
        start = time.thread_time()
        image = ImageOps.exif_transpose(Image.open(name)).convert("RGB")
        processor(images=[image], return_tensors="pt" if fast else "np")
        spent.append((time.thread_time() - start) * 1000)
    return statistics.median(spent[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sgrpo", required=True)
    parser.add_argument("--model", required=True, help="a Qwen-VL checkpoint folder whose processor is used by all")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--kind", default="jpeg", choices=["jpeg", "png", "webp"])
    arguments = parser.parse_args()
    from transformers import AutoImageProcessor
    readers = {}
    for name, backend in [("fast", "torchvision"), ("pil", "pil")]:
        readers[name] = AutoImageProcessor.from_pretrained(arguments.model, backend=backend)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size, names in draw(folder, arguments.kind, arguments.count).items():
            row = dict(kind=arguments.kind, size=size, sgrpo_ms=time_ours(arguments.sgrpo, arguments.model, names, folder))
            for reader, processor in readers.items():
                row[f"{reader}_ms"] = time_peer(processor, names, reader == "fast")
                row[f"over_{reader}"] = row[f"{reader}_ms"] / row["sgrpo_ms"]
            rows.append(row)
            print("{kind} {size}: sgrpo {sgrpo_ms:.2f} ms, fast {fast_ms:.2f} ms ({over_fast:.2f}x), "
                  "PIL + numpy {pil_ms:.2f} ms ({over_pil:.2f}x)".format(**row), file=sys.stderr)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
