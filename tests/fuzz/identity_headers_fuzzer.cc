// Identity headers: any certificate, and any text as a subject or alternative name, through the injector and back through
// readers that know nothing of it. Each field must be read as what it was written from, or the request refused: a value
// that ends early, or reads as two, is somebody else's identity.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "gateway/certs/mint.h"
#include "gateway/identity/claims.h"
#include "gateway/identity/headers.h"

namespace {

using namespace gatehouse;  // NOLINT: a fuzzer's own file

void Check(bool holds) {
  if (!holds) std::abort();
}

int Hex(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A name of RFC 4514 with every escape undone: `\HH` or a backslash and the character.
std::string Plain(absl::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '\\' || i + 1 == name.size()) {
      out.push_back(name[i]);
    } else if (i + 2 < name.size() && Hex(name[i + 1]) >= 0 && Hex(name[i + 2]) >= 0) {
      out.push_back(static_cast<char>(Hex(name[i + 1]) * 16 + Hex(name[i + 2])));
      i += 2;
    } else {
      out.push_back(name[++i]);
    }
  }
  return out;
}

std::string PercentDecoded(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    Check(i + 2 < text.size() && Hex(text[i + 1]) >= 0 && Hex(text[i + 2]) >= 0);
    out.push_back(static_cast<char>(Hex(text[i + 1]) * 16 + Hex(text[i + 2])));
    i += 2;
  }
  return out;
}

using Pairs = std::multimap<std::string, std::string>;

// One element of X-Forwarded-Client-Cert as Envoy documents it: key=value, apart by semicolons; a value with one of `,;=`
// is in double quotes. A second element or a stray quote is a fault.
Pairs ReadXfcc(absl::string_view text) {
  Pairs pairs;
  while (!text.empty()) {
    const size_t equals = text.find('=');
    Check(equals != absl::string_view::npos && equals != 0);
    std::string key(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    std::string value;
    if (!text.empty() && text[0] == '"') {
      const size_t close = text.find('"', 1);
      Check(close != absl::string_view::npos && text[close - 1] != '\\');
      value = std::string(text.substr(1, close - 1));
      text.remove_prefix(close + 1);
    } else {
      const size_t end = std::min(text.find(';'), text.size());
      value = std::string(text.substr(0, end));
      Check(value.find_first_of(",\"=") == std::string::npos);
      text.remove_prefix(end);
    }
    pairs.emplace(std::move(key), std::move(value));
    if (text.empty()) break;
    Check(text[0] == ';');
    text.remove_prefix(1);
    Check(!text.empty());
  }
  return pairs;
}

// RFC 8941 byte sequences, in a list.
std::vector<std::string> ReadByteSequences(absl::string_view text) {
  std::vector<std::string> out;
  for (absl::string_view item : absl::StrSplit(text, ", ")) {
    Check(item.size() >= 2 && item.front() == ':' && item.back() == ':');
    std::string der;
    Check(absl::Base64Unescape(item.substr(1, item.size() - 2), &der));
    out.push_back(std::move(der));
  }
  return out;
}

void CheckHeaders(const certs::CertificateRef& leaf) {
  static const auto injector = [] {
    identity::InjectorOptions options;
    options.xfcc = options.client_cert = options.client_cert_chain = true;
    options.xfcc_fields.cert = options.xfcc_fields.chain = true;
    options.claims = {{"x-name", "name", ""}, {"x-uri", "uri", ""}};
    options.claim_encoding = identity::ClaimEncoding::kPercent;
    options.max_value_bytes = 64 * 1024;
    return identity::Injector::Create(std::move(options), nullptr);
  }();
  const identity::IdentityRef caller = identity::CertificateIdentity(leaf, {leaf, leaf}, {.scheme = "C"});
  std::map<std::string, std::string> fields;
  const absl::Status status = injector->Inject(*caller, [&](absl::string_view name, absl::string_view value) {
    for (char c : value) Check(c >= 0x20 && c < 0x7F);
    Check(fields.emplace(std::string(name), std::string(value)).second);
  });
  if (!status.ok()) return;
  Check(ReadByteSequences(fields["client-cert"]) == std::vector<std::string>{std::string(leaf->der())});
  Check(ReadByteSequences(fields["client-cert-chain"]) == std::vector<std::string>{std::string(leaf->der())});

  const Pairs pairs = ReadXfcc(fields["x-forwarded-client-cert"]);
  for (const char* once : {"Hash", "Cert", "Chain", "Subject"}) Check(pairs.count(once) == 1);
  Check(Plain(pairs.find("Subject")->second) == Plain(leaf->subject()));
  Check(PercentDecoded(pairs.find("Cert")->second) == leaf->ToPem());
  Check(PercentDecoded(pairs.find("Chain")->second) == leaf->ToPem() + leaf->ToPem());
  Pairs expected;
  std::vector<std::string> uris;
  for (const identity::Claim& claim : caller->certificate()->claims) {
    if (claim.type == "uri") expected.emplace("URI", claim.value), uris.push_back(claim.value);
    if (claim.type == "dns") expected.emplace("DNS", claim.value);
  }
  for (const char* kind : {"URI", "DNS"}) {
    const auto is = pairs.equal_range(kind);
    const auto should = std::as_const(expected).equal_range(kind);
    Check(std::equal(is.first, is.second, should.first, should.second));
  }
  Check(PercentDecoded(fields["x-name"]) == leaf->subject());
  // Several values stay apart, and none is lost but repeats.
  if (auto it = fields.find("x-uri"); it != fields.end()) {
    std::vector<std::string> read;
    for (absl::string_view value : absl::StrSplit(it->second, ", ")) read.push_back(PercentDecoded(value));
    for (const std::string& uri : uris) Check(std::find(read.begin(), read.end(), uri) != read.end());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > 4096) return 0;
  const absl::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    absl::StatusOr<certs::CertificateRef> leaf = certs::Certificate::FromDer(input);
    if (leaf.ok()) CheckHeaders(*leaf);
    return 0;
  }
  // A subject, and behind a line feed each a URI and a DNS name.
  static const UniqueKey* const key = new UniqueKey(*certs::MintKey(certs::KeyType::kP256));
  const std::vector<std::string> lines = absl::StrSplit(input, '\n');
  certs::MintRequest request;
  request.subject = lines[0];
  request.not_before = absl::FromUnixSeconds(1'800'000'000);
  request.not_after = request.not_before + absl::Hours(1);
  for (size_t i = 1; i < lines.size() && i < 5; ++i) {
    request.sans.push_back({i % 2 == 1 ? certs::SanKind::kUri : certs::SanKind::kDns, lines[i]});
  }
  absl::StatusOr<certs::CertificateRef> leaf = certs::Mint(request, key->get());
  if (leaf.ok()) CheckHeaders(*leaf);
  return 0;
}
