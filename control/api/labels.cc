#include "control/api/labels.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"

namespace gatehouse::api {

const Labels& LabelsOf(const v1::Resource& resource) {
  switch (resource.kind_case()) {
    case v1::Resource::kListener: return resource.listener().labels();
    case v1::Resource::kServerCertificate: return resource.server_certificate().labels();
    case v1::Resource::kTrustStore: return resource.trust_store().labels();
    case v1::Resource::kScheme: return resource.scheme().labels();
    case v1::Resource::kUserStore: return resource.user_store().labels();
    case v1::Resource::kPolicy: return resource.policy().labels();
    case v1::Resource::kUpstream: return resource.upstream().labels();
    case v1::Resource::kRoute: return resource.route().labels();
    case v1::Resource::kBinding: return resource.binding().labels();
    case v1::Resource::KIND_NOT_SET: break;
  }
  static const auto& none = *new Labels;
  return none;
}

bool Bears(const v1::Resource& resource, const Labels& wanted) {
  if (wanted.empty()) return true;
  const Labels& has = LabelsOf(resource);
  return std::all_of(wanted.begin(), wanted.end(), [&has](const auto& label) {
    auto it = has.find(label.first);
    return it != has.end() && it->second == label.second;
  });
}

std::string LabelsText(const Labels& labels) {
  std::string text;
  for (const auto& [key, value] : std::map<std::string, std::string>(labels.begin(), labels.end())) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", EscapeText(key), "=", EscapeText(value));
  }
  return text;
}

}  // namespace gatehouse::api
