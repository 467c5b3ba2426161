// What `openssl ca` and `openssl ocsp` make is read and judged by us, and what we make is verified by them. The openssl
// program knows no clock but the system's: so does this test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/certs/test_revocation.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {
namespace {

using ::testing::HasSubstr;

class OpenSslTest : public ::testing::Test {
 protected:
  OpenSslTest() {
    std::string name = (std::filesystem::temp_directory_path() / "gatehouse-XXXXXX").string();
    directory_ = mkdtemp(name.data());
    root_ = {Make(Now(Profile::kCa, "CN=Root,O=Example"), KeyAt(0)), KeyAt(0)};
    MintRequest responder = Now(Profile::kLeaf, "CN=Responder,O=Example");
    responder.extensions = {ExtensionOf("extendedKeyUsage", "OCSPSigning"),
                            {"noCheck", false, std::string("\x05\x00", 2)}};
    responder_ = {Make(responder, KeyAt(7), root_.signer()), KeyAt(7)};
    alice_ = Make(Now(Profile::kLeaf, "CN=alice"), KeyAt(9), root_.signer());
    bob_ = Make(Now(Profile::kLeaf, "CN=bob"), KeyAt(9), root_.signer());
    carol_ = Make(Now(Profile::kLeaf, "CN=carol"), KeyAt(9), root_.signer());
    Write("root.pem", root_.certificate->ToPem());
    Write("root.key", std::string(KeyToPem(root_.key)->Reveal()));
    Write("responder.pem", responder_.certificate->ToPem());
    Write("responder.key", std::string(KeyToPem(responder_.key)->Reveal()));
    Write("alice.pem", alice_->ToPem());
    Write("bob.pem", bob_->ToPem());
    // The database of `openssl ca`: alice is revoked, bob is not, carol is not known.
    const std::string expires = Stamp(now_ + absl::Hours(24 * 30));
    Write("index.txt",
          absl::StrCat("R\t", expires, "\t", Stamp(now_ - absl::Hours(48)), ",keyCompromise\t",
                       alice_->serial_hex_dotnet(), "\tunknown\t/CN=alice\nV\t", expires, "\t\t",
                       bob_->serial_hex_dotnet(), "\tunknown\t/CN=bob\n"));
    Write("index.txt.attr", "unique_subject = no\n");
    Write("number", "0A\n");
    Write("ca.cnf",
          "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ncrlnumber = number\n"
          "default_md = sha256\ndefault_crl_days = 1\ncrl_extensions = extensions\n"
          "[extensions]\nauthorityKeyIdentifier = keyid\n");
  }
  ~OpenSslTest() override { std::filesystem::remove_all(directory_); }

  MintRequest Now(Profile profile, const std::string& subject) const {
    MintRequest request = Request(profile, subject);
    request.not_before = now_ - absl::Hours(72);
    request.not_after = now_ + absl::Hours(24 * 30);
    return request;
  }
  static std::string Stamp(absl::Time time) {
    return absl::FormatTime("%y%m%d%H%M%SZ", time, absl::UTCTimeZone());
  }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(directory_ / name, std::ios::binary) << content;
  }
  std::string Read(const std::string& name) const {
    std::ifstream in(directory_ / name, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  }
  // Runs openssl in the directory; returns what it printed.
  std::string OpenSsl(const std::string& arguments) const {
    const std::string command = absl::StrCat("cd '", directory_.string(), "' && ",
                                             GATEHOUSE_OPENSSL, " ", arguments, " 2>&1");
    FILE* pipe = popen(command.c_str(), "r");
    std::string out;
    char buffer[4096];
    while (size_t n = fread(buffer, 1, sizeof(buffer), pipe)) out.append(buffer, n);
    EXPECT_EQ(pclose(pipe), 0) << arguments << ": " << out;
    return out;
  }
  absl::StatusOr<OcspAnswerRef> Ask(const CertificateRef& subject, const std::string& arguments,
                                    const std::string& nonce) const {
    Write("request.der", *MakeOcspRequest(*subject, *root_.certificate, nonce));
    OpenSsl(absl::StrCat("ocsp -index index.txt -CA root.pem -reqin request.der -respout "
                         "answer.der ",
                         arguments));
    OcspCheck check;
    check.now = absl::Now();
    check.nonce = nonce;
    return ReadOcspAnswer(Read("answer.der"), *subject, *root_.certificate, check);
  }
  Reason Judged(const CertificateRef& leaf, const std::string& crl_pem) const {
    TrustStoreInput input;
    input.anchors_pem = {root_.certificate->ToPem()};
    input.crls_pem = {crl_pem};
    std::vector<FieldError> errors;
    SchemeOptions options;
    options.trust_store = TrustStore::Create(input, &errors);
    options.revocation.mode = RevocationMode::kOffline;
    if (options.trust_store == nullptr) ADD_FAILURE() << errors[0].message;
    return Judge(std::vector{leaf}, options, absl::Now()).reason;
  }

  const absl::Time now_ = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  std::filesystem::path directory_;
  Authority root_, responder_;
  CertificateRef alice_, bob_, carol_;
};

TEST_F(OpenSslTest, ListsOfOpensslCaAreReadAndJudgedBy) {
  OpenSsl("ca -config ca.cnf -gencrl -keyfile root.key -cert root.pem -out list.pem");
  const std::string pem = Read("list.pem");
  const absl::StatusOr<std::vector<CrlRef>> lists = Crl::ListFromPem(pem);
  ASSERT_TRUE(lists.ok()) << lists.status();
  const Crl& list = *lists->front();
  EXPECT_EQ(list.size(), 1u);
  EXPECT_EQ(list.number(), "\x0a");
  EXPECT_TRUE(list.VerifySignature(root_.key, {}).ok());
  const std::optional<CrlEntry> entry = list.Find(list.issuer_der(), SerialOf(*alice_));
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->reason, RevocationReason::kKeyCompromise);
  EXPECT_EQ(entry->revoked, now_ - absl::Hours(48));
  EXPECT_EQ(Judged(alice_, pem), Reason::kRevoked);
  EXPECT_EQ(Judged(bob_, pem), Reason::kNone);
}

TEST_F(OpenSslTest, AnswersOfOpensslOcspAreRead) {
  const std::string nonce = "0123456789abcdef";
  for (const std::string& arguments :
       {std::string("-rsigner root.pem -rkey root.key"),
        std::string("-rsigner responder.pem -rkey responder.key -ndays 1"),
        std::string("-rsigner responder.pem -rkey responder.key -resp_key_id -rmd sha384")}) {
    const absl::StatusOr<OcspAnswerRef> alice = Ask(alice_, arguments, nonce);
    ASSERT_TRUE(alice.ok()) << arguments << ": " << alice.status();
    EXPECT_EQ((*alice)->status, OcspStatus::kRevoked);
    EXPECT_EQ((*alice)->reason, RevocationReason::kKeyCompromise);
    EXPECT_EQ((*alice)->revoked, now_ - absl::Hours(48));
    EXPECT_EQ((*Ask(bob_, arguments, nonce))->status, OcspStatus::kGood);
    EXPECT_EQ((*Ask(carol_, arguments, ""))->status, OcspStatus::kUnknown);
  }
  // Another request's answer carries another nonce.
  ASSERT_TRUE(Ask(bob_, "-rsigner root.pem -rkey root.key", nonce).ok());
  OcspCheck check;
  check.now = absl::Now();
  check.nonce = "fedcba9876543210";
  EXPECT_THAT(
      ReadOcspAnswer(Read("answer.der"), *bob_, *root_.certificate, check).status().message(),
      HasSubstr("nonce"));
}

TEST_F(OpenSslTest, OurListsAreVerifiedByOpensslCrl) {
  MintCrlRequest request = List({Revoked(alice_, RevocationReason::kSuperseded)});
  request.this_update = now_;
  request.next_update = now_ + absl::Hours(1);
  request.scope = MintCrlScope{};
  request.scope->urls = {"http://crl.test/a.crl"};
  request.scope->reasons = {RevocationReason::kSuperseded, RevocationReason::kAaCompromise};
  Write("list.der", Der(request, root_));
  const std::string text = OpenSsl("crl -inform DER -in list.der -CAfile root.pem -noout -text");
  EXPECT_THAT(text, HasSubstr("verify OK"));
  EXPECT_THAT(text, HasSubstr("URI:http://crl.test/a.crl"));
  EXPECT_THAT(text, HasSubstr("Superseded, AA Compromise"));
}

TEST_F(OpenSslTest, OurAnswersAreVerifiedByOpensslOcsp) {
  for (OcspStatus status : {OcspStatus::kGood, OcspStatus::kRevoked}) {
    MintOcspRequest request = AnswerOf(alice_, root_.certificate, status);
    request.produced_at = now_;
    request.answers[0].this_update = now_;
    request.answers[0].next_update = now_ + absl::Hours(1);
    request.answers[0].revoked = now_ - absl::Hours(1);
    request.certificates = {responder_.certificate};
    Write("answer.der", *MintOcspAnswer(request, responder_.signer()));
    const std::string text = OpenSsl(
        "ocsp -respin answer.der -CAfile root.pem -issuer root.pem -cert alice.pem -no_nonce");
    EXPECT_THAT(text, HasSubstr("Response verify OK"));
    EXPECT_THAT(text, HasSubstr(status == OcspStatus::kGood ? "alice.pem: good"
                                                            : "alice.pem: revoked"));
  }
}

}  // namespace
}  // namespace gatehouse::certs
