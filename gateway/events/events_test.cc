#include <arpa/inet.h>
#include <netinet/in.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gateway/events/collector.h"
#include "gateway/events/recorder.h"
#include "gateway/events/wire.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::events {
namespace {

using ::testing::ElementsAre;

SharedText Shared(absl::string_view text) { return std::make_shared<const std::string>(text); }

// A client of which everything is known.
PeerFacts Known() {
  PeerFacts peer;
  peer.connection_id = 77;
  peer.address.family = PeerAddress::Family::kIpv6;
  peer.address.octets.fill(0xAB);
  peer.address.port = 65535;
  peer.resumed = true;
  peer.possession = Possession::kProven;
  CertificateSummary certificate;
  certificate.sha256 = Sha256("x");
  certificate.subject = "CN=\xff";  // not UTF-8
  certificate.issuer = "CN=ca";
  certificate.serial = "0A";
  certificate.not_after = absl::FromCivil(absl::CivilSecond(9999, 12, 31, 23, 59, 59), absl::UTCTimeZone());
  peer.certificate = std::make_shared<const CertificateSummary>(certificate);
  peer.listener = Shared("edge");
  peer.server_name = Shared("gate.test");
  return peer;
}

// What a reader of the wire form sees.
void ToProto(const Event& event, v1::Event* out) {
  std::string wire;
  AppendWire(event, {}, &wire);
  ASSERT_TRUE(out->ParseFromString(wire));
}

class EventsTest : public ::testing::Test {
 protected:
  bool Record(Recorder& recorder, absl::string_view path) {
    Event* e = recorder.Begin(EventKind::kDecision);
    if (e == nullptr) return false;
    e->SetRequest({.path = path});
    recorder.Commit();
    return true;
  }
  // Drain takes what the recorder holds.
  static size_t Drain(Recorder& recorder, size_t max, std::vector<Event>* out) {
    std::vector<Event*> peeked;
    recorder.Peek(max, &peeked);
    for (const Event* e : peeked) out->push_back(*e);
    recorder.Release(peeked.size());
    return peeked.size();
  }
  std::vector<std::string> Paths(const std::vector<Event>& events) {
    std::vector<std::string> paths;
    for (const Event& e : events) paths.emplace_back(e.request().path);
    return paths;
  }

  FakeClock clock_;
};

TEST_F(EventsTest, ARecordedEventArrivesAsItWasFilledAndStamped) {
  Recorder recorder(3, 8, clock_);
  const auto facts = std::make_shared<const Facts>();
  Event* e = recorder.Begin(EventKind::kDecision);
  ASSERT_NE(e, nullptr);
  e->status = 200;
  e->facts = facts;
  e->SetRequest({.method = "GET", .host = "gate.test", .path = "/secure/hello", .request_id = "r-1"});
  recorder.Commit();

  std::vector<Event> out;
  ASSERT_EQ(Drain(recorder, 10, &out), 1u);
  EXPECT_EQ(out[0].worker, 3);
  EXPECT_EQ(out[0].time, clock_.Now());
  EXPECT_EQ(out[0].status, 200);
  EXPECT_EQ(out[0].facts, facts);
  EXPECT_EQ(out[0].request().method, "GET");
  EXPECT_EQ(out[0].request().host, "gate.test");
  EXPECT_EQ(out[0].request().path, "/secure/hello");
  EXPECT_EQ(out[0].request().request_id, "r-1");
  EXPECT_EQ(recorder.recorded(), 1);
}

TEST_F(EventsTest, AReservedSlotIsThereWhenTheRingIsFull) {
  Recorder recorder(0, 4, clock_);
  ASSERT_TRUE(recorder.Reserve());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Record(recorder, absl::StrCat("/", i)));
  EXPECT_FALSE(Record(recorder, "/lost")) << "the last slot is kept";
  EXPECT_FALSE(recorder.Reserve());
  Event* e = recorder.BeginReserved(EventKind::kDecision);
  e->SetRequest({.path = "/kept"});
  recorder.Commit();
  std::vector<Event> out;
  EXPECT_EQ(Drain(recorder, 100, &out), 4u);
  EXPECT_THAT(Paths(out), ElementsAre("/0", "/1", "/2", "/kept"));
  EXPECT_TRUE(out[3].must_keep);
  EXPECT_EQ(out[3].dropped_before, 1u);
  EXPECT_FALSE(out[2].must_keep);
}

TEST_F(EventsTest, AReservationThatIsGivenBackIsNobodysAndHalfOfTheRingIsTheMost) {
  Recorder recorder(0, 4, clock_);
  EXPECT_TRUE(recorder.Reserve());
  EXPECT_TRUE(recorder.Reserve());
  EXPECT_FALSE(recorder.Reserve());
  recorder.Unreserve();
  recorder.Unreserve();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Record(recorder, "/x"));
  EXPECT_FALSE(recorder.Reserve());
  EXPECT_EQ(recorder.dropped(), 0) << "a refused reservation is no lost event";
}

TEST_F(EventsTest, AFullRingLosesCountsAndTheNextEventSaysHowMany) {
  Recorder recorder(0, 4, clock_);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Record(recorder, absl::StrCat("/", i)));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Record(recorder, "/lost"));
  EXPECT_EQ(recorder.dropped(), 3);

  std::vector<Event> out;
  EXPECT_EQ(Drain(recorder, 100, &out), 4u);
  EXPECT_TRUE(Record(recorder, "/next"));
  EXPECT_TRUE(Record(recorder, "/after"));
  EXPECT_EQ(Drain(recorder, 100, &out), 2u);
  EXPECT_THAT(Paths(out), ElementsAre("/0", "/1", "/2", "/3", "/next", "/after"));
  EXPECT_EQ(out[3].dropped_before, 0u);
  EXPECT_EQ(out[4].dropped_before, 3u);
  EXPECT_EQ(out[5].dropped_before, 0u);
  EXPECT_EQ(recorder.recorded(), 6);
}

TEST_F(EventsTest, ASlotBegunAndNotCommittedIsReusedAndKeepsTheLossCount) {
  Recorder recorder(0, 2, clock_);
  Record(recorder, "/a");
  Record(recorder, "/b");
  EXPECT_EQ(recorder.Begin(EventKind::kCut), nullptr);
  std::vector<Event> out;
  Drain(recorder, 10, &out);
  ASSERT_NE(recorder.Begin(EventKind::kCut), nullptr);
  Event* e = recorder.Begin(EventKind::kHandshake);
  ASSERT_NE(e, nullptr);
  EXPECT_EQ(e->kind, EventKind::kHandshake);
  EXPECT_EQ(e->dropped_before, 1u);
}

TEST_F(EventsTest, ASlotUsedAgainHoldsNothingOfItsPreviousEvent) {
  Recorder recorder(0, 1, clock_);
  Event* e = recorder.Begin(EventKind::kDecision);
  Facts& facts = e->Own();
  facts.peer = std::make_shared<const PeerFacts>(Known());
  facts.detail = facts.route = facts.principal = "x";
  facts.schemes = {"x"};
  facts.any_self_signed = true;
  facts.revision = facts.previous_revision = 7;
  facts.connections = facts.streams = 7;
  e->SetRequest({.method = "GET", .host = "h", .path = std::string(500, 'p'), .request_id = "id"});
  e->reason = Reason::kExpired;
  e->outcome = Outcome::kRefused;
  e->status = 401;
  e->http_version = 2;
  e->sampled = 7;
  e->duration = absl::Seconds(1);
  e = recorder.Begin(EventKind::kGateway);  // not committed before
  v1::Event got;
  ToProto(*e, &got);
  v1::Event want;
  want.set_type(v1::Event::GATEWAY);
  want.mutable_time()->set_seconds(absl::ToUnixSeconds(clock_.Now()));
  EXPECT_EQ(got.SerializeAsString(), want.SerializeAsString()) << got.DebugString();
  EXPECT_TRUE(e->request().path.empty());
  EXPECT_FALSE(e->path_truncated());
  EXPECT_TRUE(e->request().method.empty());
}

TEST_F(EventsTest, ReferencesAreLetGoOnceTheEventWasDelivered) {
  Recorder recorder(0, 4, clock_);
  const auto facts = std::make_shared<const Facts>();
  recorder.Begin(EventKind::kDecision)->facts = facts;
  recorder.Commit();
  EXPECT_EQ(facts.use_count(), 2);
  Collector collector({&recorder}, clock_, [](Batch) {});
  EXPECT_EQ(collector.DrainOnce(), 1u);
  EXPECT_EQ(facts.use_count(), 1);
}

TEST_F(EventsTest, LongTextIsCutOnACharacterBoundaryAndSaysSo) {
  EXPECT_EQ(Clip("1234567\xc3\xa9", 8), "1234567") << "the last character would be octets 8 and 9";
  EXPECT_EQ(Clip("123456\xc3\xa9", 8), "123456\xc3\xa9");
  EXPECT_LE(Clip("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 8).size(), 8u) << "no boundary at all: still bounded";

  Event e;
  const std::string path(Event::kMostPath, 'p');
  e.SetRequest({.path = path});
  EXPECT_EQ(e.request().path, path);
  EXPECT_FALSE(e.path_truncated());
  const std::string longer = path + "p";
  e.SetRequest({.method = std::string(99, 'm'), .host = std::string(999, 'h'), .path = longer, .request_id = std::string(99, 'i')});
  EXPECT_EQ(e.request().method, std::string(Event::kMostMethod, 'm'));
  EXPECT_EQ(e.request().host, std::string(Event::kMostHost, 'h'));
  EXPECT_EQ(e.request().path, path);
  EXPECT_EQ(e.request().request_id, std::string(Event::kMostRequestId, 'i'));
  EXPECT_TRUE(e.path_truncated());
}

TEST_F(EventsTest, FactsOfItsOwnAreACopyOfThoseThatItShared) {
  auto shared = std::make_shared<Facts>();
  shared->route = "orders";
  Event e;
  e.facts = shared;
  e.Own().detail = "why";
  EXPECT_EQ(e.facts->route, "orders");
  EXPECT_EQ(e.facts->detail, "why");
  EXPECT_EQ(shared->detail, "");
}

TEST_F(EventsTest, ASlotThatCameBackLastIsTakenFirst) {
  Recorder recorder(0, 512, clock_);
  std::vector<Event*> peeked;
  for (int round = 0; round < 100; ++round) {
    Event* first = recorder.Begin(EventKind::kDecision);
    recorder.Commit();
    Event* second = recorder.Begin(EventKind::kDecision);
    recorder.Commit();
    peeked.clear();
    EXPECT_EQ(recorder.Peek(10, &peeked), 2u);
    EXPECT_THAT(peeked, ElementsAre(first, second));
    recorder.Release(2);
    EXPECT_EQ(recorder.Begin(EventKind::kDecision), second);
    EXPECT_EQ(recorder.Begin(EventKind::kDecision), second) << "not committed";
  }
}

TEST_F(EventsTest, TheCollectorMergesWorkersInOrderOfTimeAndNumbersWithoutHoles) {
  Recorder a(0, 8, clock_);
  Recorder b(1, 8, clock_);
  Record(a, "/1");
  clock_.Advance(absl::Milliseconds(1));
  Record(b, "/2");
  clock_.Advance(absl::Milliseconds(1));
  Record(a, "/3");
  std::vector<Event> got;
  Collector collector({&a, &b}, clock_, [&](Batch events) {
    for (const Event* e : events) got.push_back(*e);
  });
  EXPECT_EQ(collector.DrainOnce(), 3u);
  Record(b, "/4");
  EXPECT_EQ(collector.DrainOnce(), 1u);
  EXPECT_EQ(collector.DrainOnce(), 0u);
  EXPECT_THAT(Paths(got), ElementsAre("/1", "/2", "/3", "/4"));
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].sequence, i + 1);
}

TEST_F(EventsTest, AddIsBoundedAndItsLossIsCounted) {
  CollectorOptions options;
  options.max_added = 2;
  std::vector<Event> got;
  Collector collector({}, clock_, [&](Batch events) {
    for (const Event* e : events) got.push_back(*e);
  }, options);
  Event e;
  e.Reset(EventKind::kConfig);
  for (int i = 0; i < 5; ++i) collector.Add(e);
  EXPECT_EQ(collector.dropped(), 3);
  collector.DrainOnce();
  collector.Add(e);
  collector.DrainOnce();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].time, clock_.Now());
  EXPECT_EQ(got[2].dropped_before, 3u);
}

TEST_F(EventsTest, EveryEventOfRunningWorkersIsDeliveredOrCountedAndStopDeliversTheRest) {
  constexpr int kEach = 50'000;
  Recorder a(0, 256, clock_);
  Recorder b(1, 256, clock_);
  uint64_t delivered = 0, missed = 0, last = 0;
  bool ordered = true;
  {
    Collector collector({&a, &b}, clock_, [&](Batch events) {
      for (const Event* e : events) {
        ordered = ordered && e->sequence == last + 1;
        last = e->sequence;
        ++delivered;
        missed += e->dropped_before;
      }
    });
    collector.Start();
    auto work = [&](Recorder* recorder) {
      for (int i = 0; i < kEach; ++i) Record(*recorder, "/x");
      while (!Record(*recorder, "/last")) std::this_thread::yield();
    };
    std::thread ta(work, &a), tb(work, &b);
    ta.join();
    tb.join();
    collector.Stop();
    EXPECT_EQ(static_cast<int64_t>(missed), collector.dropped());
  }
  EXPECT_TRUE(ordered);
  EXPECT_EQ(static_cast<int64_t>(delivered), a.recorded() + b.recorded());
  EXPECT_GE(delivered + missed, 2u * (kEach + 1));
}

TEST_F(EventsTest, TheMoreComesTheSoonerTheCollectorIsBack) {
  CollectorOptions options;
  options.period = absl::Milliseconds(10);
  options.busy_period = absl::Milliseconds(1);
  options.max_batch = 1024;
  const Collector collector({}, clock_, [](Batch) {}, options);
  EXPECT_EQ(collector.PauseAfter(0), absl::Milliseconds(10));
  EXPECT_EQ(collector.PauseAfter(127), absl::Milliseconds(10));
  EXPECT_EQ(collector.PauseAfter(128), absl::Milliseconds(1));
  EXPECT_EQ(collector.PauseAfter(5000), absl::Milliseconds(1));
}

TEST_F(EventsTest, ASlowSinkNeverHoldsAWorkerUp) {
  Recorder recorder(0, 4, clock_);
  std::atomic<bool> entered{false}, release{false};
  Collector collector({&recorder}, clock_, [&](Batch) {
    entered = true;
    while (!release) std::this_thread::yield();
  });
  Record(recorder, "/first");
  collector.Start();
  while (!entered) std::this_thread::yield();
  for (int i = 0; i < 10; ++i) Record(recorder, "/x");  // returns though the sink does not
  EXPECT_EQ(recorder.dropped(), 7);  // three of four slots were free: the sink still looks at the first event
  collector.Add(Event());  // nor does it hold up this thread
  release = true;
  collector.Stop();
}

TEST_F(EventsTest, AddressesArePrintedWithPortAndMappedOnesAsIpv4) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(443);
  inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
  EXPECT_EQ(PeerAddress::FromSockaddr(&v4, sizeof(v4)).ToString(), "192.0.2.1:443");
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(8443);
  inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
  EXPECT_EQ(PeerAddress::FromSockaddr(&v6, sizeof(v6)).ToString(), "[2001:db8::1]:8443");
  inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr);
  EXPECT_EQ(PeerAddress::FromSockaddr(&v6, sizeof(v6)).ToString(), "192.0.2.7:8443");
  EXPECT_EQ(PeerAddress::FromSockaddr(&v4, 1).ToString(), "");
  EXPECT_EQ(PeerAddress::FromSockaddr(&v4, 4).ToString(), "");
}

TEST_F(EventsTest, ADecisionOnTheWireSaysEverythingThatTheSlotHeld) {
  Event e;
  e.Reset(EventKind::kDecision);
  e.outcome = Outcome::kRefused;
  e.reason = Reason::kUnknownIssuer;
  e.time = absl::FromUnixSeconds(1'800'000'000) + absl::Nanoseconds(5);
  e.dropped_before = 2;
  e.status = 401;
  e.http_version = 2;
  e.duration = absl::Milliseconds(1500);
  e.SetRequest({.method = "GET", .host = "gate.test", .path = absl::StrCat("/", std::string(200, 'a')), .request_id = "r-1"});
  Facts& facts = e.Own();
  facts.revision = 9;
  facts.route = "hello";
  facts.schemes = {"Certificate"};
  facts.peer = std::make_shared<const PeerFacts>(Known());

  v1::Event out;
  ToProto(e, &out);
  EXPECT_EQ(out.type(), v1::Event::DECISION);
  EXPECT_EQ(out.outcome(), v1::Event::REFUSED);
  EXPECT_EQ(out.reason(), v1::UNKNOWN_ISSUER);
  EXPECT_EQ(out.time().seconds(), 1'800'000'000);
  EXPECT_EQ(out.time().nanos(), 5);
  EXPECT_EQ(out.revision(), 9u);
  EXPECT_EQ(out.missed(), 2u);
  EXPECT_EQ(out.connection_id(), 77u);
  EXPECT_TRUE(out.possession_proven());
  EXPECT_EQ(out.request().status(), 401u);
  EXPECT_EQ(out.request().http_version(), 2u);
  EXPECT_EQ(out.request().duration().seconds(), 1);
  EXPECT_EQ(out.request().duration().nanos(), 500'000'000);
  EXPECT_EQ(out.request().method(), "GET");
  EXPECT_EQ(out.request().host(), "gate.test");
  EXPECT_EQ(out.request().path().size(), 128u);
  EXPECT_TRUE(out.request().path_truncated());
  EXPECT_EQ(out.request().route(), "hello");
  EXPECT_EQ(out.request().request_id(), "r-1");
  EXPECT_EQ(out.peer(), "[abab:abab:abab:abab:abab:abab:abab:abab]:65535");
  EXPECT_TRUE(out.resumed());
  EXPECT_EQ(out.listener(), "edge");
  EXPECT_THAT(out.schemes(), ElementsAre("Certificate"));
  EXPECT_EQ(out.certificate().subject(), "CN=\\xFF");
  EXPECT_EQ(out.certificate().sha256(), HexLower(AsView(Sha256("x"))));
  EXPECT_EQ(out.certificate().not_after().seconds(), 253'402'300'799);
  EXPECT_EQ(out.server_name(), "gate.test");
}

TEST_F(EventsTest, TheEventsOfAConnectionRepeatItsFactsAndACopySaysWhatItWasMade) {
  auto facts = std::make_shared<Facts>();
  facts->peer = std::make_shared<const PeerFacts>(Known());
  Event e;
  e.Reset(EventKind::kHandshake);
  e.facts = facts;
  v1::Event first, second, other;
  ToProto(e, &first);
  ToProto(e, &second);
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());

  auto peer = std::make_shared<PeerFacts>(*facts->peer);
  peer->address.family = PeerAddress::Family::kIpv4;
  peer->address.port = 0;
  e.Own().peer = peer;
  ToProto(e, &other);
  EXPECT_EQ(other.peer(), "171.171.171.171");
  EXPECT_EQ(other.connection_id(), 77u);
}

TEST_F(EventsTest, TextThatTwoThreadsAskForAtOnceIsTheSame) {
  for (int round = 0; round < 200; ++round) {
    const LazyText text;
    const std::string* seen[2] = {};
    std::atomic<int> ready{0};
    auto ask = [&](int i) {
      for (++ready; ready < 2;) std::this_thread::yield();
      seen[i] = &text.Get([] { return std::string(100, 'x'); });
    };
    std::thread a(ask, 0), b(ask, 1);
    a.join();
    b.join();
    ASSERT_EQ(seen[0], seen[1]);
    ASSERT_EQ(*seen[0], std::string(100, 'x'));
  }
}

TEST_F(EventsTest, AHandshakeOnTheWireCarriesTheServerNameAndNoRequest) {
  Event e;
  e.Reset(EventKind::kHandshake);
  PeerFacts peer;
  peer.server_name = Shared("gate.test");
  peer.possession = Possession::kUnproven;
  Facts& facts = e.Own();
  facts.peer = std::make_shared<const PeerFacts>(peer);
  facts.detail = "tlsv13 alert certificate required";
  v1::Event out;
  ToProto(e, &out);
  EXPECT_EQ(out.type(), v1::Event::HANDSHAKE);
  EXPECT_EQ(out.server_name(), "gate.test");
  EXPECT_FALSE(out.has_request());
  EXPECT_FALSE(out.possession_proven());
  EXPECT_EQ(out.detail(), "tlsv13 alert certificate required");
}

// What AppendWire writes is what protobuf itself would write of the same message, save for the length of lengths.
TEST(WireTest, TheWireFormIsThatOfProtobuf) {
  Event e;
  e.Reset(EventKind::kDecision);
  e.outcome = Outcome::kCut;
  e.reason = Reason::kRevoked;
  e.time = absl::FromUnixMillis(1'800'000'000'123);
  e.duration = absl::Microseconds(77);
  e.dropped_before = 300;
  e.status = 200;
  e.http_version = 2;
  e.SetRequest({.method = "GET", .host = "gate.test", .path = "/caf\xc3\xa9", .request_id = "0123456789abcdef01234567"});
  Facts& common = e.Own();
  common.revision = common.previous_revision = uint64_t{1} << 63;
  common.connections = 128;
  common.streams = 16384;
  common.any_self_signed = true;
  common.principal = "CN=alice";
  common.schemes = {"A", "B"};
  CertificateSummary certificate;
  certificate.subject = std::string(70'000, 's');  // its length takes three octets
  certificate.issuer = "CN=ca";
  certificate.serial = "00FF";
  certificate.not_after = absl::FromUnixSeconds(-1);
  PeerFacts peer = Known();
  peer.certificate = std::make_shared<const CertificateSummary>(certificate);
  common.peer = std::make_shared<const PeerFacts>(peer);
  common.detail = "a \x80 detail";
  common.route = "orders";

  std::string wire = "before";
  AppendWire(e, "far", &wire);
  ASSERT_EQ(wire.substr(0, 6), "before");
  v1::Event got;
  ASSERT_TRUE(got.ParseFromArray(wire.data() + 6, static_cast<int>(wire.size() - 6)));

  v1::Event want;
  want.set_type(v1::Event::DECISION);
  want.set_outcome(v1::Event::CUT);
  want.set_reason(v1::REVOKED);
  want.mutable_time()->set_seconds(1'800'000'000);
  want.mutable_time()->set_nanos(123'000'000);
  want.set_gateway("far");
  want.set_revision(uint64_t{1} << 63);
  want.set_previous_revision(uint64_t{1} << 63);
  want.set_missed(300);
  want.set_connection_id(77);
  want.set_connections(128);
  want.set_streams(16384);
  want.set_resumed(true);
  want.set_any_self_signed(true);
  want.set_possession_proven(true);
  want.set_peer("[abab:abab:abab:abab:abab:abab:abab:abab]:65535");
  want.set_principal("CN=alice");
  want.add_schemes("A");
  want.add_schemes("B");
  want.set_detail("a \\x80 detail");
  want.set_listener("edge");
  want.set_server_name("gate.test");
  v1::RequestFacts* request = want.mutable_request();
  request->set_route("orders");
  request->set_method("GET");
  request->set_host("gate.test");
  request->set_path("/caf\xc3\xa9");
  request->set_status(200);
  request->set_request_id("0123456789abcdef01234567");
  request->mutable_duration()->set_nanos(77'000);
  request->set_http_version(2);
  v1::CertificateFacts* facts = want.mutable_certificate();
  facts->set_subject(certificate.subject);
  facts->set_issuer("CN=ca");
  facts->set_sha256(std::string(64, '0'));
  facts->set_serial("00FF");
  facts->mutable_not_after()->set_seconds(-1);
  EXPECT_EQ(got.SerializeAsString(), want.SerializeAsString()) << got.ShortDebugString();
}

TEST(WireTest, EventsAppendedToOneStringDoNotTouchEachOther) {
  Event e;
  e.Reset(EventKind::kGateway);
  std::string wire;
  std::vector<size_t> ends;
  for (int i = 0; i < 100; ++i) {
    PeerFacts peer;
    peer.connection_id = static_cast<uint64_t>(i);
    Facts& facts = e.Own();
    facts.peer = std::make_shared<const PeerFacts>(peer);
    facts.detail = std::string(static_cast<size_t>(i * 40), 'x');
    AppendWire(e, "g", &wire);
    ends.push_back(wire.size());
  }
  size_t from = 0;
  for (size_t i = 0; i < 100; from = ends[i++]) {
    v1::Event got;
    ASSERT_TRUE(got.ParseFromArray(wire.data() + from, static_cast<int>(ends[i] - from)));
    EXPECT_EQ(got.connection_id(), i);
    EXPECT_EQ(got.detail().size(), i * 40);
  }
}

TEST(WireTest, WhatIsAppendedDoesNotDependOnTheEventBefore) {
  WireAppender appender("g");
  const absl::Time times[] = {absl::UnixEpoch(), absl::FromUnixSeconds(1), absl::FromUnixMillis(1'800'000'000'123)};
  for (unsigned i = 0; i < 200; ++i) {
    Event e;
    // Each differs from the one before in one thing, or in none.
    e.Reset(i / 3 % 2 == 0 ? EventKind::kDecision : EventKind::kHandshake);
    e.outcome = i % 5 < 2 ? Outcome::kAllowed : Outcome::kRefused;
    e.reason = i % 7 < 3 ? Reason::kNone : Reason::kRevoked;
    e.time = times[i / 4 % 3];
    std::string alone, after = "before";
    AppendWire(e, "g", &alone);
    appender.Append(e, &after);
    EXPECT_EQ(after, "before" + alone) << i;
  }
}

TEST(WireTest, AMessageThatIsUsedAgainHoldsNothingOfTheEventBefore) {
  Event full;
  full.Reset(EventKind::kDecision);
  full.SetRequest({.path = "/secret"});
  full.Own().peer = std::make_shared<const PeerFacts>(Known());
  Event next;
  next.Reset(EventKind::kHandshake);
  v1::Event used, fresh;
  ToProto(full, &used);
  ToProto(next, &used);
  ToProto(next, &fresh);
  EXPECT_EQ(used.SerializeAsString(), fresh.SerializeAsString());
}

}  // namespace
}  // namespace gatehouse::events
