#include "sgrpo/data/image_catalog.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "data/thread_clock.h"
#include "sgrpo/core/error.h"
#include "sgrpo/image/image_file.h"

namespace sgrpo::data {

struct ImageCatalog::Entry {
  std::once_flag once;
  image::ImageSize size;
  std::string error;  // empty: usable
  double cpu_seconds = 0.0;
};

struct ImageCatalog::State {
  ImageCheck check = ImageCheck::kHeader;
  std::optional<image::ProcessorConfig> processor;
  std::mutex mutex;  // of the map; entries are filled outside of it
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries;

  std::shared_ptr<Entry> entry_of(const std::string& path) {
    const std::lock_guard lock(mutex);
    std::shared_ptr<Entry>& entry = entries[path];
    if (!entry) entry = std::make_shared<Entry>();
    return entry;
  }

  void look_at(const ImageSource& source, Entry& entry) const {
    const double start = thread_seconds();
    try {
      const image::ImageFile file(source);
      entry.size = file.size();
      if (check == ImageCheck::kFull)
        processor ? (void)file.patches(*processor) : (void)file.decode();
    } catch (const core::UserError& error) {
      entry.error = error.what();
    }
    entry.cpu_seconds = thread_seconds() - start;
  }
};

ImageCatalog::ImageCatalog(ImageCheck check, std::optional<image::ProcessorConfig> processor)
    : state_(std::make_unique<State>()) {
  state_->check = check;
  state_->processor = std::move(processor);
}

ImageCatalog::~ImageCatalog() = default;

image::ImageSize ImageCatalog::check(const ImageSource& source) {
  const std::shared_ptr<Entry> entry =
      source.bytes ? std::make_shared<Entry>() : state_->entry_of(source.path.string());
  std::call_once(entry->once, [&] { state_->look_at(source, *entry); });
  if (!entry->error.empty()) throw core::UserError(entry->error);
  return entry->size;
}

std::vector<ImageCatalog::Cost> ImageCatalog::costs() const {
  std::vector<Cost> costs;
  for (const auto& [path, entry] : state_->entries)
    if (entry->error.empty()) costs.push_back({path, entry->cpu_seconds * 1000.0});
  std::sort(costs.begin(), costs.end(), [](const Cost& a, const Cost& b) {
    return std::pair(-a.cpu_ms, a.path) < std::pair(-b.cpu_ms, b.path);
  });
  return costs;
}

}  // namespace sgrpo::data
