#!/usr/bin/env python3
"""Prompt ids and positions that transformers gives for every row of requests.jsonl.

    python3 make_goldens.py            # transformers 5.23, torch 2.11, torchvision 0.26, Pillow 13

model/ is a checkpoint folder of the published Qwen2.5-VL layout without weights, its vocabulary trained on a small
text. Writes expected.jsonl: id, prompt_ids, completion_ids (with <|im_end|>), grid [[t, h, w], ...] and positions
[3][prompt length] of the prompt, plus `next`, the position of the first completion token.
"""
import json
from pathlib import Path

import torch
from PIL import Image, ImageOps
from transformers import AutoConfig, AutoProcessor, Qwen2_5_VLModel
from transformers.image_transforms import convert_to_rgb

HERE = Path(__file__).parent


def canonical(path):
    return Image.fromarray(convert_to_rgb(ImageOps.exif_transpose(Image.open(path)), return_numpy=True))


def main():
    processor = AutoProcessor.from_pretrained(HERE / "model")
    with torch.device("meta"):
        model = Qwen2_5_VLModel(AutoConfig.from_pretrained(HERE / "model"))
    rows = []
    for line in (HERE / "requests.jsonl").read_text(encoding="utf-8").splitlines():
        request = json.loads(line)
        images = [canonical(HERE / path) for path in request["images"]]
        text = processor.apply_chat_template(request["prompt"], add_generation_prompt=True, tokenize=False)
        inputs = processor(text=[text], images=images or None, return_tensors="pt", return_mm_token_type_ids=True)
        grid = inputs.get("image_grid_thw")
        positions, delta = model.get_rope_index(inputs["input_ids"], inputs["mm_token_type_ids"], image_grid_thw=grid)
        ids = inputs["input_ids"][0].tolist()
        rows.append(dict(
            id=request["id"], prompt_ids=ids,
            completion_ids=processor.tokenizer(request["completion"])["input_ids"]
            + [processor.tokenizer.convert_tokens_to_ids("<|im_end|>")],
            grid=[] if grid is None else grid.tolist(), positions=positions[:, 0].tolist(),
            next=int(delta) + len(ids)))
    (HERE / "expected.jsonl").write_text(
        "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


if __name__ == "__main__":
    main()
