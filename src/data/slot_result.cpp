#include "data/slot_result.h"

#include "sgrpo/core/error.h"
#include "sgrpo/core/json.h"

namespace sgrpo::data {
namespace {

using core::Json;

Json json_of(const Rejection& rejection) {
  const RecordError& error = rejection.error;
  return {{"row", rejection.row},
          {"long", rejection.is_long},
          {"file", error.source().file},
          {"line", error.source().line},
          {"id", error.id()},
          {"reason", error.reason()}};
}

Rejection rejection_of(const Json& json) {
  const RowSource source{.file = json.at("file").get<std::string>(),
                         .line = json.at("line").get<int64_t>()};
  return {.row = json.at("row").get<int64_t>(),
          .error = RecordError(
              source, json.at("id").get<std::string>(), json.at("reason").get<std::string>()),
          .is_long = json.at("long").get<bool>()};
}

std::string text_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an unknown error";
  }
}

Json json_of(const SlotResult& result) {
  Json json = {{"list", result.list},
               {"row", result.row},
               {"replaced", result.is_replaced},
               {"hash", result.pixel_hash},
               {"tokens", result.num_tokens},
               {"image_tokens", result.num_image_tokens},
               {"rejections", Json::array()}};
  for (const Rejection& rejection : result.rejections)
    json["rejections"].push_back(json_of(rejection));
  if (result.failure) json["failure"] = text_of(result.failure);
  return json;
}

SlotResult result_of(const Json& json, size_t rank) {
  SlotResult result;
  result.list = json.at("list").get<size_t>();
  result.row = json.at("row").get<int64_t>();
  result.is_replaced = json.at("replaced").get<bool>();
  result.pixel_hash = json.at("hash").get<std::string>();
  result.num_tokens = json.at("tokens").get<int64_t>();
  result.num_image_tokens = json.at("image_tokens").get<int64_t>();
  for (const Json& rejection : json.at("rejections"))
    result.rejections.push_back(rejection_of(rejection));
  if (json.contains("failure")) {
    result.failure = std::make_exception_ptr(
        core::RunError(core::str("rank ", rank, ": ", json.at("failure").get<std::string>())));
  }
  return result;
}

}  // namespace

Results exchange_results(Results own, const Sharing& sharing) {
  Json sent = Json::object();
  for (const auto& [position, result] : own) sent[std::to_string(position)] = json_of(result);
  const std::vector<std::string> all = sharing.exchange(core::dump_ascii(sent));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (static_cast<int64_t>(rank) == sharing.rank) continue;
    const Json theirs = core::parse_json(all[rank], "another rank");
    for (const auto& [position, json] : theirs.items()) {
      if (own.emplace(std::stoll(position), result_of(json, rank)).second) continue;
      throw core::RunError(core::str("rank ",
                                     rank,
                                     " and rank ",
                                     sharing.rank,
                                     " both took position ",
                                     position,
                                     " of the data: do all ranks see the same files?"));
    }
  }
  return own;
}

}  // namespace sgrpo::data
