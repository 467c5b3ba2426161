#include "gateway/authn/challenge.h"

namespace gatehouse::authn {
namespace {

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
  return out;
}

}  // namespace

std::string Challenge(identity::PartKind kind, absl::string_view realm) {
  switch (kind) {
    case identity::PartKind::kBasic:
      return "Basic realm=" + Quoted(realm) + ", charset=\"UTF-8\"";
    case identity::PartKind::kCertificate:
      break;
  }
  return "ClientCertificate realm=" + Quoted(realm);
}

}  // namespace gatehouse::authn
