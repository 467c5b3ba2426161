// The files that cert new makes: all of them, or none.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>

#include "client/cli/cli_fixture.h"
#include "gateway/certs/mint.h"

namespace gatehouse::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CertTest : public CliTest {
 protected:
  CertTest() { std::filesystem::create_directory(Path("pki")); }
  int New(const std::string& out, const std::string& key, bool force) {
    std::vector<std::string> command = {"cert", "new", "ca", "--subject", "CN=Root", "--out", Path(out), "--key-out", Path(key)};
    if (force) command.push_back("--force");
    return Raw(command);
  }
  size_t Files() { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(Path("pki")), {})); }
};

TEST_F(CertTest, AKeyIsNotLostWhenItsCertificateCannotBeWritten) {
  ASSERT_EQ(New("pki/ca.pem", "pki/ca.key", false), kOk) << err_;
  const std::string key = ReadBack("pki/ca.key"), certificate = ReadBack("pki/ca.pem");
  EXPECT_EQ(New("not-there/ca.pem", "pki/ca.key", true), kRefused);
  EXPECT_THAT(err_, HasSubstr("No such file or directory"));
  EXPECT_EQ(New("pki", "pki/ca.key", true), kRefused) << "a folder is in its place";
  EXPECT_EQ(New("pki/ca.pem", "pki", true), kRefused);
  EXPECT_EQ(New("pki/ca.pem", "pki/ca.pem", true), kRefused) << "two of one name";
  EXPECT_EQ(ReadBack("pki/ca.key"), key);
  EXPECT_EQ(ReadBack("pki/ca.pem"), certificate);
  EXPECT_EQ(Files(), 2u);
  EXPECT_EQ(New("pki/ca.pem", "pki/ca.key", true), kOk) << err_;
  EXPECT_NE(ReadBack("pki/ca.key"), key);
  EXPECT_EQ(Files(), 2u);
  struct stat info = {};
  ASSERT_EQ(stat(Path("pki/ca.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(CertTest, NoKeyIsLeftWithoutItsCertificate) {
  Write("pki/ca.pem", "another's");
  EXPECT_EQ(New("pki/ca.pem", "pki/ca.key", false), kConflict);
  EXPECT_THAT(err_, HasSubstr("ca.pem exists already; --force replaces it"));
  EXPECT_EQ(ReadBack("pki/ca.pem"), "another's");
  EXPECT_EQ(Files(), 1u);
}

// It would be refused everywhere, and the gateway's reason is far away.
TEST_F(CertTest, WhatNoGatewayWouldAcceptIsNotMade) {
  const auto made = [&](const std::string& subject, const std::string& san) {
    return Raw({"cert", "new", "self-signed", "--subject", subject, "--san", san, "--out", Path("pki/a.pem"), "--key-out",
                Path("pki/a.key")});
  };
  for (const auto& [subject, san, why] : std::vector<std::array<std::string, 3>>{
           {"CN=a", "dns:not a host", "is not a host name"}, {"CN=a", "dns:b\u00fccher.example", "is not a host name"},
           {"CN=a", "email:nobody", "is not an address"}, {"CN=a", "uri:/relative", "is not an absolute URI"},
           {"CN=a\\0Ab", "dns:a.example", "holds a control character"}, {"", "dns:a.example", "issuer is empty"}}) {
    EXPECT_EQ(made(subject, san), kRefused) << san;
    EXPECT_THAT(err_, HasSubstr(why));
  }
  EXPECT_EQ(Files(), 0u);
  EXPECT_EQ(made("CN=a", "dns:a.example"), kOk) << err_;
}

TEST_F(CertTest, AnAuthorityThatMayNotIssueItIsSaid) {
  const UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
  Write("ca.key", std::string(certs::KeyToPem(key.get())->Reveal()));
  const auto made = [&](const std::string& profile, const certs::MintRequest& authority, const std::string& san) {
    Write("ca.pem", (*certs::Mint(authority, key.get()))->ToPem());
    return Raw({"cert", "new", profile, "--subject", "CN=a", "--san", san, "--days", "30", "--ca", Path("ca.pem"), "--ca-key",
                Path("ca.key"), "--force", "--out", Path("pki/a.pem"), "--key-out", Path("pki/a.key")});
  };
  certs::MintRequest plain{.profile = certs::Profile::kCa, .subject = "CN=Root"};
  plain.not_before = absl::Now() - absl::Hours(1), plain.not_after = absl::Now() + absl::Hours(24 * 60);
  certs::MintRequest signs_nothing = plain, lowest = plain, constrained = plain, old = plain;
  signs_nothing.extensions = {{"keyUsage", true, std::string("\x03\x02\x07\x80", 4)}};
  lowest.path_length = 0;
  // permitted: DNS names below example
  constrained.extensions = {{"nameConstraints", true, std::string("\x30\x0d\xa0\x0b\x30\x09\x82\x07" "example", 15)}};
  old.not_after = absl::Now() + absl::Hours(24);
  EXPECT_EQ(made("leaf", signs_nothing, "dns:a.example"), kRefused);
  EXPECT_THAT(err_, HasSubstr("key usage does not allow it to sign certificates"));
  EXPECT_EQ(made("intermediate", lowest, "dns:a.example"), kRefused);
  EXPECT_THAT(err_, HasSubstr("allows no authority below it"));
  EXPECT_EQ(made("leaf", constrained, "dns:a.test"), kRefused);
  EXPECT_THAT(err_, HasSubstr("name constraints of \"CN=Root\""));
  EXPECT_EQ(Files(), 0u);
  EXPECT_EQ(made("leaf", lowest, "dns:a.example"), kOk) << err_;
  EXPECT_EQ(made("leaf", constrained, "dns:a.example"), kOk) << err_;
  EXPECT_EQ(err_, "");
  EXPECT_EQ(made("leaf", old, "dns:a.example"), kOk) << err_;
  EXPECT_THAT(err_, HasSubstr("its authority expires before it does"));
}

TEST_F(CertTest, OfDerWithSomethingBehindItThatIsSaid) {
  const UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
  certs::MintRequest request{.subject = "CN=a"};
  request.not_before = absl::Now() - absl::Hours(1), request.not_after = absl::Now() + absl::Hours(24);
  Write("a.der", (*certs::Mint(request, key.get()))->der() + "\n");
  EXPECT_EQ(Raw({"cert", "show", Path("a.der")}), kRefused);
  EXPECT_THAT(err_, HasSubstr("octets follow the certificate"));
}

TEST_F(CertTest, AnAuthorityWithAnyKindOfKeySigns) {
  for (const char* kind : {"ED448", "ED25519", "P-521", "RSA"}) {
    UniqueKey key(std::string(kind) == "RSA"     ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048})
                  : std::string(kind) == "P-521" ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-521")
                                                 : EVP_PKEY_Q_keygen(nullptr, nullptr, kind));
    ASSERT_NE(key, nullptr) << kind;
    certs::MintRequest request{.profile = certs::Profile::kCa, .subject = "CN=Root"};
    request.not_before = absl::Now() - absl::Hours(1), request.not_after = absl::Now() + absl::Hours(24);
    const auto ca = certs::Mint(request, key.get());
    ASSERT_TRUE(ca.ok()) << kind << ": " << ca.status();
    Write("ca.pem", (*ca)->ToPem());
    Write("ca.key", std::string(certs::KeyToPem(key.get())->Reveal()));
    EXPECT_EQ(Raw({"cert", "new", "leaf", "--subject", "CN=a", "--ca", Path("ca.pem"), "--ca-key", Path("ca.key"), "--force",
                   "--out", Path("pki/a.pem"), "--key-out", Path("pki/a.key")}), kOk) << kind << err_;
  }
}

TEST_F(CertTest, APfxIsNotMadeUnderHalfOfItsPassword) {
  EXPECT_EQ(Raw({"cert", "new", "self-signed", "--subject", "CN=a", "--pfx", Path("pki/a.pfx"), "--pfx-password-stdin"},
                std::string("a\0secret\n", 9)), kRefused);
  EXPECT_THAT(err_, HasSubstr("password: holds a NUL"));
  EXPECT_EQ(Files(), 0u);
}

TEST_F(CertTest, ShowsWhatIsInFilesOfEveryForm) {
  ASSERT_EQ(Raw({"cert", "new", "self-signed", "--subject", "CN=box", "--pfx", Path("pki/box.pfx"), "--pfx-password-stdin"}, "test\n"),
            kOk) << err_;
  ASSERT_EQ(New("pki/ca.pem", "pki/ca.key", false), kOk) << err_;
  EXPECT_EQ(Raw({"cert", "show", "--password-stdin", Path("pki/ca.pem"), Path("pki/box.pfx")}, "test\n"), kOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("CN=Root"), HasSubstr("CN=box")));
  EXPECT_EQ(Raw({"cert", "show", Path("pki/ca.key")}), kRefused);
  EXPECT_THAT(err_, HasSubstr("ca.key: holds a private key and no certificate"));
}

TEST_F(CertTest, AKeyThatDoesNotFitIsNamed) {
  ASSERT_EQ(New("pki/a.pem", "pki/a.key", false), kOk) << err_;
  ASSERT_EQ(New("pki/b.pem", "pki/b.key", false), kOk) << err_;
  const auto ask = [this](const std::string& certificate, const std::string& key) {
    return Raw({"--server", "localhost:1", "--ca", Path("pki/a.pem"), "--cert", Path(certificate), "--key", Path(key), "whoami"});
  };
  EXPECT_EQ(ask("pki/a.pem", "pki/b.key"), kRefused);
  EXPECT_THAT(err_, HasSubstr(Path("pki/b.key") + " is not the key of " + Path("pki/a.pem")));
  EXPECT_EQ(ask("pki/a.key", "pki/a.key"), kRefused);
  EXPECT_THAT(err_, HasSubstr("a.key holds no certificate in PEM"));
  EXPECT_EQ(ask("pki/a.pem", "pki/a.pem"), kRefused);
  EXPECT_THAT(err_, HasSubstr("a.pem holds no private key in PEM"));
}

TEST_F(CertTest, MakesNoneThatIsValidForNoTime) {
  EXPECT_EQ(Raw({"cert", "new", "ca", "--subject", "CN=Root", "--out", Path("pki/ca.pem"), "--key-out", Path("pki/ca.key"), "--days", "0"}),
            kUsage);
  EXPECT_EQ(Files(), 0u);
}

}  // namespace
}  // namespace gatehouse::cli
