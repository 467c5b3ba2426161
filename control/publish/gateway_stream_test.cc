#include "control/publish/gateway_stream.h"

#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::publish {
namespace {

using ::testing::HasSubstr;

class GatewayStreamTest : public ::testing::Test {
 protected:
  using Stream = std::unique_ptr<GatewayStream>;

  Stream Open() {
    return std::make_unique<GatewayStream>(distributor_, desk_, ring_, "ipv4:192.0.2.1:1", [this] { ++wakes_; });
  }
  Stream Greeted(const std::string& name = "g") {
    Stream stream = Open();
    EXPECT_TRUE(stream->Receive(Hello(name)).ok());
    EXPECT_EQ(Next(stream).ticket_keys().keys_size(), 1);
    return stream;
  }
  static v1::SubscribeRequest Hello(const std::string& name) {
    v1::SubscribeRequest request;
    request.mutable_hello()->set_gateway(name);
    return request;
  }
  static v1::SubscribeRequest Ack(uint64_t revision) {
    v1::SubscribeRequest request;
    request.mutable_ack()->set_revision(revision);
    return request;
  }
  static v1::SubscribeResponse Next(const Stream& stream) {
    v1::SubscribeResponse response;
    EXPECT_TRUE(stream->Next(&response)) << "nothing to send";
    return response;
  }
  static bool Silent(const Stream& stream) {
    v1::SubscribeResponse response;
    return !stream->Next(&response);
  }
  void Publish(uint64_t revision, const std::string& body) {
    v1::ConfigSet set;
    set.add_upstreams()->set_name("u");
    set.mutable_upstreams(0)->add_endpoints(body);
    set_ = config::ResourceMap(set);
    distributor_.Publish(revision, set_);
  }
  std::future<absl::StatusOr<v1::ExplainResponse>> Explain(const std::string& gateway,
                                                           absl::Duration timeout = absl::Seconds(60)) {
    v1::Question question;
    question.mutable_explain()->set_chain_pem("pem");
    auto promise = std::make_shared<std::promise<absl::StatusOr<v1::ExplainResponse>>>();
    auto future = promise->get_future();
    desk_.Ask(gateway, std::move(question), timeout,
              [promise](const std::string& from, absl::StatusOr<v1::Answer> answer) {
                if (!answer.ok()) return promise->set_value(answer.status());
                answer->mutable_explain()->set_gateway(from);
                promise->set_value(answer->explain());
              });
    return future;
  }

  FakeClock clock_;
  Alarms alarms_;
  Distributor distributor_{"store-1", clock_, alarms_, [](const v1::Event&) {}};
  QuestionDesk desk_{alarms_};
  TicketKeyRing ring_{absl::Hours(1), clock_, alarms_};
  std::atomic<int> wakes_ = 0;
  config::ResourceMap set_;
};

TEST_F(GatewayStreamTest, TheFirstMessageMustBeAHelloAndTheOnlyOne) {
  EXPECT_EQ(Open()->Receive(Ack(1)).code(), absl::StatusCode::kInvalidArgument);
  Stream stream = Greeted();
  EXPECT_EQ(stream->Receive(Hello("g")).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(stream->Receive({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Open()->Receive(Hello("no name")).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(GatewayStreamTest, ABigSetTravelsInChunksThatMakeTheSet) {
  Publish(1, std::string(2'500'000, 'x'));
  Stream stream = Greeted();
  std::string wire;
  int chunks = 0;
  for (bool last = false; !last; ++chunks) {
    v1::SubscribeResponse response = Next(stream);
    EXPECT_EQ(response.chunk().revision(), 1u);
    EXPECT_EQ(response.chunk().incarnation(), "store-1");
    EXPECT_LE(response.chunk().data().size(), GatewayStream::kChunkBytes);
    wire += response.chunk().data();
    last = response.chunk().last();
  }
  EXPECT_EQ(chunks, 3);
  v1::ConfigSet got;
  ASSERT_TRUE(got.ParseFromString(wire));
  EXPECT_EQ(config::ResourceMap(got).digest(), set_.digest());
  EXPECT_TRUE(Silent(stream));
}

TEST_F(GatewayStreamTest, AnEmptySetIsOneEmptyChunk) {
  distributor_.Publish(1, {});
  Stream stream = Greeted();
  v1::SubscribeResponse response = Next(stream);
  EXPECT_TRUE(response.chunk().last());
  EXPECT_TRUE(response.chunk().data().empty());
}

TEST_F(GatewayStreamTest, WhoComesWithTheNewestIsToldSo) {
  Publish(3, "a");
  Stream stream = Open();
  v1::SubscribeRequest hello = Hello("g");
  hello.mutable_hello()->set_revision(3);
  hello.mutable_hello()->set_incarnation("store-1");
  hello.mutable_hello()->set_digest(std::string(AsView(set_.digest())));
  ASSERT_TRUE(stream->Receive(hello).ok());
  EXPECT_TRUE(Next(stream).has_ticket_keys());
  EXPECT_EQ(Next(stream).current().revision(), 3u);
  EXPECT_TRUE(Silent(stream));
}

TEST_F(GatewayStreamTest, WhoseCertificateNamesAGatewayIsThatOneAndNoOther) {
  const absl::Time end = absl::FromUnixSeconds(1'900'000'000);
  Stream other = Open();
  other->Expect("edge-1", end);
  EXPECT_EQ(other->Receive(Hello("edge-2")).code(), absl::StatusCode::kPermissionDenied);
  Stream stream = Open();
  stream->Expect("edge-1", end);
  ASSERT_TRUE(stream->Receive(Hello("edge-1")).ok());
  EXPECT_EQ(distributor_.Gateways().at(0).certificate_not_after().seconds(), 1'900'000'000);
}

TEST_F(GatewayStreamTest, ALoadIsSeenInTheStatus) {
  Stream stream = Greeted();
  v1::SubscribeRequest request;
  request.mutable_load()->set_workers(4);
  ASSERT_TRUE(stream->Receive(request).ok());
  EXPECT_EQ(distributor_.Gateways().at(0).load().workers(), 4u);
}

TEST_F(GatewayStreamTest, AfterAnAckComesADelta) {
  Publish(1, "a");
  Stream stream = Greeted();
  EXPECT_TRUE(Next(stream).has_chunk());
  Publish(2, "b");
  EXPECT_TRUE(Silent(stream)) << "the first update is not answered yet";
  const int before = wakes_;
  ASSERT_TRUE(stream->Receive(Ack(1)).ok());
  EXPECT_GT(wakes_, before);
  v1::SubscribeResponse response = Next(stream);
  EXPECT_EQ(response.delta().from_revision(), 1u);
  EXPECT_EQ(response.delta().to_revision(), 2u);
}

// Its answer comes while the set is serialized for it: now the next one is under way.
TEST_F(GatewayStreamTest, WhoAnswersBeforeItWasGivenEverythingGetsTheNextOneWhole) {
  v1::ConfigSet big;
  for (int i = 0; i < 10'000; ++i) big.add_upstreams()->set_name(absl::StrCat("u", i));
  big.mutable_upstreams(0)->add_endpoints(std::string(2'000'000, 'x'));
  const config::ResourceMap resources(std::move(big));
  for (uint64_t revision = 1; revision < 20; revision += 2) {
    distributor_.Publish(revision, resources);
    Stream stream = Greeted();
    distributor_.Publish(revision + 1, {});
    std::atomic<bool> begun = false;
    v1::SubscribeResponse response;
    std::thread sender([&] {
      begun = true;
      response = Next(stream);
    });
    while (!begun) std::this_thread::yield();
    v1::SubscribeRequest nack;
    nack.mutable_nack()->set_revision(revision);
    ASSERT_TRUE(stream->Receive(nack).ok());
    sender.join();
    if (response.chunk().revision() == revision) response = Next(stream);
    EXPECT_EQ(response.chunk().revision(), revision + 1);
    EXPECT_TRUE(response.chunk().last());
  }
}

TEST_F(GatewayStreamTest, ANewerStreamOfTheSameGatewayClosesTheOlder) {
  Stream old = Greeted();
  Stream fresh = Greeted();
  ASSERT_TRUE(old->closed().has_value());
  EXPECT_EQ(old->closed()->code(), absl::StatusCode::kAborted);
  EXPECT_FALSE(fresh->closed().has_value());
}

TEST_F(GatewayStreamTest, AnOrderGoesToTheNamedGatewayAndItsAnswerComesBack) {
  Stream a = Greeted("a");
  Stream b = Greeted("b");
  auto answer = Explain("a");
  EXPECT_TRUE(Silent(b));
  v1::SubscribeResponse order = Next(a);
  ASSERT_TRUE(order.question().has_explain());
  EXPECT_EQ(order.question().explain().chain_pem(), "pem");

  v1::SubscribeRequest reply;
  reply.mutable_answer()->set_id(order.question().id());
  reply.mutable_answer()->mutable_explain()->set_revision(7);
  ASSERT_TRUE(b->Receive(reply).ok()) << "another gateway's answer is ignored";
  EXPECT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  ASSERT_TRUE(a->Receive(reply).ok());
  absl::StatusOr<v1::ExplainResponse> response = answer.get();
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->gateway(), "a");
  EXPECT_EQ(response->revision(), 7u);
}

TEST_F(GatewayStreamTest, AGatewaysRefusalToExplainIsPassedOn) {
  Stream a = Greeted("a");
  auto answer = Explain("");
  v1::SubscribeRequest reply;
  reply.mutable_answer()->set_id(Next(a).question().id());
  reply.mutable_answer()->set_code(5);
  reply.mutable_answer()->set_error("scheme \"x\" does not exist");
  ASSERT_TRUE(a->Receive(reply).ok());
  EXPECT_EQ(answer.get().status(), absl::NotFoundError("scheme \"x\" does not exist"));
}

TEST_F(GatewayStreamTest, AQuestionWithoutAGatewayOrAnAnswerFails) {
  EXPECT_EQ(Explain("").get().status().code(), absl::StatusCode::kUnavailable);
  Stream a = Greeted("a");
  EXPECT_THAT(std::string(Explain("b").get().status().message()), HasSubstr("gateway b is not connected"));
  EXPECT_EQ(Explain("a", absl::Milliseconds(5)).get().status().code(), absl::StatusCode::kDeadlineExceeded);
  auto lost = Explain("a");
  a.reset();
  EXPECT_EQ(lost.get().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(GatewayStreamTest, TheDeskKnowsWhoIsConnected) {
  EXPECT_THAT(desk_.Gateways(), ::testing::IsEmpty());
  Stream a = Greeted("a");
  Stream again = Greeted("a");
  Stream b = Greeted("b");
  EXPECT_THAT(desk_.Gateways(), ::testing::ElementsAre("a", "b"));
  b.reset();
  EXPECT_THAT(desk_.Gateways(), ::testing::ElementsAre("a"));
}

}  // namespace
}  // namespace gatehouse::publish
