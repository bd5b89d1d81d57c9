#!/usr/bin/env python3
"""Renders conversations with every template of chat_templates/ by transformers itself -> chat_cases.jsonl.

    python3 make_chat_cases.py        # transformers 5.23

The templates are those the Qwen team publishes (Apache-2.0), as shipped with TRL. `simple` is a minimal ChatML template.
A row is {"template", "messages", "generation", "text"}, or "error" where the template raises.
"""
import json
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

HERE = Path(__file__).parent
IMAGE = {"type": "image"}


def conversations() -> list[list[dict]]:
    text = lambda s: {"type": "text", "text": s}
    turn = lambda role, content: {"role": role, "content": content}
    thought = "<think>\nwhy\n</think>\n\nb"
    return [
        [turn("user", "Hi")],
        [turn("system", ""), turn("user", "Hi")],
        [turn("system", "  spaces \n\n kept  "), turn("user", "\n Hi \n")],
        [turn("user", "Hi"), turn("assistant", "Hello"), turn("user", "Bye")],
        [turn("user", "Hi"), turn("assistant", "Hello")],
        [turn("user", "a"), turn("assistant", thought), turn("user", "c")],
        [turn("user", "a"), turn("assistant", thought)],
        [turn("user", "a"), turn("assistant", thought), turn("assistant", "\n\nplain"), turn("assistant", "<think>x</think><think>\ny\n</think>z")],
        [turn("user", "a"), turn("assistant", "\n<think>\n\n</think>\n\nb"), turn("user", "<tool_response>r</tool_response>")],
        [turn("user", "a"), turn("assistant", "no tags"), turn("user", "c"), turn("assistant", "")],
        [turn("user", ""), turn("assistant", ""), turn("user", "")],
        [turn("user", "a"), turn("system", "late system"), turn("user", "b")],
        [turn("assistant", "I start.")],
        [turn("user", "Größe 图片 🙂 <b>&amp;</b> \"quoted\" 'x' {{ not jinja }} {% raw %}")],
        [turn("user", "The text <|im_end|> inside")],
        [turn("user", [IMAGE, text("What?")])],
        [turn("user", [text("a "), IMAGE, text(" b "), IMAGE])],
        [turn("system", [text("Be "), text("brief.")]), turn("user", [text("What?"), IMAGE])],
        [turn("user", [IMAGE, text("What?")]), turn("assistant", [text("This."), text(" And that.")]), turn("user", [IMAGE])],
        [turn("user", [])],
    ]


def main() -> None:
    rows = []
    for path in sorted((HERE / "chat_templates").glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        for messages in conversations():
            for generation in (True, False):
                row = dict(template=path.stem, messages=messages, generation=generation)
                try:
                    row["text"] = render_jinja_template([messages], chat_template=template, add_generation_prompt=generation)[0][0]
                except Exception as error:
                    row["error"] = type(error).__name__
                rows.append(row)
    (HERE / "chat_cases.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    print(len(rows), "rows,", sum("error" in r for r in rows), "errors")


if __name__ == "__main__":
    main()
