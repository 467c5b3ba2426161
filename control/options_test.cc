#include "control/options.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Environment kUser{.root = false, .home = "/home/u", .xdg_state_home = ""};

std::string ErrorOf(const std::vector<std::string>& arguments) {
  return std::string(ParseOptions(arguments, kUser).status().message());
}

TEST(Options, DefaultsFollowWhoStartsIt) {
  EXPECT_EQ(ParseOptions({}, {.root = true})->socket, "/var/lib/gatehouse/run/control.sock");
  EXPECT_EQ(ParseOptions({}, kUser)->state_dir, "/home/u/.local/state/gatehouse");
  EXPECT_EQ(ParseOptions({}, {.xdg_state_home = "/x"})->state_dir, "/x/gatehouse");
  EXPECT_THAT(std::string(ParseOptions({}, {}).status().message()), HasSubstr("--state-dir"));
  EXPECT_TRUE(ParseOptions({}, kUser)->gateway);
}

TEST(Options, TheSocketFollowsTheStateDirectory) {
  EXPECT_EQ(ParseOptions({"--state-dir", "/s/./t/"}, kUser)->socket, "/s/t/run/control.sock");
  EXPECT_EQ(ParseOptions({"--state-dir", "/s", "--socket", "/r/c.sock"}, kUser)->socket, "/r/c.sock");
  EXPECT_EQ(ParseOptions({"--state-dir", "/s"}, kUser)->revocation_cache, "/s/revocation");
  EXPECT_EQ(ParseOptions({"--state-dir", "/s", "--revocation-cache", "/c/"}, kUser)->revocation_cache, "/c");
  EXPECT_THAT(ErrorOf({"--socket", "/" + std::string(120, 'x')}), HasSubstr("longer than the system allows"));
}

TEST(Options, TcpWantsMutualTlsWhole) {
  auto o = ParseOptions({"--listen", "0.0.0.0:9", "--tls-cert", "c", "--tls-key", "k", "--client-ca", "a",
                         "--allow-san", "spiffe://a", "--allow-san", "spiffe://b"},
                        kUser);
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_THAT(o->allow_san, ElementsAre("spiffe://a", "spiffe://b"));
  EXPECT_THAT(ErrorOf({"--listen", "0.0.0.0:9"}), HasSubstr("mutual TLS"));
  EXPECT_THAT(ErrorOf({"--listen", "0.0.0.0:9", "--tls-cert", "c", "--tls-key", "k"}), HasSubstr("--client-ca"));
  EXPECT_TRUE(ParseOptions({"--listen", "0.0.0.0:9", "--tls-cert", "c", "--tls-key", "k", "--client-ca", "a"}, kUser).ok())
      << "bindings may name who may call";
  EXPECT_THAT(ErrorOf({"--tls-cert", "c"}), HasSubstr("--listen"));
}

TEST(Options, AnOwnerByNameIsEnoughForTcp) {
  auto o = ParseOptions({"--listen", "0.0.0.0:9", "--tls-cert", "c", "--tls-key", "k", "--client-ca", "a", "--owner-san",
                         "spiffe://ops/alice"},
                        kUser);
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_THAT(o->owner_san, ElementsAre("spiffe://ops/alice"));
  EXPECT_THAT(ErrorOf({"--owner-san", "a"}), HasSubstr("--listen only"));
}

TEST(Options, NamesOfClientsAreWrittenAsTheyAre) {
  for (const char* name : {"email:alice@example.com", "dns:ops.example", "uri:spiffe://ops/alice", "ip:192.0.2.1"}) {
    const std::vector<std::string> tls = {"--listen", "0.0.0.0:9", "--tls-cert", "c", "--tls-key", "k", "--client-ca", "a"};
    for (const char* option : {"--owner-san", "--allow-san"}) {
      std::vector<std::string> arguments = tls;
      arguments.insert(arguments.end(), {option, name});
      EXPECT_THAT(ErrorOf(arguments), testing::AllOf(HasSubstr(option), HasSubstr(name), HasSubstr("the name alone")));
    }
  }
}

TEST(Options, AGroupsSocketLiesWhereTheGroupCanGo) {
  EXPECT_TRUE(ParseOptions({"--socket", "/run/g/c.sock", "--socket-group", "ops"}, kUser).ok());
  EXPECT_THAT(ErrorOf({"--socket-group", "ops"}), HasSubstr("outside of the state directory"));
  EXPECT_THAT(ErrorOf({"--state-dir", "/s", "--socket", "/s/x.sock", "--socket-group", "ops"}), HasSubstr("outside"));
}

TEST(Options, TheKeyComesFromOnePlace) {
  Environment environment = kUser;
  environment.secret_key = std::string(64, 'a');
  EXPECT_EQ(ParseOptions({}, environment)->secret_key.Reveal(), std::string(32, '\xaa'));
  const auto both = ParseOptions({"--secret-key-file", "/k"}, environment);
  EXPECT_THAT(std::string(both.status().message()), HasSubstr("exclude each other"));
  environment.new_secret_key = std::string(64, 'b');
  EXPECT_EQ(ParseOptions({}, environment)->new_secret_key.size(), 32u);
  for (const std::string& bad : {std::string(63, 'a'), std::string(64, 'g'), std::string("secret")}) {
    environment.secret_key = bad;
    const std::string refused(ParseOptions({}, environment).status().message());
    EXPECT_THAT(refused, HasSubstr("GATEHOUSE_SECRET_KEY: 64 hex digits"));
    EXPECT_EQ(refused.find(bad), std::string::npos);
  }
  environment.secret_key.clear();
  EXPECT_THAT(std::string(ParseOptions({}, environment).status().message()), HasSubstr("beside GATEHOUSE_SECRET_KEY"));
  EXPECT_EQ(ParseOptions({"--secret-key-file", "/k"}, kUser)->secret_key_file, "/k");
}

TEST(Options, ABadFlagIsNamed) {
  EXPECT_THAT(ErrorOf({"--log-level", "loud"}), HasSubstr("--log-level"));
  EXPECT_THAT(ErrorOf({"--workers", "-1"}), HasSubstr("--workers"));
  EXPECT_THAT(ErrorOf({"--nonsense"}), HasSubstr("--nonsense"));
  EXPECT_THAT(ErrorOf({"--no-socket"}), HasSubstr("--no-socket"));
  EXPECT_THAT(ErrorOf({"--no-socket", "--socket", "/s"}), HasSubstr("exclude"));
}

TEST(Options, TheArchiveOfEventsHasLimits) {
  const auto with = [](const char* flag, const char* value) { return *ParseOptions({flag, value}, kUser); };
  EXPECT_EQ(ParseOptions({}, kUser)->event_archive_size, 1024u * 1024 * 1024);
  EXPECT_EQ(ParseOptions({}, kUser)->event_archive_age, absl::Hours(30 * 24));
  EXPECT_EQ(with("--event-archive-size", "64MiB").event_archive_size, 64u * 1024 * 1024);
  EXPECT_EQ(with("--event-archive-size", "0").event_archive_size, 0u);
  EXPECT_EQ(with("--event-archive-age", "7d").event_archive_age, absl::Hours(168));
  EXPECT_EQ(with("--event-archive-age", "36h").event_archive_age, absl::Hours(36));
  EXPECT_EQ(with("--event-archive-age", "0").event_archive_age, absl::ZeroDuration());
  EXPECT_EQ(with("--event-log", "-").event_log, "-");
  EXPECT_EQ(with("--event-log", "/e/./l").event_log, "/e/l");
  for (const char* size : {"1MiB", "7", "-1", "x", "32TiB"}) {
    EXPECT_THAT(ErrorOf({"--event-archive-size", size}), HasSubstr("--event-archive-size")) << size;
  }
  for (const char* age : {"5", "-1h", "1s", "d", "99999999d", "inf", ""}) {
    EXPECT_THAT(ErrorOf({"--event-archive-age", age}), HasSubstr("--event-archive-age")) << age;
  }
}

TEST(Options, WhatRequestsMayHoldHasBoundsThatFitEachOther) {
  const auto with = [](std::vector<std::string> arguments) { return *ParseOptions(arguments, kUser); };
  EXPECT_EQ(with({}).max_caller_memory, 256u * 1024 * 1024);
  EXPECT_EQ(with({}).max_request_memory, 512u * 1024 * 1024);
  EXPECT_EQ(with({}).max_caller_minute, 1024u * 1024 * 1024);
  EXPECT_EQ(with({"--max-caller-memory", "64MiB"}).max_caller_memory, 64u * 1024 * 1024);
  for (const char* flag : {"--max-caller-memory", "--max-request-memory", "--max-caller-minute"}) {
    for (const char* size : {"0", "1023KiB", "2TiB", "much", "-1"}) EXPECT_THAT(ErrorOf({flag, size}), HasSubstr(flag)) << size;
  }
  EXPECT_THAT(ErrorOf({"--max-caller-memory", "600MiB"}), HasSubstr("may not have more held than all"));
  EXPECT_THAT(ErrorOf({"--max-caller-minute", "200MiB"}), HasSubstr("at least one call of --max-caller-memory"));
}

TEST(Options, HelpAndVersionAreNoErrors) {
  EXPECT_THAT(ParseOptions({"--help"}, kUser)->text, HasSubstr("--insecure-loopback"));
  EXPECT_THAT(ParseOptions({"--version"}, kUser)->text, HasSubstr("gatehouse "));
}

}  // namespace
}  // namespace gatehouse
