#include "sgrpo/checkpoint/model_folder.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <system_error>

#include "checkpoint/io.h"
#include "checkpoint/manifest.h"
#include "checkpoint/resolve.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxJsonBytes = uint64_t{256} << 20;
constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

core::Json read_json(const fs::path& path) {
  return core::parse_json(core::read_file(path, kMaxJsonBytes), path.string());
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// Names of the regular files of a folder, sorted; links to files count.
std::vector<std::string> file_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code broken_link;
    if (entry->is_regular_file(broken_link)) names.push_back(entry->path().filename().string());
  }
  if (error) throw FormatError(core::str("cannot list ", folder.string(), ": ", error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

/// An index's "weight_map": (tensor name, file name).
std::vector<std::pair<std::string, std::string>> read_weight_map(const fs::path& index) {
  const core::Json json = read_json(index);
  std::vector<std::pair<std::string, std::string>> map;
  for (const auto& [name, file] : core::get_object(json, "weight_map", index.string()).items()) {
    std::string shard = file.is_string() ? file.get<std::string>() : "";
    if (shard.empty() || fs::path(shard).filename() != shard) {
      throw FormatError(core::str(index.string(),
                                  ": tensor '",
                                  core::printable(name),
                                  "' is mapped to ",
                                  core::printable(core::dump_ascii(file)),
                                  ", expected the name of a file in the same folder"));
    }
    map.emplace_back(name, std::move(shard));
  }
  return map;
}

/// The weight files of a folder: model.safetensors, else the index's shards, else all there are.
std::vector<std::string> weight_files(const fs::path& folder) {
  if (is_there(folder / kSingleFile)) return {kSingleFile};
  std::vector<std::string> files;
  if (is_there(folder / kIndexFile)) {
    for (const auto& [tensor, file] : read_weight_map(folder / kIndexFile)) {
      if (std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
    }
    return files;
  }
  std::string pickle;
  for (const std::string& name : file_names(folder)) {
    if (fs::path(name).extension() == ".safetensors") files.push_back(name);
    if (pickle.empty() && is_foreign_weights(name)) pickle = name;
  }
  if (!files.empty()) return files;
  if (!pickle.empty()) {
    throw FormatError(core::str(
        folder.string(),
        " has weights only as ",
        pickle,
        ", which is not read (expected *.safetensors; pickles can run code); convert it once in "
        "Python: AutoModelForImageTextToText.from_pretrained(DIR).save_pretrained(NEW_DIR), or "
        "AutoModelForCausalLM for a text model"));
  }
  throw core::UserError(core::str(folder.string(),
                                  " is not a checkpoint: config.json is there, but neither ",
                                  kSingleFile,
                                  " nor ",
                                  kIndexFile,
                                  " nor any other *.safetensors"));
}

/// How to name another base: a checkpoint of ours is not edited, or its checksums would not match.
std::string advice_of(const AdapterFolder& adapter) {
  if (!is_there(adapter.folder().parent_path() / kManifest)) return "";
  return core::str(", in a copy, since a checkpoint must stay as it was saved: `cp -r ",
                   adapter.folder().string(),
                   " NEW_DIR`, change NEW_DIR/adapter_config.json, and give NEW_DIR");
}

/// The model folder that an adapter adds to.
fs::path base_folder(const AdapterFolder& adapter) {
  const std::string& base = adapter.config().base_model;
  const std::string where = (adapter.folder() / "adapter_config.json").string();
  if (!is_there(base)) {
    throw core::UserError(
        core::str(where,
                  ": base_model_name_or_path is '",
                  core::printable(base, 200),
                  "', and there is no such folder here: write the base model's folder there (names "
                  "on the Hugging Face Hub are not downloaded)",
                  advice_of(adapter)));
  }
  const fs::path folder = resolve_model_folder(base).model;
  if (is_adapter_folder(folder)) {
    throw core::UserError(core::str(where,
                                    ": base_model_name_or_path is itself an adapter (",
                                    base,
                                    "): merge that one first with `sgrpo export --checkpoint DIR "
                                    "--output NEW_DIR` and write NEW_DIR there"));
  }
  return folder;
}

std::vector<int64_t> ids_in(const core::Json& object, const std::string& where) {
  if (!object.is_object()) throw FormatError(where + ": not an object of settings");
  const core::Json* value = core::find(object, "eos_token_id");
  if (value == nullptr) return {};
  if (value->is_array()) return core::get_int_list(object, "eos_token_id", where);
  return {core::get_int(object, "eos_token_id", where)};
}

}  // namespace

ModelFolder::ModelFolder(const fs::path& path, Digits digits) {
  const Resolved found = resolve_model_folder(path);
  folder_ = found.model;
  if (is_adapter_folder(folder_)) {
    adapter_ = std::make_shared<const AdapterFolder>(folder_);
    folder_ = base_folder(*adapter_);
  } else if (!found.step.empty() && digits == Digits::kWide) {
    open_wide(found.step);
  }
  config_ = read_json(config_path());
  open_files();
  index_tensors();
  open_others();
}

void ModelFolder::open_wide(const fs::path& step) {
  const fs::path path = step / kOptimizerFile;
  if (!is_there(path)) {
    if (find_damage(step, kOptimizerFile).empty()) return;  // it never had one
    core::warn(path.string(),
               " is missing: if the run trained wider weights than its model/ holds, they are lost "
               "and the rounded ones are opened");
    return;
  }
  SafetensorsFile file(path);
  const auto& entries = file.entries();
  if (std::none_of(entries.begin(), entries.end(), [](const TensorEntry& entry) {
        return core::starts_with(entry.name, kWidePrefix);
      })) {
    return;
  }
  if (const std::string damage = find_damage(step, kOptimizerFile); !damage.empty()) {
    throw FormatError(core::str("checkpoint ",
                                step.string(),
                                " is damaged: ",
                                damage,
                                "; give the run folder to get its newest intact checkpoint, or ",
                                folder_.string(),
                                " for the rounded weights"));
  }
  wide_ = std::move(file);
}

std::string ModelFolder::describe() const {
  if (adapter_) return core::str(adapter_->folder().string(), ", an adapter of ", folder_.string());
  if (!wide_) return folder_.string();
  return core::str(folder_.string(), " with the float32 weights of ", wide_->path().string());
}

void ModelFolder::open_files() {
  for (const std::string& name : weight_files(folder_)) {
    if (!is_there(folder_ / name)) {
      throw FormatError(core::str((folder_ / kIndexFile).string(),
                                  " needs shard ",
                                  name,
                                  ", which is missing; copy or download it again"));
    }
    files_.emplace_back(folder_ / name);
  }
}

void ModelFolder::index_tensors() {
  for (size_t i = 0; i < files_.size(); ++i) {
    for (const TensorEntry& entry : files_[i].entries()) {
      names_.push_back(entry.name);
      location_.emplace_back(entry.name, i);
    }
  }
  std::sort(location_.begin(), location_.end());
  for (size_t i = 1; i < location_.size(); ++i) {
    if (location_[i].first != location_[i - 1].first) continue;
    throw FormatError(core::str("tensor '",
                                location_[i].first,
                                "' is in two files: ",
                                files_[location_[i - 1].second].path().string(),
                                " and ",
                                files_[location_[i].second].path().string()));
  }
  if (is_there(folder_ / kSingleFile) || !is_there(folder_ / kIndexFile)) return;
  for (const auto& [name, file] : read_weight_map(folder_ / kIndexFile)) {
    const fs::path shard = folder_ / file;
    if (has(name) && files_[find_file(name)].path() == shard) continue;
    throw FormatError(core::str((folder_ / kIndexFile).string(),
                                " places tensor '",
                                name,
                                "' in ",
                                shard.filename().string(),
                                ", which does not contain it"));
  }
}

size_t ModelFolder::find_file(const std::string& name) const {
  const auto found = std::lower_bound(
      location_.begin(), location_.end(), name, [](const auto& item, const std::string& wanted) {
        return item.first < wanted;
      });
  return found == location_.end() || found->first != name ? files_.size() : found->second;
}

bool ModelFolder::has(const std::string& name) const { return find_file(name) < files_.size(); }

const TensorEntry& ModelFolder::entry(const std::string& name) const {
  const size_t file = find_file(name);
  if (file == files_.size()) {
    throw FormatError(core::str(
        folder_.string(), " has no tensor '", name, "'", core::did_you_mean(name, names_)));
  }
  return *files_[file].find(name);
}

at::Tensor ModelFolder::read(const std::string& name) const {
  entry(name);  // throws where the name is unknown
  if (wide_ && wide_->find(kWidePrefix + name) != nullptr) return wide_->read(kWidePrefix + name);
  return files_[find_file(name)].read(name);
}

std::vector<int64_t> ModelFolder::end_token_ids() const {
  if (const fs::path path = folder_ / "generation_config.json"; is_there(path)) {
    std::vector<int64_t> ids = ids_in(read_json(path), path.string());
    if (!ids.empty()) return ids;
  }
  const std::string where = config_path();
  std::vector<int64_t> ids = ids_in(config_, where);
  const core::Json* text = core::find(config_, "text_config");
  return ids.empty() && text != nullptr ? ids_in(*text, where) : ids;
}

uint64_t ModelFolder::bytes() const {
  uint64_t total = 0;
  for (const SafetensorsFile& file : files_) {
    total += sizeof(uint64_t) + file.header_text().size();
    if (!file.entries().empty()) total += file.entries().back().end;
  }
  for (const auto& [name, file] : others_) total += file->size();
  return total;
}

void ModelFolder::open_others() {
  std::vector<fs::path> names;
  for (const std::string& name : file_names(folder_)) {
    const bool is_weights =
        fs::path(name).extension() == ".safetensors" || is_foreign_weights(name);
    if (!is_weights && !core::starts_with(name, ".tmp-")) names.emplace_back(name);
  }
  // The one subfolder that belongs to a model; others may be a run or a cache.
  const fs::path templates = "additional_chat_templates";
  if (is_there(folder_ / templates)) {
    for (const std::string& name : file_names(folder_ / templates)) {
      names.push_back(templates / name);
    }
  }
  for (const fs::path& name : names) {
    others_.emplace_back(name, std::make_shared<const InputFile>(folder_ / name));
  }
}

}  // namespace sgrpo::checkpoint
