#include "client/cli/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gatehouse::cli {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

v1::Event Refused() {
  v1::Event event;
  event.set_type(v1::Event::DECISION);
  event.set_outcome(v1::Event::REFUSED);
  event.set_reason(v1::REVOKED);
  event.mutable_time()->set_seconds(12 * 3600 + 67);
  event.mutable_time()->set_nanos(114'000'000);
  event.mutable_request()->set_method("GET");
  event.mutable_request()->set_host("shop.example");
  event.mutable_request()->set_path("/orders/7");
  event.mutable_request()->set_request_id("7f3a");
  event.mutable_certificate()->set_subject("CN=old-laptop,O=Partner A");
  event.set_possession_proven(true);
  event.set_peer("10.1.2.3:5000");
  event.add_schemes("Certificate");
  return event;
}

std::string Text(const v1::Event& event) { return EventText(event, Style(false), absl::UTCTimeZone()); }

TEST(EventTextTest, ReadsLeftToRight) {
  EXPECT_EQ(Text(Refused()),
            "12:01:07.114  REFUSED  REVOKED          GET shop.example/orders/7   CN=old-laptop,O=Partner A   "
            "10.1.2.3:5000   Certificate   req 7f3a");
}

TEST(EventTextTest, NeverLetsAStrangersTextReachTheTerminal) {
  const std::string hostile = "\x1b[2J\r\n\xe2\x80\xae\xc2\x9b";
  v1::Event event = Refused();
  event.set_detail(hostile);
  event.set_principal(hostile);
  event.set_peer(hostile);
  event.set_schemes(0, hostile);
  event.mutable_request()->set_method(hostile);
  event.mutable_request()->set_host(hostile);
  event.mutable_request()->set_path(hostile);
  event.mutable_request()->set_request_id(hostile);
  for (v1::Event::Type type : {v1::Event::DECISION, v1::Event::HANDSHAKE, v1::Event::TRUST, v1::Event::CONFIG,
                               v1::Event::GATEWAY, v1::Event::GAP, v1::Event::AUDIT}) {
    event.set_type(type);
    event.set_actor(hostile);
    event.set_gateway(hostile);
    event.set_server_name(hostile);
    std::string text = Text(event);
    for (const char* bad : {"\x1b", "\r", "\n", "\xe2\x80\xae", "\xc2\x9b"}) EXPECT_THAT(text, Not(HasSubstr(bad)));
  }
}

TEST(EventTextTest, CountsWhatWasMissed) {
  v1::Event gap;
  gap.set_type(v1::Event::GAP);
  gap.set_missed(312);
  EXPECT_THAT(Text(gap), HasSubstr("… 312 events missed (this watcher was slow)"));
  v1::Event event = Refused();
  event.set_missed(1);
  EXPECT_THAT(Text(event), HasSubstr("… 1 event missed"));
}

TEST(EventTextTest, SaysWhatWasCut) {
  v1::Event event;
  event.set_type(v1::Event::TRUST);
  event.set_outcome(v1::Event::CUT);
  event.set_reason(v1::TRUST_WITHDRAWN);
  event.set_connections(2);
  event.set_streams(1);
  event.set_previous_revision(41);
  event.set_revision(42);
  EXPECT_THAT(Text(event), HasSubstr("CUT      TRUST_WITHDRAWN  2 connections, 1 stream   revision 41 -> 42"));
}

TEST(EventTextTest, MarksACertificateWhoseKeyWasNotProven) {
  v1::Event event = Refused();
  event.set_possession_proven(false);
  EXPECT_THAT(Text(event), HasSubstr("CN=old-laptop,O=Partner A (unproven)"));
}

TEST(EventTextTest, ColoursOnlyWhenAsked) {
  EXPECT_THAT(Text(Refused()), Not(HasSubstr("\x1b")));
  EXPECT_THAT(EventText(Refused(), Style(true), absl::UTCTimeZone()), HasSubstr("\x1b[31mREFUSED\x1b[0m"));
}

TEST(EventJsonTest, IsOneLine) {
  v1::Event event = Refused();
  event.set_detail("a\nb\x1b");
  EXPECT_THAT(EventJson(event), Not(HasSubstr("\n")));
  EXPECT_THAT(EventJson(event), HasSubstr("\"possession_proven\":true"));
}

TEST(ChangeTextTest, AlignsAndEscapes) {
  google::protobuf::RepeatedPtrField<v1::Change> changes;
  v1::Change& added = *changes.Add();
  added.mutable_id()->set_kind(v1::ROUTE);
  added.mutable_id()->set_name("a");
  added.set_action(v1::Change::ADDED);
  v1::Change& changed = *changes.Add();
  changed.mutable_id()->set_kind(v1::POLICY);
  changed.mutable_id()->set_name("buyers");
  changed.set_action(v1::Change::CHANGED);
  changed.add_details("one\x1b");
  changed.add_details("two");
  EXPECT_EQ(ChangesText(changes, Style(false)),
            "+ routes/a          added\n"
            "~ policies/buyers   one\\x1B\n"
            "                    two\n");
}

TEST(ExplainTextTest, EscapesAndConcludes) {
  v1::ExplainResponse response;
  response.mutable_certificate()->set_subject("CN=\x1b[31mx");
  *response.add_presented() = response.certificate();
  v1::SchemeVerdict& verdict = *response.add_verdicts();
  verdict.set_scheme("Certificate");
  verdict.set_reason(v1::EXPIRED);
  v1::ExplainStep& step = *verdict.add_steps();
  step.set_step("validity");
  step.set_reason(v1::EXPIRED);
  step.set_detail("\x1b]0;title\x07");
  response.add_other_schemes("Basic");
  std::string text = ExplainText({}, response, absl::UnixEpoch(), Style(false));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("verdict: REFUSED, EXPIRED. The route also accepts Basic.\n"));
}

TEST(ExplainTextTest, ShowsEachCandidatePathWithItsSteps) {
  v1::ExplainResponse response;
  response.mutable_certificate()->set_subject("CN=laptop");
  *response.add_presented() = response.certificate();
  v1::SchemeVerdict& verdict = *response.add_verdicts();
  verdict.set_scheme("Certificate");
  verdict.set_reason(v1::REVOKED);
  verdict.set_trust_store("partners");
  const auto step = [&](uint32_t candidate, const char* name, v1::Reason reason, const char* about, const char* detail) {
    v1::ExplainStep& to = *verdict.add_steps();
    to.set_candidate(candidate);
    to.set_step(name);
    to.set_ok(reason == v1::REASON_UNSPECIFIED);
    to.set_reason(reason);
    to.set_certificate(about);
    to.set_detail(detail);
  };
  for (uint32_t i = 0; i < 2; ++i) {
    v1::CandidatePath& path = *verdict.add_candidates();
    path.set_candidate(i);
    for (const char* subject : {"CN=laptop", "CN=Issuing", i == 0 ? "CN=Old Root" : "CN=New Root"}) path.add_subjects(subject);
  }
  step(0, "type", v1::REASON_UNSPECIFIED, "CN=laptop", "chained");
  step(0, "path", v1::REASON_UNSPECIFIED, "CN=laptop", "");
  step(0, "validity", v1::EXPIRED, "CN=Old Root", "expired at 2026");
  step(1, "path", v1::REASON_UNSPECIFIED, "CN=laptop", "");
  step(1, "revocation", v1::REVOKED, "CN=laptop", "OCSP said so");
  EXPECT_THAT(ExplainText({}, response, absl::UnixEpoch(), Style(false)),
              HasSubstr("Certificate     REVOKED\n"
                        "  type          ok                      chained\n"
                        "  path 1        leaf <- CN=Issuing <- CN=Old Root (anchor of trustStores/partners)\n"
                        "    path        ok\n"
                        "    validity    EXPIRED                 CN=Old Root   expired at 2026\n"
                        "  path 2        leaf <- CN=Issuing <- CN=New Root (anchor of trustStores/partners)\n"
                        "    path        ok\n"
                        "    revocation  REVOKED                 OCSP said so\n"));
}

TEST(ExplainTextTest, WithoutACertificateItTellsHowClientsAreAsked) {
  v1::ExplainResponse response;
  v1::AskedName& none = *response.add_asks();
  none.set_listener("edge");
  none.set_address("127.0.0.1:8443");
  none.set_client_certificate(v1::Listener::NONE);
  EXPECT_THAT(ExplainText({}, response, absl::UnixEpoch(), Style(false)),
              HasSubstr("verdict: no client is ever asked for its certificate."));
  v1::AskedName& asked = *response.add_asks();
  asked = none;
  asked.set_server_name("shop.example");
  asked.set_client_certificate(v1::Listener::ALLOW);
  asked.add_ca_hints("CN=Root\x1b");
  const std::string text = ExplainText({}, response, absl::UnixEpoch(), Style(false));
  EXPECT_THAT(text, HasSubstr("asked by        edge 127.0.0.1:8443   any other name   NONE   no client is asked"));
  EXPECT_THAT(text, HasSubstr("hints: a certificate issued by CN=Root\\x1B"));
  EXPECT_THAT(text, HasSubstr("openssl s_client -connect 127.0.0.1:8443 -servername shop.example"));
  EXPECT_THAT(text, HasSubstr("verdict: no certificate to judge; clients are asked for one."));
}

TEST(TrustTextTest, ShowsUsesExpiryAndComments) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  v1::TrustStore store;
  v1::Pin& lab = *store.add_pins();
  lab.set_spki_sha256(std::string(64, 'B'));
  lab.set_comment("lab\x1b");
  v1::ListTrustResponse listed;
  v1::TrustEntry& anchor = *listed.add_entries();
  anchor.set_role(v1::TrustEntry::ANCHOR);
  anchor.set_sha256(std::string(64, 'a'));
  anchor.mutable_certificate()->set_subject("CN=Root");
  anchor.mutable_certificate()->mutable_not_after()->set_seconds(1'800'000'000 + 86'400 * 12);
  anchor.set_uses(31);
  anchor.mutable_last_use()->set_seconds(1'800'000'000 - 7200);
  v1::TrustEntry& key = *listed.add_entries();
  key.set_role(v1::TrustEntry::PINNED_KEY);
  key.set_sha256(std::string(64, 'b'));
  v1::GatewayUse& lost = *listed.add_gateways();
  lost.set_gateway("edge-2");
  lost.set_error("gateway edge-2 did not answer in time");
  const std::string text = TrustText(store, listed, now, Style(false));
  EXPECT_THAT(text, HasSubstr("anchor      CN=Root"));
  EXPECT_THAT(text, HasSubstr("expires in 12 d  aa:aa:aa:aa:aa:aa:aa:aa:…  31    2 h ago"));
  EXPECT_THAT(text, HasSubstr("pinned key  “lab\\x1B”"));
  EXPECT_THAT(text, HasSubstr("never"));
  EXPECT_THAT(text, HasSubstr("not counted: edge-2: gateway edge-2 did not answer in time"));
}

// A gateway that is behind lists what is there no more; whoever removes a pin goes by its comment.
TEST(TrustTextTest, CommentsStandBesideTheirPinsWhateverElseIsListed) {
  v1::TrustStore store;
  v1::Pin& door = *store.add_pins();
  door.set_certificate_sha256("sha256:" + std::string(64, 'D'));
  door.set_comment("front door");
  v1::ListTrustResponse listed;
  for (char digest : {'c', 'd'}) {
    v1::TrustEntry& entry = *listed.add_entries();
    entry.set_role(v1::TrustEntry::PIN);
    entry.set_sha256(std::string(64, digest));
  }
  const std::string text = TrustText(store, listed, absl::UnixEpoch(), Style(false));
  EXPECT_THAT(text, ContainsRegex("“front door” +- +dd:dd"));
  EXPECT_THAT(text, Not(ContainsRegex("“front door” +- +cc:cc")));
}

TEST(LockoutsTextTest, ShowsWhoIsRefusedAndForHowLong) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  v1::ListLockoutsResponse listed;
  EXPECT_EQ(LockoutsText(listed, now, Style(false)), "nobody is refused\n");
  v1::Lockout& pair = *listed.add_lockouts();
  pair.set_kind(v1::Lockout::USER_AND_ADDRESS);
  pair.set_user("ann\x1b");
  pair.set_address("192.0.2.7");
  pair.set_failures(20);
  pair.mutable_last_failure()->set_seconds(1'800'000'000 - 28);
  pair.mutable_refused_until()->set_seconds(1'800'000'000 + 872);
  pair.set_locked_out(true);
  v1::Lockout& address = *listed.add_lockouts();
  address.set_kind(v1::Lockout::ADDRESS);
  address.set_address("2001:db8::/64");
  address.set_failures(1);
  address.mutable_refused_until()->set_seconds(1'800'000'000 + 2);
  v1::Lockout& user = *listed.add_lockouts();
  user.set_kind(v1::Lockout::USER);
  user.set_user("bob");
  user.set_failures(3);
  listed.set_left_out(7);
  const std::string text = LockoutsText(listed, now, Style(false));
  EXPECT_THAT(text, HasSubstr("ann\\x1B"));
  EXPECT_THAT(text, HasSubstr("20        28s ago  locked out 14m32s"));
  EXPECT_THAT(text, HasSubstr("(anybody)"));
  EXPECT_THAT(text, HasSubstr("1 user    -        delayed 2s"));
  EXPECT_THAT(text, HasSubstr("(anywhere)"));
  EXPECT_THAT(text, HasSubstr("counted"));
  EXPECT_THAT(text, HasSubstr("… and 7 more"));
}

TEST(ExpiryTextTest, CountsInTheUnitThatMatters) {
  const absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(ExpiryText(now + absl::Hours(24) * 1820, now), "expires in 1,820 d");
  EXPECT_EQ(ExpiryText(now + absl::Minutes(5), now), "expires in 5 min");
  EXPECT_EQ(ExpiryText(now - absl::Hours(49), now), "expired 2 d ago");
}

TEST(ShortDigestTest, ShowsTheFirstOctets) {
  EXPECT_EQ(ShortDigest("3f9a00", 2), "3f:9a:…");
  EXPECT_EQ(ShortDigest("3f9a", 2), "3f:9a");
}

}  // namespace
}  // namespace gatehouse::cli
