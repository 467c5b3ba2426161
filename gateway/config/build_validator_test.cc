// Services that decide credentials: what Build makes of them, refuses and warns of.
#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class BuildValidatorTest : public BuildTest {
 protected:
  static std::string Scheme(const std::string& validator, const std::string& rest = "") {
    return absl::StrCat("schemes { name: \"Own\" basic { ", rest, " validator { ", validator, " } } }");
  }
  static std::string Set(const std::string& validator, const std::string& rest = "") {
    return Base() + Scheme(validator, rest) + Good("r", "require { any_of: \"Own\" }");
  }
  static delegate::ServiceRef Service(const std::string& validator) {
    auto snapshot = BuildGood(Set(validator));
    return snapshot == nullptr ? nullptr : snapshot->FindScheme("Own")->validator;
  }
  static std::vector<std::string> Violations(const std::string& validator, const std::string& rest = "") {
    return Lines(BuildText(Set(validator, rest)).violations);
  }
  static std::string At(const std::string& field) {
    return absl::StrCat("schemes[\"Own\"].basic.validator", field.empty() ? "" : ".", field, ": ");
  }
};

constexpr char kLocal[] = "endpoints: \"127.0.0.1:9000\" allow_plaintext: true ";
constexpr char kTls[] = "endpoints: \"auth.example:9000\" tls { ca_pem: \"@ca@\" } ";

TEST_F(BuildValidatorTest, DefaultsAreTheDocumentedOnes) {
  const delegate::ServiceRef service = Service(kTls);
  ASSERT_NE(service, nullptr);
  EXPECT_EQ(service->scheme, "Own");
  EXPECT_FALSE(service->plaintext);
  EXPECT_EQ(service->deadline, absl::Seconds(2));
  EXPECT_EQ(service->max_concurrent_calls, 64u);
  EXPECT_EQ(service->breaker_failures, 5u);
  EXPECT_EQ(service->breaker_open_for, absl::Seconds(5));
  EXPECT_EQ(service->max_lifetime, absl::Minutes(5));
  using delegate::Fact;
  for (Fact fact : {Fact::kHost, Fact::kClientAddress, Fact::kListener, Fact::kRoute, Fact::kRequestId, Fact::kCertificate}) {
    EXPECT_TRUE(service->sent.Has(fact));
  }
  EXPECT_FALSE(service->sent.Has(Fact::kPath));
  EXPECT_FALSE(service->sent.Has(Fact::kMethod));
}

TEST_F(BuildValidatorTest, EveryFieldIsTaken) {
  const delegate::ServiceRef service = Service(
      "endpoints: \"[::1]:1\" endpoints: \"unix:/run/v.sock\" "
      "tls { ca_pem: \"@ca@\" certificate_chain_pem: \"@localhost@\" private_key_pem: \"@key@\" server_name: \"v.example\" } "
      "deadline { nanos: 500000000 } max_concurrent_calls: 7 circuit_breaker { failures: 2 open_for { seconds: 60 } } "
      "max_lifetime { seconds: 3600 } send: PATH send: METHOD");
  ASSERT_NE(service, nullptr);
  EXPECT_THAT(service->endpoints, ::testing::ElementsAre("[::1]:1", "unix:/run/v.sock"));
  EXPECT_THAT(service->certificate_chain_pem, HasSubstr("BEGIN CERTIFICATE"));
  EXPECT_THAT(std::string(service->private_key_pem.Reveal()), HasSubstr("PRIVATE KEY"));
  EXPECT_EQ(service->server_name, "v.example");
  EXPECT_EQ(service->deadline, absl::Milliseconds(500));
  EXPECT_EQ(service->max_concurrent_calls, 7u);
  EXPECT_EQ(service->breaker_failures, 2u);
  EXPECT_EQ(service->breaker_open_for, absl::Minutes(1));
  EXPECT_EQ(service->max_lifetime, absl::Hours(1));
  EXPECT_TRUE(service->sent.Has(delegate::Fact::kPath));
  EXPECT_FALSE(service->sent.Has(delegate::Fact::kHost));
}

TEST_F(BuildValidatorTest, NothingSendsNothing) {
  EXPECT_EQ(Service(std::string(kLocal) + "send: NOTHING")->sent.bits(), 0);
}

TEST_F(BuildValidatorTest, ASchemeHasAUserStoreOrAService) {
  EXPECT_THAT(Violations(kLocal, "user_store: \"staff\""),
              Contains(At("") + "excludes user_store: one of them decides"));
  EXPECT_THAT(Violations(kLocal, "cache_ttl { seconds: 5 }"), Contains(HasSubstr("basic.cache_ttl: is for user_store")));
  EXPECT_THAT(Lines(BuildText(Base() + "schemes { name: \"None\" basic {} }").violations),
              Contains("schemes[\"None\"].basic.user_store: is required, or validator"));
}

TEST_F(BuildValidatorTest, PasswordsDoNotLeaveTheMachineInPlaintext) {
  for (const char* there : {"10.0.0.1:9000", "auth.example:9000", "localhost:9000", "[::ffff:127.0.0.1]:1", "128.0.0.1:1"}) {
    EXPECT_THAT(Violations(absl::StrCat("endpoints: \"", there, "\" allow_plaintext: true")),
                Contains(HasSubstr("passwords would cross a network in plaintext")))
        << there;
  }
  for (const char* here : {"127.0.0.1:1", "127.255.255.254:1", "[::1]:1", "unix:/run/v"}) {
    EXPECT_THAT(Violations(absl::StrCat("endpoints: \"", here, "\" allow_plaintext: true")), IsEmpty()) << here;
  }
  EXPECT_THAT(Violations("endpoints: \"127.0.0.1:9000\""), Contains(HasSubstr(At("tls") + "is required")));
  EXPECT_THAT(Violations(std::string(kTls) + "allow_plaintext: true"), Contains(At("allow_plaintext") + "excludes tls"));
}

TEST_F(BuildValidatorTest, WarnsOfPlaintextOnALoopbackAddressOnly) {
  EXPECT_THAT(Lines(BuildText(Set(kLocal)).warnings), Contains(HasSubstr("is asked in plaintext")));
  EXPECT_THAT(Lines(BuildText(Set("endpoints: \"unix:/run/v\" allow_plaintext: true")).warnings),
              Not(Contains(HasSubstr("plaintext"))));
}

TEST_F(BuildValidatorTest, EndpointsArePlaces) {
  EXPECT_THAT(Violations("tls { ca_pem: \"@ca@\" }"), Contains(At("endpoints") + "must be 1 to 8"));
  for (const char* bad : {"", "auth", "auth:", "auth:0", "auth:65536", "auth:+1", "auth.example.:1", "-a:1", "a b:1", "1.2.3:1",
                          "dns:///x:1", "::1:1", "xds:x", "unix:", "unix:relative", "unix:/", "unix:/a b", "unix-abstract:x",
                          "ipv4:1.2.3.4:5", "user@host:1", "host/path:1"}) {
    EXPECT_THAT(Violations(absl::StrCat("endpoints: \"", bad, "\" tls { ca_pem: \"@ca@\" }")),
                Contains(HasSubstr("must be")))
        << bad;
  }
  EXPECT_THAT(Violations(std::string(kTls) + "endpoints: \"auth.example:9000\""), Contains(HasSubstr("is there twice")));
}

TEST_F(BuildValidatorTest, TlsIsWholeOrRefused) {
  const std::string at = "endpoints: \"auth.example:9000\" ";
  EXPECT_THAT(Violations(at + "tls {}"), Contains(At("tls.ca_pem") + "is required"));
  EXPECT_THAT(Violations(at + "tls { ca_pem: \"nothing\" }"), Contains(HasSubstr(At("tls.ca_pem"))));
  EXPECT_THAT(Violations(at + "tls { ca_pem: \"@ca@\" certificate_chain_pem: \"@localhost@\" }"),
              Contains(At("tls.private_key_pem") + "is required: certificate and key go together"));
  EXPECT_THAT(Violations(at + "tls { ca_pem: \"@ca@\" private_key_pem: \"@key@\" }"),
              Contains(At("tls.certificate_chain_pem") + "is required: certificate and key go together"));
  EXPECT_THAT(Violations(at + "tls { ca_pem: \"@ca@\" certificate_chain_pem: \"@localhost@\" private_key_pem: \"@other-key@\" }"),
              Contains(At("tls") + "private key does not match the certificate"));
  EXPECT_THAT(Violations(at + "tls { ca_pem: \"@ca@\" server_name: \"a b\" }"), Contains(HasSubstr(At("tls.server_name"))));
}

TEST_F(BuildValidatorTest, BoundsAreBounds) {
  const auto refused = [](const std::string& field) { return Violations(std::string(kLocal) + field); };
  EXPECT_THAT(refused("deadline { nanos: 49999999 }"), Contains(HasSubstr("deadline")));
  EXPECT_THAT(refused("deadline { seconds: 31 }"), Contains(HasSubstr("deadline")));
  EXPECT_THAT(refused("max_concurrent_calls: 4097"), Contains(HasSubstr("max_concurrent_calls")));
  EXPECT_THAT(refused("circuit_breaker { failures: 1001 }"), Contains(HasSubstr("circuit_breaker.failures")));
  EXPECT_THAT(refused("circuit_breaker { open_for { seconds: 601 } }"), Contains(HasSubstr("circuit_breaker.open_for")));
  EXPECT_THAT(refused("max_lifetime { seconds: 86401 }"), Contains(HasSubstr("max_lifetime")));
  EXPECT_THAT(refused("send: HOST send: HOST"), Contains(HasSubstr("send[1]: HOST is there twice")));
  EXPECT_THAT(refused("send: HOST send: NOTHING"), Contains(HasSubstr("send[1]: NOTHING stands alone")));
  EXPECT_THAT(refused("send: FACT_UNSPECIFIED"), Contains(HasSubstr("send[0]: unknown value 0")));
}

TEST_F(BuildValidatorTest, AChangedServiceIsAnotherEpochAndAnUnchangedOneIsShared) {
  auto first = BuildGood(Set(kLocal));
  auto same = BuildGood(Set(kLocal), first.get());
  EXPECT_EQ(same->FindScheme("Own")->validator, first->FindScheme("Own")->validator);
  EXPECT_EQ(same->FindScheme("Own")->epoch, first->FindScheme("Own")->epoch);
  for (const char* change : {"max_lifetime { seconds: 7 }", "send: HOST", "deadline { seconds: 1 }"}) {
    auto changed = BuildGood(Set(std::string(kLocal) + change), first.get());
    EXPECT_NE(changed->FindScheme("Own")->epoch, first->FindScheme("Own")->epoch) << change;
    EXPECT_NE(changed->FindScheme("Own")->validator->version, first->FindScheme("Own")->validator->version) << change;
  }
}

}  // namespace
}  // namespace gatehouse::config
