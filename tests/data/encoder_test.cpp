// Rows -> ids, positions and pixels against transformers (tests/golden/data).
#include "sgrpo/data/encoder.h"

#include <ATen/ATen.h>

#include "data_files.h"
#include "testing/png.h"

namespace sgrpo::data {
namespace {

std::vector<int64_t> to_vector(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  const auto* data = dense.const_data_ptr<int64_t>();
  return {data, data + dense.numel()};
}

std::vector<std::shared_ptr<const PromptRecord>> golden_records() {
  std::vector<std::shared_ptr<const PromptRecord>> records;
  for (RowResult& row : read_rows(kGolden / "data" / "requests.jsonl", {}))
    records.push_back(std::make_shared<const PromptRecord>(std::get<PromptRecord>(row)));
  return records;
}

TEST(PromptEncoder, encode_every_golden_equals_transformers) {
  const PromptEncoder encoder(golden_spec());
  const auto lines = core::split(core::read_file(kGolden / "data" / "expected.jsonl"), '\n');
  const auto records = golden_records();
  ASSERT_EQ(records.size(), 16u);
  for (size_t i = 0; i < records.size(); ++i) {
    const std::string& id = records[i]->id;
    const core::Json want = core::parse_json(lines.at(i), id);
    ASSERT_EQ(core::get_string(want, "id", id), id);
    const EncodedPrompt prompt = encoder.encode(records[i]);
    EXPECT_EQ(to_vector(prompt.token_ids), core::get_int_list(want, "prompt_ids", id)) << id;
    EXPECT_EQ(encoder.completion_ids(*records[i]->completion),
              core::get_int_list(want, "completion_ids", id))
        << id;
    EXPECT_EQ(prompt.next_position(), core::get_int(want, "next", id)) << id;
    std::vector<int64_t> positions, grid;
    for (const core::Json& row : want.at("positions"))
      for (const core::Json& value : row) positions.push_back(value.get<int64_t>());
    for (const core::Json& row : want.at("grid"))
      for (const core::Json& value : row) grid.push_back(value.get<int64_t>());
    EXPECT_EQ(to_vector(prompt.position_ids), positions) << id;
    EXPECT_EQ(to_vector(prompt.patches.grid_thw), grid) << id;
    EXPECT_EQ(prompt.patches.pixel_values.size(1), 1176) << id;
    EXPECT_EQ(prompt.record, records[i]);
  }
}

TEST(PromptEncoder, encode_two_images_holds_the_patches_of_each_in_order) {
  const EncoderSpec spec = golden_spec();
  const auto record = golden_records().at(2);
  ASSERT_EQ(record->images.size(), 2u);
  const EncodedPrompt prompt = PromptEncoder(spec).encode(record);
  const at::Tensor first = image::load_image(record->images[0], *spec.processor).pixel_values;
  const at::Tensor second = image::load_image(record->images[1], *spec.processor).pixel_values;
  EXPECT_TRUE(prompt.patches.pixel_values.equal(at::cat({first, second})));
}

TEST(PromptEncoder, stream_hash_sees_every_change) {
  const PromptEncoder encoder(golden_spec());
  const auto records = golden_records();
  const EncodedPrompt prompt = encoder.encode(records[0]);
  EXPECT_EQ(prompt.stream_hash, encoder.encode(records[0]).stream_hash);
  EXPECT_EQ(prompt.stream_hash, stream_hash(prompt.token_ids, prompt.patches));
  PixelPatches changed = prompt.patches;
  changed.pixel_values = changed.pixel_values.clone();
  changed.pixel_values[3][17] += 1e-3;
  EXPECT_NE(prompt.stream_hash, stream_hash(prompt.token_ids, changed));
  EXPECT_NE(prompt.stream_hash, stream_hash(prompt.token_ids + 1, prompt.patches));
}

TEST(PromptEncoder, completion_text_drops_one_end_token) {
  EncoderSpec spec = golden_spec();
  const int64_t other_end = spec.tokenizer->token_id("<|endoftext|>").value();
  const auto plain = spec.tokenizer->encode("It is red.");
  const PromptEncoder strict(spec);
  auto ended = plain;
  ended.push_back(spec.turn_end_id);
  EXPECT_EQ(strict.completion_text(plain), "It is red.");
  EXPECT_EQ(strict.completion_text(ended), "It is red.");
  ended.push_back(spec.turn_end_id);
  EXPECT_EQ(strict.completion_text(ended), "It is red.<|im_end|>");
  auto other = plain;
  other.push_back(other_end);
  EXPECT_EQ(strict.completion_text(other), "It is red.<|endoftext|>");
  spec.end_ids = {other_end};
  EXPECT_EQ(PromptEncoder(spec).completion_text(other), "It is red.");
  EXPECT_EQ(strict.completion_text({}), "");
}

TEST(MropePositions, place_of_an_image_is_rows_and_columns_from_its_start) {
  const at::Tensor grid = at::tensor({1, 4, 6}, at::kLong).view({1, 3});
  const auto got = mrope_positions({5, 9, 9, 9, 9, 9, 9, 5, 5}, 9, grid, 2);
  EXPECT_EQ(to_vector(got), (std::vector<int64_t>{0, 1, 1, 1, 1, 1, 1, 4, 5,     // temporal
                                                  0, 1, 1, 1, 2, 2, 2, 4, 5,     // row
                                                  0, 1, 2, 3, 1, 2, 3, 4, 5}));  // column
}

TEST(MropePositions, wrong_number_of_images_throws) {
  const at::Tensor grid = at::tensor({1, 4, 6}, at::kLong).view({1, 3});
  EXPECT_THROW(mrope_positions({5, 5}, 9, grid, 2), c10::ValueError);
  EXPECT_THROW(mrope_positions({5, 9, 9}, 9, grid, 2), c10::ValueError);
  EXPECT_THROW(mrope_positions({9}, 9, at::empty({0, 3}, at::kLong), 2), c10::ValueError);
}

class EncodeErrors : public DataFiles {
 protected:
  std::shared_ptr<const PromptRecord> record(const std::string& json) {
    const RowSource source{.file = (folder_ / "rows.jsonl").string(), .line = 12};
    return std::make_shared<const PromptRecord>(
        parse_row(core::parse_json(json, "row"), source, {}));
  }
  std::string encode_error(const std::string& json, const EncoderSpec& spec = golden_spec()) {
    return shorten(error_of([&] { PromptEncoder(spec).encode(record(json)); }));
  }
  std::string image_error(const std::string& name) {
    return encode_error(R"({"id": "r1", "prompt": "What?", "image": ")" + name + "\"}");
  }
};

TEST_F(EncodeErrors, missing_image_is_named) {
  EXPECT_EQ(image_error("gone.png"),
            "rows.jsonl:12 (id 'r1'): cannot read gone.png: No such file or directory");
}

TEST_F(EncodeErrors, empty_image_is_named) {
  write("empty.png", "");
  EXPECT_EQ(image_error("empty.png"),
            "rows.jsonl:12 (id 'r1'): empty.png: is empty (0 bytes); "
            "copy or download the file again");
}

TEST_F(EncodeErrors, truncated_image_is_named) {
  const std::string good = core::read_file(kGolden / "image/files/rgb_500x350.jpg");
  write("cut.jpg", good.substr(0, good.size() / 2));
  EXPECT_EQ(image_error("cut.jpg"),
            core::str("rows.jsonl:12 (id 'r1'): cut.jpg: is truncated: the JPEG ends after ",
                      good.size() / 2,
                      " bytes without its end marker; copy or download the file again"));
}

TEST_F(EncodeErrors, pdf_named_png_is_named) {
  write("doc.png", "%PDF-1.7 ...");
  EXPECT_EQ(image_error("doc.png"),
            "rows.jsonl:12 (id 'r1'): doc.png: is a PDF document, expected a JPEG, PNG, WebP or "
            "BMP image; convert or replace it");
}

TEST_F(EncodeErrors, header_bomb_is_refused) {
  std::string jpeg = core::read_file(kGolden / "image/files/rgb_420_96x64.jpg");
  jpeg.replace(jpeg.find("\xFF\xC0") + 5, 4, "\x75\x30\x75\x30");
  write("bomb.jpg", jpeg);
  EXPECT_EQ(image_error("bomb.jpg"),
            "rows.jsonl:12 (id 'r1'): bomb.jpg: declares 30000x30000 pixels, at most 178956970 are "
            "decoded; shrink the image");
}

TEST_F(EncodeErrors, aspect_ratio_above_200_is_named) {
  std::string bmp = core::read_file(kGolden / "image/files/rare_top_down.bmp").substr(0, 54);
  bmp[18] = 1, bmp[19] = 0;                                            // width 1
  bmp[22] = static_cast<char>(0xC9), bmp[23] = bmp[24] = bmp[25] = 0;  // height 201
  write("thin.bmp", bmp + std::string(201 * 4, '\x40'));
  EXPECT_EQ(image_error("thin.bmp"),
            "rows.jsonl:12 (id 'r1'): thin.bmp: image of 1x201 pixels has an aspect ratio above "
            "200; crop it or remove the row");
}

TEST_F(EncodeErrors, long_prompt_has_both_numbers_and_is_never_cut) {
  copy_image("rgb_56x56.png", "a.png");
  EncoderSpec spec = golden_spec();
  const auto row = record(R"({"id": "r1", "prompt": "What?", "image": "a.png"})");
  const int64_t length = PromptEncoder(spec).encode(row).num_tokens();
  spec.max_prompt_tokens = length;
  EXPECT_EQ(PromptEncoder(spec).encode(row).num_tokens(), length);
  spec.max_prompt_tokens = length - 1;
  EXPECT_THROW(PromptEncoder(spec).encode(row), LongPromptError);
  EXPECT_EQ(shorten(error_of([&] { PromptEncoder(spec).encode(row); })),
            core::str("rows.jsonl:12 (id 'r1'): the prompt has ",
                      length,
                      " tokens, at most ",
                      length - 1,
                      " are allowed (data.max_prompt_tokens); raise the limit, shorten the text or "
                      "lower data.max_pixels"));
}

TEST_F(EncodeErrors, long_prompt_names_the_model_where_that_is_the_limit) {
  EncoderSpec spec = golden_spec();
  spec.max_positions = 8;
  EXPECT_NE(encode_error(R"({"prompt": "What is it?"})", spec)
                .find("tokens, at most 8 are allowed (the model's max_position_embeddings); "
                      "shorten the text or lower data.max_pixels"),
            std::string::npos);
}

TEST_F(EncodeErrors, a_last_assistant_turn_is_for_sft_alone) {
  const std::string row =
      R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})";
  EncoderSpec spec = golden_spec();
  EXPECT_EQ(encode_error(row, spec), core::str("rows.jsonl:12 (id '12'): ", kLastTurnReason));
  spec.takes_last_turn = true;
  const EncodedPrompt prompt = PromptEncoder(spec).encode(record(row));
  EXPECT_EQ(to_vector(prompt.token_ids),
            to_vector(PromptEncoder(spec).encode(record(R"({"prompt": "q"})")).token_ids));
}

TEST_F(EncodeErrors, pictures_may_stand_in_the_row_and_ask_for_a_size) {
  copy_image("rgb_244x138.png", "a.png");
  const EncoderSpec spec = golden_spec();
  const PromptEncoder encoder(spec);
  const auto part = [&](const std::string& keys) {
    return encoder.encode(
        record(R"({"prompt": [{"role": "user", "content": [{"type": "image", )" + keys + "}]}]}"));
  };
  const EncodedPrompt file = part(R"("image": "a.png")");
  const std::string base64 =  // 60 x 44 pixels of one green
      "iVBORw0KGgoAAAANSUhEUgAAADwAAAAsCAIAAAC2SEy+AAAATklEQVR4nO3OQQ3AIAAAMeA3E/iXgqx52OPIklZB53P2"
      "+Jt1O/CFdEW6Il2RrkhXpCvSFemKdEW6Il2RrkhXpCvSFemKdEW6Il2RrkhXXoMbAUe911ebAAAAAElFTkSuQmCC";
  const EncodedPrompt held = part(R"("base64": ")" + base64 + "\"");
  EXPECT_EQ(held.num_images(), 1);
  EXPECT_EQ(held.stream_hash,
            part(R"("url": "data:image/png;base64,)" + base64 + "\"").stream_hash);
  const auto tokens = [&](const EncodedPrompt& prompt) {
    return (prompt.token_ids == spec.image_token_id).sum().item<int64_t>();
  };
  EXPECT_GT(tokens(file), 12);
  EXPECT_LE(tokens(part(R"("image": "a.png", "max_pixels": 9408)")), 12);
  EXPECT_GE(tokens(part(R"("image": "a.png", "min_pixels": 100352)")), 128);
  EXPECT_EQ(tokens(part(R"("image": "a.png", "resized_height": 84, "resized_width": 60)")), 6);
  EXPECT_EQ(tokens(part(R"("image": "a.png", "resized_height": 1, "resized_width": 1)")), 4)
      << "qwen-vl-utils takes at least four tokens";
}

TEST_F(EncodeErrors, chunks_are_the_prompt_without_a_template) {
  copy_image("rgb_56x56.png", "a.png");
  const EncoderSpec spec = golden_spec();
  const PromptEncoder encoder(spec);
  const auto row = record(R"({"prompt": "see <image> well", "image": "a.png"})");
  const EncodedPrompt whole = encoder.encode(row);
  const std::vector<int64_t> ids = encoder.render(*row);
  const auto placeholder = std::find(ids.begin(), ids.end(), spec.image_token_id);
  std::vector<PromptChunk> chunks = {{.token_ids = {ids.begin(), placeholder}},
                                     {.image = row->images[0], .expected_tokens = 4},
                                     {.token_ids = {placeholder + 1, ids.end()}}};
  const EncodedPrompt joined = encoder.encode_chunks(chunks, row);
  EXPECT_EQ(joined.stream_hash, whole.stream_hash);
  EXPECT_TRUE(joined.position_ids.equal(whole.position_ids));
  EXPECT_EQ(joined.record, row);

  const auto chunk_error = [&] {
    return shorten(error_of([&] { encoder.encode_chunks(chunks, row); }));
  };
  chunks[1].expected_tokens = 5;
  EXPECT_EQ(chunk_error(),
            "rows.jsonl:12 (id '12'): a.png takes 4 tokens, expected 5; was it encoded with other "
            "pixel limits?");
  chunks[1].expected_tokens.reset();
  chunks[0].token_ids.push_back(spec.image_token_id);
  EXPECT_EQ(chunk_error(),
            "rows.jsonl:12 (id '12'): a chunk of token ids contains an image or video placeholder "
            "token; remove it");
  chunks[0].token_ids.back() = spec.tokenizer->size();
  EXPECT_NE(chunk_error().find("a chunk holds token id"), std::string::npos);
  chunks = {};
  EXPECT_EQ(chunk_error(), "rows.jsonl:12 (id '12'): the chunks hold neither a token nor an image");
}

TEST_F(EncodeErrors, sixty_four_images_are_one_span_each_in_order) {
  copy_image("rgb_56x56.png", "a.png");
  copy_image("rgb_28x28.png", "b.png");
  std::string paths;
  for (int i = 0; i < 64; ++i)
    paths += core::str(i == 0 ? "" : ", ", i % 2 ? "\"b.png\"" : "\"a.png\"");
  const auto row = record(R"({"prompt": "Which differ?", "images": [)" + paths + "]}");
  const EncoderSpec spec = golden_spec();
  ImageCost cost;
  const EncodedPrompt prompt = PromptEncoder(spec).encode(row, cost);
  EXPECT_EQ(cost.images, 64);
  EXPECT_GT(cost.cpu_seconds, 0.0);
  ASSERT_EQ(prompt.num_images(), 64);
  const at::Tensor is_image = prompt.token_ids == spec.image_token_id;
  const at::Tensor grid = prompt.patches.grid_thw;
  EXPECT_EQ(is_image.sum().item<int64_t>(), (grid.prod(1) / 4).sum().item<int64_t>());
  EXPECT_TRUE(at::equal(at::tensor(prompt.image_rows, at::kLong), is_image.nonzero().squeeze(1)));
  const at::Tensor first = image::load_image(row->images[0], *spec.processor).pixel_values;
  const at::Tensor second = image::load_image(row->images[1], *spec.processor).pixel_values;
  const int64_t pair = first.size(0) + second.size(0);
  for (int64_t i = 0; i < 32; ++i)
    EXPECT_TRUE(prompt.patches.pixel_values.slice(0, i * pair, (i + 1) * pair)
                    .equal(at::cat({first, second})))
        << i;
}

TEST_F(EncodeErrors, images_beyond_the_limit_are_counted_but_not_decoded) {
  // Headers hold, pixels do not: decoding any of the later ones would be another error.
  copy_image("rgb_56x56.png", "good.png");
  const std::string size = testing::be32(560) + testing::be32(560);
  write("hollow.png",
        "\x89PNG\r\n\x1A\n" + testing::png_chunk("IHDR", size + std::string("\x08\x02\0\0\0", 5)) +
            testing::png_chunk("IDAT", std::string(1024, '\x5A')) + testing::png_chunk("IEND", ""));
  EncoderSpec spec = golden_spec();
  spec.processor->max_pixels = 1 << 20;
  spec.max_prompt_tokens = 100;
  EXPECT_NE(
      encode_error(R"({"prompt": "p", "images": ["good.png", "hollow.png", "hollow.png"]})", spec)
          .find("tokens, at most 100 are allowed"),
      std::string::npos);
  spec.max_prompt_tokens = 10000;
  EXPECT_NE(encode_error(R"({"prompt": "p", "images": ["good.png", "hollow.png"]})", spec)
                .find("is a damaged PNG of 560x560 pixels"),
            std::string::npos);
}

TEST_F(EncodeErrors, what_a_run_cannot_use_is_a_bad_row) {
  EncoderSpec spec = golden_spec();
  spec.check_record = [](const PromptRecord& row) {
    if (row.verifier == "exct") throw core::UserError("unknown verifier 'exct'");
  };
  EXPECT_EQ(encode_error(R"({"prompt": "p", "verifier": "exct"})", spec),
            "rows.jsonl:12 (id '12'): unknown verifier 'exct'");
}

TEST_F(EncodeErrors, ground_truth_too_long_has_both_numbers) {
  EncoderSpec spec = golden_spec();
  spec.max_ground_truth_tokens = 2;
  EXPECT_EQ(encode_error(R"({"prompt": "p", "ground_truth": "a, b and c"})", spec),
            core::str("rows.jsonl:12 (id '12'): the ground truth has ",
                      PromptEncoder(spec).completion_ids("a, b and c").size(),
                      " tokens, at most 2 are allowed (rollout.max_new_tokens); raise the limit or "
                      "shorten it"));
}

TEST_F(EncodeErrors, ground_truth_with_placeholder_is_a_bad_row) {
  EXPECT_EQ(encode_error(R"({"prompt": "p", "ground_truth": "see <|image_pad|>"})"),
            "rows.jsonl:12 (id '12'): the ground truth contains an image or video placeholder "
            "token; remove it");
}

TEST_F(EncodeErrors, ground_truth_missing_gives_no_ids) {
  EXPECT_TRUE(
      PromptEncoder(golden_spec()).encode(record(R"({"prompt": "p"})")).ground_truth_ids.empty());
}

TEST_F(EncodeErrors, ground_truth_completion_is_what_is_encoded) {
  const EncoderSpec spec = golden_spec();
  const PromptEncoder encoder(spec);
  const EncodedPrompt prompt = encoder.encode(
      record(R"({"prompt": "p", "ground_truth": "a", "ground_truth_completion": "so a"})"));
  EXPECT_EQ(prompt.ground_truth_ids, encoder.completion_ids("so a"));
  EXPECT_EQ(prompt.ground_truth_ids.back(), spec.turn_end_id);
}

TEST_F(EncodeErrors, image_in_a_text_model_is_refused) {
  EncoderSpec spec = golden_spec();
  spec.image_token_id = spec.video_token_id = -1;
  spec.processor.reset();
  EXPECT_EQ(encode_error(R"({"prompt": "p", "image": "a.png"})", spec),
            "rows.jsonl:12 (id '12'): the row has images, but the model takes text only; choose a "
            "vision-language checkpoint or remove the row");
  const EncodedPrompt prompt = PromptEncoder(spec).encode(record(R"({"prompt": "p"})"));
  EXPECT_EQ(prompt.num_images(), 0);
  EXPECT_EQ(prompt.next_position(), prompt.num_tokens());
}

}  // namespace
}  // namespace sgrpo::data
