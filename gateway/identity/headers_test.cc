#include "gateway/identity/headers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gateway/certs/mint.h"
#include "gateway/identity/claims.h"

namespace gatehouse::identity {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

const absl::Time kFrom = absl::FromUnixSeconds(1'800'000'000);

certs::CertificateRef MintLeaf(std::string subject, std::vector<certs::San> sans = {}) {
  static EVP_PKEY* const key = certs::MintKey(certs::KeyType::kP256)->release();
  certs::MintRequest request;
  request.subject = std::move(subject);
  request.sans = std::move(sans);
  request.not_before = kFrom;
  request.not_after = kFrom + absl::Hours(24);
  request.serial = std::string("\x00\xab\x01", 3);
  auto leaf = certs::Mint(request, key);
  EXPECT_TRUE(leaf.ok()) << leaf.status();
  return *leaf;
}

IdentityRef Caller(certs::CertificateRef leaf, std::vector<certs::CertificateRef> path = {}) {
  return CertificateIdentity(std::move(leaf), std::move(path), {.scheme = "Certificate"});
}
IdentityRef User(std::vector<credentials::UserClaim> claims) {
  return BasicIdentity({.name = "ann", .claims = std::move(claims)}, "Basic", "people");
}

using Fields = std::vector<std::pair<std::string, std::string>>;
struct Injected {
  absl::Status status;
  Fields fields;
};
Injected Inject(InjectorOptions options, const IdentityRef& identity) {
  std::vector<HeaderError> errors;
  auto injector = Injector::Create(std::move(options), &errors);
  for (const HeaderError& e : errors) ADD_FAILURE() << e.path << ": " << e.message;
  Injected out;
  if (injector == nullptr) return out;
  out.status = injector->Inject(*identity, [&](absl::string_view name, absl::string_view value) {
    out.fields.emplace_back(std::string(name), std::string(value));
  });
  return out;
}
std::vector<std::string> ErrorsOf(InjectorOptions options) {
  std::vector<HeaderError> errors;
  EXPECT_EQ(Injector::Create(std::move(options), &errors), nullptr);
  std::vector<std::string> text;
  for (const HeaderError& e : errors) text.push_back(absl::StrCat(e.path, ": ", e.message));
  return text;
}
InjectorOptions Claims(std::vector<ClaimHeader> claims) {
  InjectorOptions options;
  options.claims = std::move(claims);
  return options;
}

TEST(CertificateClaimsTest, IssuesTheDocumentedClaims) {
  auto leaf = MintLeaf("CN=test-client,O=Example", {{certs::SanKind::kDns, "a.example.com"},
                                                    {certs::SanKind::kIp, "192.0.2.1"}});
  std::vector<std::string> seen;
  for (const Claim& c : CertificateClaims(*leaf, {.scheme = "Certificate"})) {
    EXPECT_EQ(c.scheme, "Certificate");
    EXPECT_EQ(c.issuer, "CN=test-client,O=Example");
    seen.push_back(absl::StrCat(c.type, "=", c.value));
  }
  EXPECT_THAT(seen,
              ElementsAre(absl::StrCat(kNameIdentifier, "=CN=test-client,O=Example"),
                          absl::StrCat(kName, "=CN=test-client,O=Example"),
                          absl::StrCat("thumbprint=", leaf->sha1_hex()),
                          "issuer=CN=test-client,O=Example", "serialnumber=00AB01",
                          absl::StrCat("thumbprint_sha256=", HexUpper(AsView(leaf->sha256()))),
                          "notbefore=2027-01-15T08:00:00Z", "notafter=2027-01-16T08:00:00Z",
                          "dns=a.example.com", "ip=192.0.2.1"));
}

TEST(CertificateClaimsTest, PrintsNamesAndSerialAsAsked) {
  auto leaf = MintLeaf("CN=test-client,O=Example");
  auto claims = CertificateClaims(
      *leaf,
      {.scheme = "C", .name_format = NameFormat::kDotNet, .serial_format = SerialFormat::kInteger});
  EXPECT_EQ(claims[0].value, "CN=test-client, O=Example");
  EXPECT_EQ(claims[3].value, "CN=test-client, O=Example");
  EXPECT_EQ(claims[4].value, "AB01");
}

TEST(InjectorTest, WritesXfccInTheSyntaxOfEnvoy) {
  auto leaf = MintLeaf("CN=test-client,O=Example", {{certs::SanKind::kUri, "spiffe://td/a"},
                                                    {certs::SanKind::kUri, "urn:a;b=c"},
                                                    {certs::SanKind::kDns, "a.example.com"},
                                                    {certs::SanKind::kDns, "b.example.com"}});
  Injected out = Inject({.xfcc = true}, Caller(leaf));
  EXPECT_THAT(out.fields, ElementsAre(Pair("x-forwarded-client-cert",
                                           absl::StrCat("Hash=", HexLower(AsView(leaf->sha256())),
                                                        ";Subject=\"CN=test-client,O=Example\""
                                                        ";URI=spiffe://td/a;URI=\"urn:a;b=c\""
                                                        ";DNS=a.example.com;DNS=b.example.com"))));
}

TEST(InjectorTest, CarriesCertificateAndChainInXfccWhenAsked) {
  auto leaf = MintLeaf("CN=leaf");
  auto anchor = MintLeaf("CN=anchor");
  Injected out = Inject({.xfcc = true,
                         .xfcc_fields = {.hash = false,
                                         .subject = false,
                                         .uri = false,
                                         .dns = false,
                                         .cert = true,
                                         .chain = true}},
                        Caller(leaf, {leaf, anchor}));
  ASSERT_EQ(out.fields.size(), 1u);
  const auto encode = [](std::string pem) {
    return absl::StrReplaceAll(
        pem, {{"\n", "%0A"}, {" ", "%20"}, {"+", "%2B"}, {"/", "%2F"}, {"=", "%3D"}});
  };
  EXPECT_EQ(out.fields[0].second, absl::StrCat("Cert=\"", encode(leaf->ToPem()), "\";Chain=\"",
                                               encode(leaf->ToPem() + anchor->ToPem()), "\""));
}

TEST(InjectorTest, LetsNoSubjectBreakOutOfItsQuotes) {
  for (absl::string_view subject : {R"(CN=x\"\;Hash\=evil)", R"(CN=x\\)", R"(CN=x\,O\=y)",
                                    "CN=J\xc3\xb6rg", R"(CN=\#a\+b\<c\>)"}) {
    auto leaf = MintLeaf(std::string(subject));
    Injected out = Inject({.xfcc = true}, Caller(leaf));
    ASSERT_EQ(out.fields.size(), 1u) << subject << out.status;
    const std::string& value = out.fields[0].second;
    const size_t open = value.find('"');
    const size_t close = value.find('"', open + 1);
    ASSERT_NE(close, std::string::npos);
    EXPECT_EQ(close, value.size() - 1) << value;
    // What stands between the quotes is still RFC 4514 for the same name.
    EXPECT_EQ(MintLeaf(value.substr(open + 1, close - open - 1))->subject(), leaf->subject())
        << value;
  }
}

TEST(InjectorTest, WritesRfc9440ForTheValidatedPathWithoutTheLeaf) {
  auto leaf = MintLeaf("CN=leaf"), middle = MintLeaf("CN=middle"), anchor = MintLeaf("CN=anchor");
  const auto bytes = [](const certs::CertificateRef& c) {
    return absl::StrCat(":", absl::Base64Escape(c->der()), ":");
  };
  InjectorOptions options{.client_cert = true, .client_cert_chain = true};
  EXPECT_THAT(Inject(options, Caller(leaf, {leaf, middle, anchor})).fields,
              ElementsAre(Pair("client-cert", bytes(leaf)),
                          Pair("client-cert-chain", bytes(middle) + ", " + bytes(anchor))));
  EXPECT_THAT(Inject(options, Caller(leaf)).fields, ElementsAre(Pair("client-cert", bytes(leaf))))
      << "pinned: no path";
}

// RFC 9440 appendix A, figures 1 to 3: the certificates without their PEM frame.
constexpr char kRfcLeaf[] =
    "MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0"
    "ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaU"
    "gmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAW"
    "gBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1w"
    "bGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBV"
    "oU4hBVZ1yhk=";
constexpr char kRfcIntermediate[] =
    "MIIB5jCCAYugAwIBAgIBFjAKBggqhkjOPQQDAjBWMQswCQYDVQQGEwJVUzEbMBkGA1UECgwSTGV0J3MgQXV0aGVudGljYXRlMSowKAYDVQQDDCFM"
    "ZXQncyBBdXRoZW50aWNhdGUgUm9vdCBBdXRob3JpdHkwHhcNMjAwMTE0MjEzMjMwWhcNMzAwMTExMjEzMjMwWjA6MRswGQYDVQQKDBJMZXQncyBB"
    "dXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJf+aA54RC5pyLAR5yfXVYmN"
    "pgd+CGUTDp2KOGhc0gK91zxhHesEYkdXkpS2UN8Kati+yHtWCV3kkhCngGyv7RqjZjBkMB0GA1UdDgQWBBRm3WjLa38lbEYCuiCPct0ZaSED2DAf"
    "BgNVHSMEGDAWgBTEA2Q6eecKu9g9yb5glbkhhVINGDASBgNVHRMBAf8ECDAGAQH/AgEAMA4GA1UdDwEB/wQEAwIBhjAKBggqhkjOPQQDAgNJADBG"
    "AiEA5pLvaFwRRkxomIAtDIwg9D7gC1xzxBl4r28EzmSO1pcCIQCJUShpSXO9HDIQMUgH69fNDEMHXD3RRX5gP7kuu2KGMg==";
constexpr char kRfcRoot[] =
    "MIICBjCCAaygAwIBAgIJAKS0yiqKtlhoMAoGCCqGSM49BAMCMFYxCzAJBgNVBAYTAlVTMRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxKjAo"
    "BgNVBAMMIUxldCdzIEF1dGhlbnRpY2F0ZSBSb290IEF1dGhvcml0eTAeFw0yMDAxMTQyMTI1NDVaFw00MDAxMDkyMTI1NDVaMFYxCzAJBgNVBAYT"
    "AlVTMRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxKjAoBgNVBAMMIUxldCdzIEF1dGhlbnRpY2F0ZSBSb290IEF1dGhvcml0eTBZMBMGByqG"
    "SM49AgEGCCqGSM49AwEHA0IABFoaHU+Z5bPKmGzlYXtCf+E6HYj62fORaHDOrt+yyh3H/rTcs7ynFfGn+gyFsrSP3Ez88rajv+U2NfD0o0uZ4Pmj"
    "YzBhMB0GA1UdDgQWBBTEA2Q6eecKu9g9yb5glbkhhVINGDAfBgNVHSMEGDAWgBTEA2Q6eecKu9g9yb5glbkhhVINGDAPBgNVHRMBAf8EBTADAQH/"
    "MA4GA1UdDwEB/wQEAwIBhjAKBggqhkjOPQQDAgNIADBFAiEAmAeg1ycKHriqHnaD4M/UDBpQRpkmdcRFYGMg1Qyrkx4CIB4ivz3wQcQkGhcsUZ1S"
    "OImd/lq1Q0FLf09rGfLQPWDc";

certs::CertificateRef FromBase64(absl::string_view text) {
  std::string der;
  EXPECT_TRUE(absl::Base64Unescape(text, &der));
  auto certificate = certs::Certificate::FromDer(der);
  EXPECT_TRUE(certificate.ok()) << certificate.status();
  return *certificate;
}

TEST(InjectorTest, WritesTheExamplesOfRfc9440) {
  auto leaf = FromBase64(kRfcLeaf), intermediate = FromBase64(kRfcIntermediate), root = FromBase64(kRfcRoot);
  InjectorOptions options{.client_cert = true, .client_cert_chain = true};
  EXPECT_THAT(Inject(options, Caller(leaf, {leaf, intermediate, root})).fields,
              ElementsAre(Pair("client-cert", absl::StrCat(":", kRfcLeaf, ":")),
                          Pair("client-cert-chain", absl::StrCat(":", kRfcIntermediate, ":, :", kRfcRoot, ":"))));
}

TEST(InjectorTest, WritesCertificateHeadersOnlyForACertificateThatSucceeded) {
  InjectorOptions all{.xfcc = true, .client_cert = true, .client_cert_chain = true};
  EXPECT_THAT(Inject(all, User({})).fields, IsEmpty());
  EXPECT_THAT(Inject(all, Identity::Merge({})).fields, IsEmpty());
}

TEST(InjectorTest, MapsClaimsToHeaders) {
  Injected out = Inject(Claims({{"X-User", "name"}, {"X-Role", "role"}, {"X-None", "absent"}}),
                        User({{"role", "admin"}, {"role", "user"}, {"role", "admin"}}));
  EXPECT_TRUE(out.status.ok());
  EXPECT_THAT(out.fields, ElementsAre(Pair("x-user", "ann"), Pair("x-role", "admin, user")));
}

TEST(InjectorTest, TakesClaimsOfTheNamedSchemeOnly) {
  const IdentityRef parts[] = {Caller(MintLeaf("CN=leaf")), User({})};
  EXPECT_THAT(Inject(Claims({{"X-User", "name", "Basic"}}), Identity::Merge(parts)).fields,
              ElementsAre(Pair("x-user", "ann")));
}

TEST(InjectorTest, RefusesWhatItCannotCarryUnchanged) {
  for (const std::string& value :
       {std::string("a\r\nX-Admin: 1"), std::string("J\xc3\xb6rg"), std::string(" a"),
        std::string("a "), std::string("a\tb"), std::string("\x7f"), std::string("a\0b", 3)}) {
    Injected out = Inject(Claims({{"X-Role", "role"}}), User({{"role", value}}));
    EXPECT_EQ(out.status.code(), absl::StatusCode::kFailedPrecondition) << absl::CHexEscape(value);
    EXPECT_THAT(std::string(out.status.message()), StartsWith("x-role: "));
    EXPECT_THAT(out.fields, IsEmpty());
  }
}

TEST(InjectorTest, RefusesAListThatCouldBeMisread) {
  EXPECT_FALSE(
      Inject(Claims({{"X-Role", "role"}}), User({{"role", "a,b"}, {"role", "c"}})).status.ok());
  EXPECT_FALSE(
      Inject(Claims({{"X-Role", "role"}}), User({{"role", ""}, {"role", "c"}})).status.ok());
  EXPECT_TRUE(Inject(Claims({{"X-Role", "role"}}), User({{"role", "CN=a,O=b"}})).status.ok());
}

TEST(InjectorTest, CarriesAnyClaimPercentEncoded) {
  InjectorOptions options = Claims({{"X-Role", "role"}});
  options.claim_encoding = ClaimEncoding::kPercent;
  const auto written = [&](std::vector<credentials::UserClaim> claims) {
    Injected out = Inject(options, User(std::move(claims)));
    EXPECT_TRUE(out.status.ok()) << out.status;
    return out.fields.empty() ? "" : out.fields[0].second;
  };
  EXPECT_EQ(written({{"role", "a\r\nX-Admin: 1"}}), "a%0D%0AX-Admin: 1");
  EXPECT_EQ(written({{"role", "J\xc3\xb6rg"}}), "J%C3%B6rg");
  EXPECT_EQ(written({{"role", " 100% "}}), "%20100%25%20");
  EXPECT_EQ(written({{"role", "a,b"}, {"role", "c"}}), "a%2Cb, c");
  EXPECT_EQ(written({{"role", std::string("a\0b", 3)}}), "a%00b");
  EXPECT_FALSE(Inject(options, User({{"role", ""}, {"role", "c"}})).status.ok());
  options.max_value_bytes = 8;
  EXPECT_FALSE(Inject(options, User({{"role", "\xc3\xb6\xc3\xb6"}})).status.ok()) << "the cap is that of the field";
}

TEST(InjectorTest, CarriesAnyClaimInBase64) {
  InjectorOptions options = Claims({{"X-Role", "role"}});
  options.claim_encoding = ClaimEncoding::kBase64;
  Injected out = Inject(options, User({{"role", "J\xc3\xb6rg, \r\n"}, {"role", "c"}}));
  EXPECT_TRUE(out.status.ok()) << out.status;
  EXPECT_THAT(out.fields, ElementsAre(Pair("x-role", "SsO2cmcsIA0K, Yw==")));
  EXPECT_FALSE(Inject(options, User({{"role", ""}, {"role", "c"}})).status.ok());
}

TEST(InjectorTest, RefusesAndNeverTruncatesAValueOverItsCap) {
  InjectorOptions options = Claims({{"X-Role", "role"}});
  options.max_value_bytes = 10;
  EXPECT_TRUE(Inject(options, User({{"role", std::string(10, 'x')}})).status.ok());
  EXPECT_FALSE(Inject(options, User({{"role", std::string(11, 'x')}})).status.ok());
  EXPECT_FALSE(
      Inject({.client_cert = true, .max_value_bytes = 100}, Caller(MintLeaf("CN=x"))).status.ok());
}

TEST(InjectorTest, RefusesHeaderNamesThatWouldChangeTheRequest) {
  EXPECT_THAT(
      ErrorsOf(Claims({{"Host", "name"},
                       {"a b", "name"},
                       {":path", "name"},
                       {"", "name"},
                       {"X-User", "name"},
                       {"x_user", "name"},
                       {"Transfer-Encoding", "name"},
                       {std::string(65, 'x'), "name"},
                       {"X-Ok", ""}})),
      ElementsAre(HasSubstr("claims[\"Host\"]: frames"), HasSubstr("\"a b\"]: is not a header"),
                  HasSubstr("\":path\"]: is not a header"), HasSubstr("\"\"]: is not a header"),
                  HasSubstr("\"x_user\"]: is named twice"), HasSubstr("Encoding\"]: frames"),
                  HasSubstr("at most 64 bytes"), HasSubstr("claim type is required")));
  EXPECT_THAT(ErrorsOf({.max_value_bytes = 0}), ElementsAre(HasSubstr("max_value_bytes")));
  EXPECT_THAT(ErrorsOf({.max_value_bytes = 1 << 20}), ElementsAre(HasSubstr("max_value_bytes")));
}

TEST(InjectorTest, NamesEverythingItMayWriteSoThatClientsCannot) {
  auto injector = Injector::Create({.xfcc = true,
                                    .client_cert = true,
                                    .client_cert_chain = true,
                                    .claims = {{"X-User", "name"}}},
                                   nullptr);
  const StripList list(injector->header_names());
  for (absl::string_view name :
       {"x-forwarded-client-cert", "client-cert", "client-cert-chain", "X_User"}) {
    EXPECT_TRUE(list.Removes(name)) << name;
  }
}

}  // namespace
}  // namespace gatehouse::identity
