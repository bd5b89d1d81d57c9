// The identity of a model folder follows its content, part by part.
#include "sgrpo/checkpoint/identity.h"

#include "checkpoint/files.h"
#include "checkpoint/tiny_folder.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

using testing::read_text;
using testing::Scratch;
using testing::write_text;

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() { testing::write_tiny_folder(folder_); }

  /// Which parts differ from those of the fresh folder: w, t, c, p.
  std::string changed() const {
    const ModelIdentity now = identify_model(folder_);
    std::string parts;
    if (now.weights != before_.weights) parts += "w";
    if (now.tokenizer != before_.tokenizer) parts += "t";
    if (now.chat_template != before_.chat_template) parts += "c";
    if (now.processor != before_.processor) parts += "p";
    return parts;
  }
  void note() { before_ = identify_model(folder_); }

  const Scratch scratch_;
  const fs::path folder_ = scratch_ / "m";
  ModelIdentity before_;
};

TEST_F(IdentityTest, follows_the_content_and_not_the_place) {
  note();
  fs::rename(folder_, scratch_ / "moved");
  fs::copy(scratch_ / "moved", folder_, fs::copy_options::recursive);
  EXPECT_EQ(changed(), "");
  write_text(folder_ / "README.md", "notes");
  EXPECT_EQ(changed(), "");
}

TEST_F(IdentityTest, every_part_is_told_apart) {
  write_text(folder_ / "tokenizer_config.json", R"({"chat_template": "a", "pad": 1})");
  note();
  write_text(folder_ / "tokenizer_config.json", R"({"chat_template": "b", "pad": 1})");
  EXPECT_EQ(changed(), "c");
  write_text(folder_ / "tokenizer_config.json", R"({"chat_template": "b", "pad": 2})");
  EXPECT_EQ(changed(), "tc");
  note();
  write_text(folder_ / "preprocessor_config.json", R"({"min_pixels": 9})");
  EXPECT_EQ(changed(), "p");
  write_text(folder_ / "chat_template.jinja", "c");
  EXPECT_EQ(changed(), "cp");
  write_text(folder_ / "generation_config.json", R"({"eos_token_id": 9})");
  EXPECT_EQ(changed(), "wcp");
}

TEST_F(IdentityTest, first_and_last_byte_of_every_shard_and_its_header_count) {
  note();
  int64_t num_shards = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() != ".safetensors") continue;
    ++num_shards;
    const std::string good = read_text(entry.path());
    const size_t header = 8 + static_cast<size_t>(static_cast<unsigned char>(good[0])) +
                          256 * static_cast<size_t>(static_cast<unsigned char>(good[1]));
    for (const size_t at : {size_t{9}, header, good.size() - 1}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1);
      write_text(entry.path(), bad);
      EXPECT_EQ(changed(), "w") << entry.path() << " byte " << at;
    }
    write_text(entry.path(), good);
  }
  EXPECT_EQ(num_shards, 2);
  EXPECT_EQ(changed(), "");
}

TEST_F(IdentityTest, large_shard_is_known_by_pieces) {
  std::string bytes(4 << 20, 'x');
  bytes.replace(0, 8, std::string("\x08\0\0\0\0\0\0\0", 8));
  write_text(folder_ / "z.safetensors", bytes);
  note();
  const auto flip = [&](size_t at) {
    std::string other = bytes;
    other[at] = 'y';
    write_text(folder_ / "z.safetensors", other);
    return changed();
  };
  const size_t header = 16, piece = 64 << 10;
  const size_t seventh = header + (bytes.size() - header - piece) * 7 / 15;
  for (const size_t at : {seventh, seventh + piece - 1, bytes.size() - 1})
    EXPECT_EQ(flip(at), "w") << at;
  EXPECT_EQ(flip(seventh - 1), "") << "between two pieces";
}

}  // namespace
}  // namespace sgrpo::checkpoint
