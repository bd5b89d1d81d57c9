// Rows good and bad: what a bad one says, and that good ones mean what their authors meant.
#include "sgrpo/data/rows.h"

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
  return parse_row(
      core::parse_json(json, "row"), RowSource{.file = "d/rows.jsonl", .line = 12}, options);
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
  EXPECT_EQ(record.images, std::vector<std::filesystem::path>{"d/img/7.png"});
  EXPECT_EQ(record.ground_truth, "boot");
  EXPECT_EQ(record.injected_text(), "A boot.");
  EXPECT_EQ(record.completion, "a boot");
  EXPECT_EQ(record.verifier, "exact");
  EXPECT_EQ(record.task, "shoes");
  EXPECT_EQ(record.columns.at("extra").dump(), "[1,2]");
  EXPECT_EQ(record.source.str(), "d/rows.jsonl:12");
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

TEST(ParseRow, marker_inside_a_text_part_is_text) {
  EXPECT_EQ(shape_of(parse(R"({"prompt": [{"role": "user", "content":
                               [{"type": "text", "text": "<image> is a tag"}]}]})")),
            "user:<image> is a tag");
}

TEST(ParseRow, image_parts_may_name_their_paths) {
  const PromptRecord record = parse(R"({"prompt": [{"role": "user", "content":
      [{"type": "image", "image": "a.png"}, {"type": "image", "path": "file:///b.png"}]}]})");
  EXPECT_EQ(record.images, (std::vector<std::filesystem::path>{"d/a.png", "/b.png"}));
}

TEST(ParseRow, aliases_stand_in_and_the_contracts_own_name_wins) {
  EXPECT_EQ(parse(R"({"problem": "p", "solution": "s"})").ground_truth, "s");
  EXPECT_EQ(parse(R"({"problem": "p", "answer": "a"})").ground_truth, "a");
  const PromptRecord both =
      parse(R"({"problem": "raw", "prompt": "cooked", "answer": "a", "ground_truth": "g"})");
  EXPECT_EQ(shape_of(both), "user:cooked");
  EXPECT_EQ(both.ground_truth, "g");
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
            "the row has no 'prompt' (or 'messages', 'problem'); its columns are promt, images; "
            "is 'promt' one? (did you mean 'prompt'?)");
  EXPECT_EQ(row_error("{}"),
            "the row has no 'prompt' (or 'messages', 'problem'); its columns are none");
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
            "'images' holds a number, expected paths");
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
  EXPECT_EQ(part(R"({"type": "image_url", "image_url": {"url": "x"}})"),
            "content part of type 'image_url' is not supported, expected 'text' or 'image' "
            "(with the path under 'image' or in 'images')");
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
  EXPECT_EQ(parse(R"({"prompt": "p", "image": "1.png"})", options).images.at(0), "pictures/1.png");
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
  EXPECT_EQ(parse(row("in.png"), options).images.at(0),
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
