// Rows good and bad: what a bad one says, and that good ones mean what their authors meant.
#include "sgrpo/data/rows.h"

#include <cstdlib>

#include "data_files.h"

namespace sgrpo::data {
namespace {

using Kind = ContentPart::Kind;

/// Text of a prompt with <#> where images go, turns separated by |.
std::string shape_of(const PromptRecord& record) {
  std::string shape;
  for (const Message& message : record.messages) {
    if (!shape.empty()) shape += "|";
    shape += message.role + ":";
    for (const ContentPart& part : message.content)
      shape += part.kind == Kind::kImage ? "<#>" : part.text;
  }
  return shape;
}

PromptRecord parse(const std::string& json, const RowOptions& options = {}) {
  return parse_row(core::parse_json(json, "row", core::Numbers::kText),
                   RowSource{.file = "d/rows.jsonl", .line = 12},
                   options);
}

std::string row_error(const std::string& json, const RowOptions& options = {}) {
  const std::string text = error_of([&] { parse(json, options); });
  const std::string prefix = "d/rows.jsonl:12 (id '";
  EXPECT_TRUE(core::starts_with(text, prefix)) << text;
  const size_t at = text.find("'): ", prefix.size());
  return at == std::string::npos ? text : text.substr(at + 4);
}

TEST(ParseRow, read_full_row_fills_every_member) {
  const PromptRecord record = parse(
      R"({"id": "r1", "prompt": [{"role": "system", "content": "Be brief."},
          {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}],
          "images": ["img/7.png"], "ground_truth": "boot", "ground_truth_completion": "A boot.",
          "verifier": "exact", "task": "shoes", "completion": "a boot", "extra": [1, 2]})");
  EXPECT_EQ(record.id, "r1");
  EXPECT_EQ(shape_of(record), "system:Be brief.|user:<#>What?");
  EXPECT_EQ(record.images, std::vector<ImageSource>{{.path = "d/img/7.png"}});
  EXPECT_EQ(record.ground_truth, "boot");
  EXPECT_EQ(record.injected_text(), "A boot.");
  EXPECT_EQ(record.completion, "a boot");
  EXPECT_EQ(record.verifier, "exact");
  EXPECT_EQ(record.task, "shoes");
  EXPECT_EQ(record.columns.at("extra").dump(), "[1,2]");
  EXPECT_EQ(record.source.str(), "d/rows.jsonl:12");
}

TEST(ParseRow, a_template_writes_the_ground_truth_unless_the_row_does) {
  const RowOptions options{.ground_truth_template = "<a>{ground_truth}</a> {ground_truth}!"};
  const char* bare = R"({"prompt": "p", "ground_truth": "boot"})";
  EXPECT_EQ(parse(bare, options).injected_text(), "<a>boot</a> boot!");
  EXPECT_EQ(parse(bare, options).ground_truth, "boot");
  EXPECT_EQ(
      parse(R"({"prompt": "p", "ground_truth": "x", "ground_truth_completion": "y"})", options)
          .injected_text(),
      "y");
  EXPECT_EQ(parse(R"({"prompt": "p"})", options).injected_text(), std::nullopt);
  EXPECT_EQ(parse(R"({"prompt": "p", "ground_truth": "{ground_truth}"})", options).injected_text(),
            "<a>{ground_truth}</a> {ground_truth}!");
}

TEST(ParseRow, read_string_prompt_is_one_user_turn_with_markers) {
  EXPECT_EQ(shape_of(parse(R"({"prompt": "Hi"})")), "user:Hi");
  EXPECT_EQ(shape_of(parse(R"({"prompt": "a <image>\nb<image>", "images": ["1.png", "2.png"]})")),
            "user:a <#>\nb<#>");
  EXPECT_EQ(shape_of(parse(R"({"prompt": "both?", "images": ["1.png", "2.png"]})")),
            "user:<#><#>both?");
}

TEST(ParseRow, images_without_marker_go_into_the_first_user_turn) {
  EXPECT_EQ(shape_of(parse(R"({"messages": [{"role": "system", "content": "s"},
                               {"role": "user", "content": "q"}], "image": "1.png"})")),
            "system:s|user:<#>q");
}

TEST(ParseRow, marker_inside_a_text_part_is_text_unless_it_is_the_only_place_for_a_picture) {
  const auto row = [](const std::string& parts, const std::string& images) {
    return R"({"prompt": [{"role": "user", "content": [)" + parts + R"(]}], "images": [)" + images +
           "]}";
  };
  const std::string marked = R"({"type": "text", "text": "<image> is a tag"})";
  const std::string image = R"({"type": "image"})";
  EXPECT_EQ(shape_of(parse(row(marked, ""))), "user:<image> is a tag");
  EXPECT_EQ(shape_of(parse(row(marked, R"("1.png")"))), "user:<#> is a tag");
  EXPECT_EQ(shape_of(parse(row(image + "," + marked, R"("1.png")"))), "user:<#><image> is a tag");
  EXPECT_EQ(shape_of(parse(row(marked + "," + image, R"("1.png", "2.png")"))),
            "user:<#> is a tag<#>");
  EXPECT_EQ(row_error(row(marked, R"("1.png", "2.png")")),
            "the prompt has 1 image part, <image> in texts included, and 'images' has 2 paths; "
            "give one path per part or <image>");
}

TEST(ParseRow, image_parts_may_name_their_paths) {
  const PromptRecord record = parse(R"({"prompt": [{"role": "user", "content":
      [{"type": "image", "image": "a.png"}, {"type": "image", "path": "file:///b.png"}]}]})");
  EXPECT_EQ(record.images, (std::vector<ImageSource>{{.path = "d/a.png"}, {.path = "/b.png"}}));
}

TEST(ParseRow, aliases_stand_in_and_two_that_differ_are_refused) {
  EXPECT_EQ(parse(R"({"problem": "p", "solution": "s"})").ground_truth, "s");
  EXPECT_EQ(parse(R"({"problem": "p", "answer": "a"})").ground_truth, "a");
  const PromptRecord both = parse(
      R"({"problem": "p", "prompt": [{"role": "user", "content": "p"}], "answer": 5, "ground_truth": "5",
          "image": "1.png", "images": ["1.png"]})");
  EXPECT_EQ(shape_of(both), "user:<#>p");
  EXPECT_EQ(both.ground_truth, "5");
  EXPECT_EQ(row_error(R"({"problem": "raw", "prompt": "cooked"})"),
            "the row has 'prompt' and 'problem', which differ; remove the one that is not meant");
  EXPECT_EQ(row_error(R"({"prompt": "p", "answer": "a", "solution": "s"})"),
            "the row has 'solution' and 'answer', which differ; remove the one that is not meant");
  EXPECT_EQ(row_error(R"({"prompt": "p", "image": "1.png", "images": ["2.png"]})"),
            "the row has 'images' and 'image', which differ; remove the one that is not meant");
}

TEST(ParseRow, conversations_are_read_as_messages) {
  const PromptRecord record = parse(
      R"({"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "<image>\nq"},
          {"from": "gpt", "value": "<image> a"}], "image": "1.png"})");
  EXPECT_EQ(shape_of(record), "system:s|user:<#>\nq");
  EXPECT_EQ(record.completion, "<image> a") << "a completion's <image> is text";
  EXPECT_TRUE(record.completion_was_last_turn);
  EXPECT_EQ(row_error(R"({"conversations": [{"from": "observation", "value": "x"}]})"),
            "message 1 is from 'observation', expected system, human or gpt (tool calls are not "
            "supported)");
}

TEST(ParseRow, the_last_assistant_turn_is_the_completion) {
  const auto row = [](const std::string& rest) {
    return R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": [{"type": "text",
               "text": "a"}, {"type": "text", "text": "b"}]}])" +
           rest + "}";
  };
  const PromptRecord record = parse(row(""));
  EXPECT_EQ(shape_of(record), "user:q");
  EXPECT_EQ(record.completion, "ab");
  EXPECT_EQ(parse(row(R"(, "completion": "ab")")).completion, "ab");
  EXPECT_FALSE(parse(R"({"prompt": "p", "completion": "c"})").completion_was_last_turn);
  EXPECT_EQ(
      row_error(row(R"(, "completion": "c")")),
      "the prompt ends with an assistant turn and 'completion' says something else; keep one");
  EXPECT_EQ(row_error(R"({"messages": [{"role": "assistant", "content": "a"}]})"),
            "the prompt has no turn before the assistant's");
  EXPECT_EQ(
      row_error(
          R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"},
                          {"role": "assistant", "content": "b"}]})"),
      "the prompt ends with two assistant turns; join them");
  EXPECT_EQ(row_error(R"({"messages": [{"role": "user", "content": "q"},
                          {"role": "assistant", "content": [{"type": "image"}]}]})"),
            "the last assistant turn holds an image, expected text alone");
}

TEST(ParseRow, what_templates_would_render_beside_the_content_is_refused) {
  const auto with = [](const std::string& column) {
    return R"({"prompt": [{"role": "user", "content": "x"}], )" + column + "}";
  };
  const auto turn = [](const std::string& member) {
    return R"({"prompt": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", )" +
           member + R"(}, {"role": "user", "content": "z"}]})";
  };
  EXPECT_EQ(row_error(with(R"("tools": [{"type": "function"}])")),
            "the row has 'tools', which the prompt is not rendered with; remove the column");
  EXPECT_EQ(row_error(with(R"("chat_template_kwargs": {"enable_thinking": false})")),
            "the row has 'chat_template_kwargs', which the prompt is not rendered with; remove the "
            "column");
  EXPECT_EQ(row_error(turn(R"("reasoning_content": "hm")")),
            "message 2 has 'reasoning_content', which is not rendered; write it into 'content' as "
            "<think>...</think>");
  EXPECT_EQ(row_error(turn(R"("tool_calls": [{"name": "f"}])")),
            "message 2 has 'tool_calls', which are not supported");
  for (const char* nothing : {"null", "[]", "{}", R"({"a": null})", "\"[]\""})
    EXPECT_NO_THROW(
        parse(with(core::str(R"("tools": )", nothing, R"(, "chat_template_kwargs": )", nothing))));
  EXPECT_NO_THROW(parse(turn(R"("tool_calls": [], "reasoning_content": "")")));
}

TEST(ParseRow, limits_of_an_image_part_are_kept) {
  const auto part = [](const std::string& keys) {
    return R"({"prompt": [{"role": "user", "content": [{"type": "image", "image": "a.png")" + keys +
           "}]}]}";
  };
  const ImageLimits limits =
      parse(part(R"(, "min_pixels": 3136.0, "max_pixels": 12544)")).images.at(0).limits;
  EXPECT_EQ(limits, (ImageLimits{.min_pixels = 3136, .max_pixels = 12544}));
  EXPECT_EQ(
      parse(
          R"({"prompt": "<image>x", "images": [{"image": "a.png", "resized_height": 56, "resized_width": 84}]})")
          .images.at(0)
          .limits,
      (ImageLimits{.resized_height = 56, .resized_width = 84}));
  EXPECT_EQ(row_error(part(R"(, "max_pixels": 0)")),
            "an image part: 'max_pixels' is 0, expected 1..1000000000");
  EXPECT_EQ(row_error(part(R"(, "max_pixels": NaN)")),
            "an image part: 'max_pixels' is NaN, expected an integer");
  EXPECT_EQ(row_error(part(R"(, "resized_height": 56)")),
            "an image part has only one of 'resized_height' and 'resized_width'; give both");
}

TEST(ParseRow, images_are_found_wherever_peers_write_them) {
  const auto image = [](const std::string& part) {
    return parse(R"({"prompt": [{"role": "user", "content": [)" + part + "]}]}").images.at(0);
  };
  for (const char* part :
       {R"({"type": "image", "url": "a.png"})",
        R"({"type": "image", "path": "a.png", "image": null, "text": null})",
        R"({"type": "image", "image": "a.png", "url": "a.png"})",
        R"({"type": "image", "image": {"bytes": null, "path": "a.png"}})",
        R"({"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}})",
        R"({"type": "image_url", "image_url": "a.png"})"})
    EXPECT_EQ(image(part), ImageSource{.path = "d/a.png"}) << part;
  for (const char* part : {R"({"type": "image", "base64": "Zm9v"})",
                           R"({"type": "image", "image": "data:image/png;base64,Zm9v"})",
                           R"({"type": "image", "image": {"bytes": "Zm9v", "path": "a.png"}})"}) {
    ASSERT_TRUE(image(part).bytes) << part;
    EXPECT_EQ(*image(part).bytes, "foo") << part;
    EXPECT_EQ(image(part).name(), "the row's image 1");
  }
  const std::string png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNg";
  EXPECT_TRUE(image(R"({"type": "image", "image": ")" + png + "\"}").bytes) << "base64 of a PNG";
  EXPECT_FALSE(
      image(R"({"type": "image", "image": "some/folder/without/any/dot/of/a/length/like/this/x"})")
          .bytes);
  const std::string home = std::getenv("HOME");
  EXPECT_EQ(image(R"({"type": "image", "image": "~/a.png"})").path, home + "/a.png");
  EXPECT_EQ(image(R"({"type": "image", "image": "$HOME/a.png"})").path, home + "/a.png");
  EXPECT_EQ(image(R"({"type": "image", "image": "file:///x/my%20a.png"})").path, "/x/my a.png");
}

TEST(ParseRow, images_that_cannot_be_meant_are_refused_in_one_short_line) {
  const auto part = [](const std::string& json) {
    return row_error(R"({"prompt": [{"role": "user", "content": [)" + json + "]}]}");
  };
  EXPECT_EQ(part(R"({"type": "image", "image": "a.png", "url": "b.png"})"),
            "an image part has 'image' and 'url', which differ; keep one");
  EXPECT_EQ(part(R"({"type": "text", "text": "x", "image": "a.png"})"),
            "a text part has 'image'; make the image a part of its own");
  EXPECT_EQ(
      part(R"({"type": "image", "image": "data:image/svg+xml,<svg/>"})"),
      "the row's image 1 is a data: URI without base64 ('data:image/svg+xml,<svg/>'), expected "
      "data:image/png;base64,...");
  EXPECT_EQ(part(R"({"type": "image", "base64": "no*base64"})"),
            "the row's image 1 is no base64 text (9 characters)");
  EXPECT_EQ(part(R"({"type": "image", "image": "hf://d/a.png"})"),
            "image 'hf://d/a.png' is a URL, expected a path; download it first");
  const std::string long_text =
      part(R"({"type": "image", "image": ")" + std::string(80000, '*') + "\"}");
  EXPECT_EQ(long_text.substr(0, 74),
            "an image is a text of 80000 characters that is neither a path nor base64 (");
  EXPECT_LT(long_text.size(), 200u);
  EXPECT_EQ(row_error(R"({"prompt": "<image>", "images": [{"path": null}]})"),
            "'images' holds an object without an image");
}

TEST(ParseRow, null_columns_count_as_absent) {
  const PromptRecord record =
      parse(R"({"id": null, "prompt": "p", "images": null, "ground_truth": null, "task": null})");
  EXPECT_EQ(record.id, "12");
  EXPECT_FALSE(record.ground_truth);
}

TEST(ParseRow, missing_ground_truth_is_no_error) {
  EXPECT_FALSE(parse(R"({"prompt": "p"})").injected_text());
}

TEST(ParseRow, numbers_are_ids_and_answers) {
  const PromptRecord record = parse(R"({"id": 7, "prompt": "p", "ground_truth": 3.5})");
  EXPECT_EQ(record.id, "7");
  EXPECT_EQ(record.ground_truth, "3.5");
}

TEST(ParseRow, numbers_keep_their_digits_and_what_is_none_says_so_where_it_is_read) {
  const auto number = [](const std::string& text) {
    return parse(R"({"id": )" + text + R"(, "prompt": "p", "ground_truth": )" + text + "}");
  };
  for (const char* text : {"12345678901234567890",
                           "123456789012345678901234567890",
                           "-9223372036854775809",
                           "1.0",
                           "1e3"}) {
    EXPECT_EQ(number(text).id, text);
    EXPECT_EQ(number(text).ground_truth, text);
  }
  EXPECT_EQ(number(std::string(400, '7')).id, std::string(400, '7'));
  EXPECT_EQ(parse(R"({"prompt": "p", "ground_truth": 0.10})").ground_truth, "0.10");
  EXPECT_EQ(parse(R"({"prompt": "p", "score": NaN, "range": [-Infinity, 1e999]})").id, "12");
  EXPECT_EQ(row_error(R"({"id": NaN, "prompt": "p"})"),
            "'id' is NaN, expected a string or an integer");
  EXPECT_EQ(row_error(R"({"id": 1.5, "prompt": "p"})"),
            "'id' is a number, expected a string or an integer");
  EXPECT_EQ(row_error(R"({"prompt": "p", "ground_truth": -Infinity})"),
            "'ground_truth' is -Infinity, expected a string; write structured answers as JSON text "
            "in a string");
}

TEST(ParseRow, conversational_completion_is_read_as_its_text) {
  EXPECT_EQ(parse(R"({"prompt": "p", "completion": [{"role": "assistant", "content": "yes"}]})")
                .completion,
            "yes");
}

TEST(ParseRow, verify_rows_need_no_prompt) {
  const PromptRecord record =
      parse(R"({"completion": "x", "ground_truth": "x"})", {.requires_prompt = false});
  EXPECT_TRUE(record.messages.empty());
}

TEST(ParseRow, misspelt_prompt_column_is_guessed) {
  EXPECT_EQ(row_error(R"({"promt": "p", "images": []})"),
            "the row has no 'prompt' (or 'messages', 'problem', 'conversations'); its columns are "
            "promt, images; is 'promt' one? (did you mean 'prompt'?)");
  EXPECT_EQ(row_error("{}"),
            "the row has no 'prompt' (or 'messages', 'problem', 'conversations'); its columns are "
            "none");
  EXPECT_EQ(row_error(R"({"prompt": null})"), "'prompt' is null, expected text or messages");
}

TEST(ParseRow, wrong_types_are_named) {
  EXPECT_EQ(row_error("[1]"), "the row is a list, expected an object");
  EXPECT_EQ(row_error(R"({"prompt": 5})"),
            "'prompt' is a number, expected a string or a list of messages");
  EXPECT_EQ(row_error(R"({"prompt": ""})"), "'prompt' is empty");
  EXPECT_EQ(row_error(R"({"messages": []})"), "'messages' is an empty list of messages");
  EXPECT_EQ(row_error(R"({"prompt": ["hi"]})"),
            "message 1 is a string, expected {\"role\", \"content\"}");
  EXPECT_EQ(row_error(R"({"prompt": [{"role": "user"}]})"),
            "message 1: 'content' is missing, expected a string or a list of parts");
  EXPECT_EQ(row_error(R"({"prompt": [{"role": "tool", "content": "x"}]})"),
            "message 1 has role 'tool', expected system, user or assistant "
            "(tool calls are not supported)");
  EXPECT_EQ(row_error(R"({"id": "r1", "prompt": "p", "images": "1.png"})"),
            "'images' is a string, expected a list of paths (a single path goes under 'image')");
  EXPECT_EQ(row_error(R"({"prompt": "p", "images": [3]})"),
            "'images' holds a number, expected a path");
  EXPECT_EQ(row_error(R"({"prompt": "p", "ground_truth": ["a", "b"]})"),
            "'ground_truth' is a list, expected a string; "
            "write structured answers as JSON text in a string");
  EXPECT_EQ(row_error(R"({"prompt": "p", "verifier": 1})"),
            "'verifier' is a number, expected a string");
  EXPECT_EQ(row_error(R"({"prompt": "p", "id": [1]})"),
            "'id' is a list, expected a string or an integer");
}

TEST(ParseRow, unsupported_parts_are_refused_by_name) {
  const auto part = [](const std::string& json) {
    return row_error(R"({"prompt": [{"role": "user", "content": [)" + json + "]}]}");
  };
  EXPECT_EQ(part(R"({"type": "video", "video": "x.mp4"})"),
            "content part of type 'video' is not supported, expected 'text' or 'image'");
  EXPECT_EQ(part(R"({"text": "x"})"),
            "a content part is without 'type', expected {\"type\": \"text\", \"text\": ...} or "
            "{\"type\": \"image\"}");
  EXPECT_EQ(part(R"({"type": "text"})"), "a text part's 'text' is missing, expected a string");
  EXPECT_EQ(row_error(R"({"prompt": "p", "videos": ["v.mp4"]})"),
            "the row has 'videos', which are not supported");
}

TEST(ParseRow, more_image_parts_than_images_is_a_bad_row) {
  EXPECT_EQ(row_error(R"({"prompt": "<image> and <image>", "images": ["1.png"]})"),
            "the prompt has 2 image parts and 'images' has 1 path; "
            "give one path per part or <image>");
  EXPECT_EQ(row_error(R"({"prompt": [{"role": "user", "content": [{"type": "image"}]}]})"),
            "the prompt has 1 image part and 'images' has 0 paths; "
            "give one path per part or <image>");
  EXPECT_EQ(row_error(R"({"prompt": "<image>", "images": ["1.png", "2.png"]})"),
            "the prompt has 1 image part and 'images' has 2 paths; "
            "give one path per part or <image>");
  EXPECT_EQ(row_error(R"({"prompt": [{"role": "system", "content": "s"}], "image": "1.png"})"),
            "the row has images, but no user message that could take them");
}

TEST(ParseRow, placeholder_token_in_text_is_a_bad_row) {
  EXPECT_EQ(row_error(R"({"prompt": "what is <|image_pad|>?"})"),
            "the prompt's text contains the placeholder token <|image_pad|>; "
            "write {\"type\": \"image\"} or <image> where an image goes");
}

TEST(ParseRow, urls_are_refused) {
  EXPECT_EQ(row_error(R"({"prompt": "p", "image": "https://x.org/a.png"})"),
            "image 'https://x.org/a.png' is a URL, expected a path; download it first");
}

class RowFiles : public DataFiles {
 protected:
  /// Reasons of the bad rows, "" for good ones.
  std::vector<std::string> reasons(const std::string& bytes) {
    std::vector<std::string> result;
    for (const RowResult& row : read_rows(write("rows.jsonl", bytes), {})) {
      const auto* bad = std::get_if<RecordError>(&row);
      result.push_back(bad == nullptr ? "" : shorten(bad->what()));
    }
    return result;
  }
  std::string file_error(const std::string& bytes) {
    return shorten(error_of([&] { read_rows(write("rows.jsonl", bytes), {}); }));
  }
};

TEST_F(RowFiles, read_bom_crlf_and_blank_lines_is_fine) {
  EXPECT_EQ(reasons("\xEF\xBB\xBF{\"prompt\": \"a\"}\r\n\r\n{\"prompt\": \"b\"}"),
            (std::vector<std::string>{"", ""}));
}

TEST_F(RowFiles, read_blank_lines_still_count) {
  const auto rows = read_rows(write("rows.jsonl", "\n\n{\"prompt\": \"a\"}\n"), {});
  EXPECT_EQ(std::get<PromptRecord>(rows.at(0)).source.line, 3);
  EXPECT_EQ(std::get<PromptRecord>(rows.at(0)).id, "3");
}

TEST_F(RowFiles, read_cut_last_line_is_a_bad_row) {
  const auto all = reasons("{\"prompt\": \"a\"}\n{\"prompt\": \"b");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], "");
  EXPECT_TRUE(
      core::starts_with(all[1], "rows.jsonl:2 (id '2'): the last line is cut; not valid JSON: "))
      << all[1];
}

TEST_F(RowFiles, read_bad_utf8_names_the_byte) {
  EXPECT_EQ(reasons("{\"prompt\": \"caf\xE9!\"}\n{\"prompt\": \"ok\"}\n"),
            (std::vector<std::string>{"rows.jsonl:1 (id '1'): byte 16 of the line is not UTF-8; "
                                      "save the file as UTF-8",
                                      ""}));
}

TEST_F(RowFiles, read_bad_json_in_the_middle_leaves_the_rest) {
  const auto all = reasons("{\"prompt\": }\n{\"prompt\": \"ok\"}\n");
  EXPECT_TRUE(core::starts_with(all.at(0), "rows.jsonl:1 (id '1'): not valid JSON: ")) << all[0];
  EXPECT_EQ(all.at(1), "");
}

TEST_F(RowFiles, read_duplicate_key_is_a_bad_row) {
  EXPECT_EQ(reasons("{\"prompt\": \"a\", \"prompt\": \"b\"}\n").at(0),
            "rows.jsonl:1 (id '1'): key 'prompt' appears twice in one object");
}

TEST_F(RowFiles, read_other_kinds_of_files_are_named_once) {
  const std::string tail = ", expected JSONL: one JSON object a line";
  EXPECT_EQ(file_error("[\n{\"prompt\": \"a\"}\n]"),
            "rows.jsonl: is a JSON array (convert it with `jq -c '.[]'`)" + tail);
  EXPECT_EQ(file_error("PAR1...."), "rows.jsonl: is a Parquet file" + tail);
  EXPECT_EQ(file_error("\xFF\xFE{"), "rows.jsonl: is UTF-16 text (save it as UTF-8)" + tail);
  EXPECT_EQ(file_error(""), "rows.jsonl: has no rows, expected one JSON object a line");
  EXPECT_EQ(file_error("\n \n"), "rows.jsonl: has no rows, expected one JSON object a line");
}

TEST_F(RowFiles, read_missing_file_is_named) {
  EXPECT_EQ(error_of([] { read_rows("no/rows.jsonl", {}); }),
            "cannot read no/rows.jsonl: No such file or directory");
}

TEST_F(RowFiles, image_dir_replaces_the_files_folder) {
  const RowOptions options{.image_dir = "pictures", .image_root = std::nullopt};
  EXPECT_EQ(parse(R"({"prompt": "p", "image": "1.png"})", options).images.at(0).path,
            "pictures/1.png");
}

TEST_F(RowFiles, image_root_holds_against_dots_links_and_absolute_paths) {
  copy_image("rgb_1x1.png", "root/in.png");
  copy_image("rgb_1x1.png", "out.png");
  std::filesystem::create_symlink(folder_ / "out.png", folder_ / "root" / "link.png");
  std::filesystem::create_directory_symlink(folder_, folder_ / "root" / "up");
  const RowOptions options{.image_dir = folder_ / "root", .image_root = folder_ / "root"};
  const auto row = [](const std::string& path) {
    return R"({"id": "r", "prompt": "p", "image": ")" + path + "\"}";
  };
  EXPECT_EQ(parse(row("in.png"), options).images.at(0).path,
            std::filesystem::canonical(folder_ / "root") / "in.png");
  EXPECT_NO_THROW(parse(row("sub/../in.png"), options));
  for (const std::string& path : {std::string("../out.png"),
                                  std::string("link.png"),
                                  std::string("up/out.png"),
                                  (folder_ / "out.png").string(),
                                  (folder_ / "rootless.png").string()}) {
    EXPECT_EQ(shorten(row_error(row(path), options)),
              "image '" + shorten(core::printable(path)) +
                  "' lies outside data.image_root 'root'; move it or change the root");
  }
}

}  // namespace
}  // namespace sgrpo::data
