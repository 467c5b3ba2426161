#include "client/yaml/kinds.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/base/escape.h"

namespace gatehouse::client {
namespace {

constexpr std::array<KindName, 9> kKinds = {{
    {v1::TRUST_STORE, "TrustStore", "trustStores", "trust-store", "trust_stores"},
    {v1::USER_STORE, "UserStore", "userStores", "user-store", "user_stores"},
    {v1::SERVER_CERTIFICATE, "ServerCertificate", "serverCertificates", "server-certificate", "server_certificates"},
    {v1::SCHEME, "Scheme", "schemes", "scheme", "schemes"},
    {v1::POLICY, "Policy", "policies", "policy", "policies"},
    {v1::LISTENER, "Listener", "listeners", "listener", "listeners"},
    {v1::UPSTREAM, "Upstream", "upstreams", "upstream", "upstreams"},
    {v1::ROUTE, "Route", "routes", "route", "routes"},
    {v1::BINDING, "Binding", "bindings", "binding", "bindings"},
}};

std::string Folded(absl::string_view text) {
  std::string folded;
  for (char c : text) {
    if (c != '-' && c != '_') folded += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return folded;
}

// Edit distance where two letters swapped count once; both words are short.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t substituted = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, substituted});
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

absl::Span<const KindName> Kinds() { return kKinds; }

const KindName& NameOf(v1::Kind kind) {
  for (const KindName& name : kKinds) {
    if (name.kind == kind) return name;
  }
  static constexpr KindName kUnknown = {v1::KIND_UNSPECIFIED, "Unknown", "unknown", "unknown", "unknown"};
  return kUnknown;
}

std::optional<v1::Kind> ParseKind(absl::string_view text) {
  std::string folded = Folded(text);
  for (const KindName& name : kKinds) {
    if (folded == Folded(name.singular) || folded == Folded(name.plural)) return name.kind;
  }
  return std::nullopt;
}

std::string IdText(v1::Kind kind, absl::string_view name) {
  return absl::StrCat(NameOf(kind).plural, "/", EscapeText(name));
}

std::string PathRoot(v1::Kind kind, absl::string_view name) {
  return absl::StrCat(NameOf(kind).plural, "[\"", EscapeText(name), "\"]");
}

v1::Kind KindOf(const v1::Resource& resource) {
  switch (resource.kind_case()) {
    case v1::Resource::kListener:
      return v1::LISTENER;
    case v1::Resource::kServerCertificate:
      return v1::SERVER_CERTIFICATE;
    case v1::Resource::kTrustStore:
      return v1::TRUST_STORE;
    case v1::Resource::kScheme:
      return v1::SCHEME;
    case v1::Resource::kUserStore:
      return v1::USER_STORE;
    case v1::Resource::kPolicy:
      return v1::POLICY;
    case v1::Resource::kUpstream:
      return v1::UPSTREAM;
    case v1::Resource::kRoute:
      return v1::ROUTE;
    case v1::Resource::kBinding:
      return v1::BINDING;
    case v1::Resource::KIND_NOT_SET:
      break;
  }
  return v1::KIND_UNSPECIFIED;
}

std::string NameOf(const v1::Resource& resource) {
  const google::protobuf::FieldDescriptor* field =
      resource.GetReflection()->GetOneofFieldDescriptor(resource, v1::Resource::descriptor()->oneof_decl(0));
  if (field == nullptr) return "";
  const google::protobuf::Message& message = resource.GetReflection()->GetMessage(resource, field);
  return message.GetReflection()->GetString(message, message.GetDescriptor()->FindFieldByName("name"));
}

std::vector<v1::Resource> Split(const v1::ConfigSet& set) {
  std::vector<v1::Resource> out;
  const google::protobuf::Reflection* from = set.GetReflection();
  for (const KindName& kind : kKinds) {
    const auto* list = v1::ConfigSet::descriptor()->FindFieldByName(kind.field);
    for (int i = 0; i < from->FieldSize(set, list); ++i) {
      v1::Resource resource;
      const auto* field = v1::Resource::descriptor()->FindFieldByNumber(list->number());
      resource.GetReflection()->MutableMessage(&resource, field)->CopyFrom(from->GetRepeatedMessage(set, list, i));
      out.push_back(std::move(resource));
    }
  }
  return out;
}

void Append(v1::Resource resource, v1::ConfigSet& set) {
  const google::protobuf::Reflection* reflection = resource.GetReflection();
  const auto* field = reflection->GetOneofFieldDescriptor(resource, v1::Resource::descriptor()->oneof_decl(0));
  if (field == nullptr) return;
  // ConfigSet's lists have the field numbers of Resource's kinds.
  const auto* list = v1::ConfigSet::descriptor()->FindFieldByNumber(field->number());
  set.GetReflection()->AddAllocatedMessage(&set, list, reflection->ReleaseMessage(&resource, field));
}

std::string FileNameOf(const google::protobuf::FieldDescriptor& field) {
  absl::string_view stem = field.name();
  if (!absl::ConsumeSuffix(&stem, "pem")) return "";
  return stem.empty() || absl::EndsWith(stem, "_") ? absl::StrCat(stem, "file") : "";
}

std::string Closest(absl::string_view word, const std::vector<std::string>& candidates) {
  if (word.empty() || word.size() > 64) return "";
  std::string best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    size_t distance = Distance(Folded(word), Folded(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace gatehouse::client
