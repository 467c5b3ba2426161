// BuildTest mints a PKI once and builds configurations from their text form; `@ca@` and the like stand for PEM.
#pragma once

#include <map>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gateway/certs/crl_mint.h"
#include "gateway/certs/mint.h"
#include "gateway/config/build.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::config {

class BuildTest : public ::testing::Test {
 protected:
  static absl::Time Now() { return absl::FromUnixSeconds(1'750'000'000); }

  static certs::CertificateRef MintOne(certs::MintRequest request, EVP_PKEY* key,
                                       std::optional<certs::Signer> signer = std::nullopt) {
    request.not_before = Now() - absl::Hours(24);
    if (request.not_after == absl::Time()) request.not_after = Now() + absl::Hours(24 * 365);
    absl::StatusOr<certs::CertificateRef> minted = certs::Mint(request, key, signer);
    EXPECT_TRUE(minted.ok()) << minted.status();
    return *minted;
  }
  static std::string Pem(const certs::CertificateRef& c) { return c->ToPem(); }

  static const std::map<std::string, std::string>& Material() {
    static const auto* const material = [] {
      auto* m = new std::map<std::string, std::string>;
      UniqueKey ca_key = *certs::MintKey(certs::KeyType::kP256);
      UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
      UniqueKey other_key = *certs::MintKey(certs::KeyType::kP256);
      certs::CertificateRef ca = MintOne({.profile = certs::Profile::kCa, .subject = "CN=Test CA"}, ca_key.get());
      const certs::Signer signer{ca.get(), ca_key.get()};
      const auto server = [&](std::vector<certs::San> sans, absl::Time end = absl::Time()) {
        return Pem(MintOne({.profile = certs::Profile::kLeaf,
                            .subject = "CN=server",
                            .sans = std::move(sans),
                            .client_use = false,
                            .server_use = true,
                            .not_after = end},
                           key.get(), signer));
      };
      using certs::SanKind;
      (*m)["@ca@"] = Pem(ca);
      (*m)["@crl@"] = certs::CrlToPem(*certs::MintCrl({.this_update = Now(), .next_update = Now() + absl::Hours(1)}, signer));
      (*m)["@other-ca@"] =
          Pem(MintOne({.profile = certs::Profile::kCa, .subject = "CN=Other CA"}, other_key.get()));
      (*m)["@old-ca@"] = Pem(MintOne(
          {.profile = certs::Profile::kCa, .subject = "CN=Old CA", .not_after = Now() + absl::Hours(240)}, ca_key.get()));
      (*m)["@pin@"] = Pem(MintOne({.subject = "CN=pinned"}, other_key.get()));
      (*m)["@localhost@"] = server({{SanKind::kDns, "localhost"}});
      (*m)["@shops@"] = server({{SanKind::kDns, "shop.example"}, {SanKind::kDns, "*.shop.example"}});
      (*m)["@dying@"] = server({{SanKind::kDns, "localhost"}}, Now() + absl::Hours(49));
      (*m)["@key@"] = std::string(certs::KeyToPem(key.get())->Reveal());
      (*m)["@other-key@"] = std::string(certs::KeyToPem(other_key.get())->Reveal());
      (*m)["@hash@"] =
          "$6$rounds=5000$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1";
      return m;
    }();
    return *material;
  }

  // What most tests start from: one listener, one scheme of each kind.
  static std::string Base() {
    return R"(
      listeners { name: "edge" address: "127.0.0.1:8443" server_certificates: "localhost" }
      server_certificates { name: "localhost" certificate_chain_pem: "@localhost@" private_key_pem: "@key@" }
      trust_stores { name: "partners" anchors { pem: "@ca@" } }
      user_stores { name: "staff" users { name: "ann" password_hashes: "@hash@" } }
      schemes { name: "Certificate" client_certificate { trust_store: "partners" allowed_certificate_types: CHAINED } }
      schemes { name: "Basic" basic { user_store: "staff" realm: "our staff" } }
      upstreams { name: "orders" endpoints: "127.0.0.1:8080" }
    )";
  }
  static std::string RouteText(absl::string_view name, absl::string_view rest) {
    return absl::StrCat("routes { name: \"", name, "\" ", rest, " }\n");
  }
  // A route that is right in itself, for /name.
  static std::string Good(absl::string_view name, absl::string_view require) {
    return RouteText(name, absl::StrCat("match { path: \"/", name, "\" } ", require, " fixed_response { body: \"x\" }"));
  }

  static v1::ConfigSet Parse(std::string text) {
    for (const auto& [word, pem] : Material()) text = absl::StrReplaceAll(text, {{word, absl::CEscape(pem)}});
    v1::ConfigSet set;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &set)) << text;
    return set;
  }
  static BuildResult BuildText(const std::string& text, const Snapshot* previous = nullptr) {
    return Build(Parse(text), {.revision = 7, .incarnation = "i", .previous = previous, .now = Now()});
  }
  static std::shared_ptr<const Snapshot> BuildGood(const std::string& text, const Snapshot* previous = nullptr) {
    BuildResult result = BuildText(text, previous);
    for (const Violation& v : result.violations) ADD_FAILURE() << v.path << ": " << v.message;
    return result.snapshot;
  }
  static std::vector<std::string> Lines(const std::vector<Violation>& violations) {
    std::vector<std::string> lines;
    for (const Violation& v : violations) lines.push_back(absl::StrCat(v.path, ": ", v.message));
    return lines;
  }
};

}  // namespace gatehouse::config
