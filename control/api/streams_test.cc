// The services over a real gRPC server on a Unix socket; what lies below them is tested without gRPC.
#include <unistd.h>

#include <filesystem>
#include <future>
#include <thread>

#include <grpc/grpc.h>

#include "absl/strings/str_cat.h"
#include "control/api/certificate_service.h"
#include "control/api/event_service.h"
#include "control/api/lockout_service.h"
#include "control/api/upstream_service.h"
#include "control/api/snapshot_service.h"
#include "control/api/status_service.h"
#include "control/store/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;

class StreamsTest : public ::testing::Test {
 protected:
  // Held to the end: gRPC 1.51 may wait ten seconds for its poller when its last user goes.
  static void SetUpTestSuite() { grpc_init(); }

  StreamsTest() {
    socket_ = absl::StrCat(::testing::TempDir(), "/gh-", getpid(), "-", ++sockets_, ".sock");
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
    for (grpc::Service* service : std::initializer_list<grpc::Service*>{&events_, &snapshots_, &certificates_, &lockouts_, &upstreams_, &status_}) {
      builder.RegisterService(service);
    }
    server_ = builder.BuildAndStart();
    channel_ = grpc::CreateChannel("unix:" + socket_, grpc::InsecureChannelCredentials());
  }
  ~StreamsTest() override {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
    server_->Wait();
    std::filesystem::remove(socket_);
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return context;
  }
  void Emit(const std::string& route) {
    v1::Event event;
    event.set_type(v1::Event::DECISION);
    event.mutable_request()->set_route(route);
    hub_.PublishOne(event);
  }
  v1::Status GetStatus() {
    v1::Status status;
    auto context = Context();
    EXPECT_TRUE(v1::StatusService::NewStub(channel_)->GetStatus(context.get(), {}, &status).ok());
    return status;
  }

  static inline int sockets_ = 0;
  FakeClock clock_;
  publish::Alarms alarms_;
  hub::Hub hub_{clock_};
  publish::Distributor distributor_{"store-1", clock_, alarms_, [](const v1::Event&) {}};
  publish::QuestionDesk desk_{alarms_};
  publish::TicketKeyRing ring_{absl::Hours(1), clock_, alarms_};
  std::atomic<bool> open_ = true;
  Guard guard_ = [this](const grpc::CallbackServerContext&, absl::string_view method) -> absl::StatusOr<std::string> {
    if (open_) return "uid:1";
    return absl::PermissionDeniedError(method);
  };
  CallExecutor executor_{2, 16};
  EventService events_{hub_, executor_, guard_};
  SnapshotService snapshots_{distributor_, desk_, ring_, guard_};
  CertificateService certificates_{desk_, hub_, executor_, guard_};
  Mutex audit_mutex_;
  std::vector<std::string> audit_;
  store::MemoryStore store_;
  Ledger ledger_{store_, clock_, [this](const v1::Event& event) {
                   MutexLock lock(&audit_mutex_);
                   audit_.push_back(absl::StrCat(v1::Event::Outcome_Name(event.outcome()), " ", event.actor(), " ", event.detail()));
                 }};
  LockoutService lockouts_{desk_, executor_, guard_, ledger_};
  UpstreamService upstreams_{desk_, "embedded", guard_};
  StatusService status_{{"1.2.3", "store-1", absl::FromUnixSeconds(5)}, distributor_, hub_, alarms_, guard_};
  std::string socket_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(StreamsTest, AWatcherIsToldThatItIsSubscribedAndThenSeesEvents) {
  auto context = Context();
  auto reader = v1::EventService::NewStub(channel_)->Watch(context.get(), {});
  reader->WaitForInitialMetadata();
  EXPECT_EQ(hub_.stats().watchers, 1u);
  Emit("a");
  Emit("b");
  std::vector<std::string> routes;
  v1::WatchResponse response;
  while (routes.size() < 2 && reader->Read(&response)) {
    for (const v1::Event& event : response.events()) routes.push_back(event.request().route());
  }
  EXPECT_THAT(routes, ElementsAre("a", "b"));
  context->TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(StreamsTest, AWatcherIsToldBehindWhichEventItBegins) {
  Emit("before");
  auto context = Context();
  auto reader = v1::EventService::NewStub(channel_)->Watch(context.get(), {});
  reader->WaitForInitialMetadata();
  const auto told = context->GetServerInitialMetadata().find("gatehouse-cursor");
  ASSERT_NE(told, context->GetServerInitialMetadata().end());
  EXPECT_EQ(std::string(told->second.data(), told->second.size()), absl::StrCat(hub_.incarnation(), ":1"));
  context->TryCancel();
}

TEST_F(StreamsTest, AWatcherResumesBehindItsCursor) {
  for (int i = 0; i < 3000; ++i) Emit(absl::StrCat(i));
  v1::WatchRequest request;
  request.mutable_after()->set_incarnation(hub_.incarnation());
  request.mutable_after()->set_sequence(10);
  auto context = Context();
  auto reader = v1::EventService::NewStub(channel_)->Watch(context.get(), request);
  uint64_t expected = 11;
  v1::WatchResponse response;
  while (expected <= 3000 && reader->Read(&response)) {
    EXPECT_LE(response.events_size(), 2048);
    for (const v1::Event& event : response.events()) EXPECT_EQ(event.cursor().sequence(), expected++);
  }
  EXPECT_EQ(expected, 3001u);
  context->TryCancel();
}

TEST_F(StreamsTest, ABadCursorOrFilterEndsTheStreamWithItsReason) {
  auto stub = v1::EventService::NewStub(channel_);
  v1::WatchRequest request;
  request.mutable_after()->set_incarnation("other");
  v1::WatchResponse response;
  auto context = Context();
  auto reader = stub->Watch(context.get(), request);
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::OUT_OF_RANGE);

  request.Clear();
  request.mutable_filter()->add_certificates("x");
  context = Context();
  reader = stub->Watch(context.get(), request);
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StreamsTest, AWatcherThatDoesNotReadSlowsNobodyAndIsToldWhatItMissed) {
  hub::Hub small(clock_, {.max_events = 5'000});
  EventService service(small, executor_, guard_);
  const std::string path = socket_ + "2";
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  auto stub = v1::EventService::NewStub(grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()));
  auto context = Context();
  auto reader = stub->Watch(context.get(), {});
  reader->WaitForInitialMetadata();

  constexpr uint64_t kEvents = 100'000;
  v1::Event event;
  event.set_detail(std::string(1000, 'x'));
  std::vector<v1::Event> batch(100, event);
  for (uint64_t i = 0; i < kEvents; i += batch.size()) small.Publish(absl::MakeSpan(batch));
  EXPECT_EQ(small.stats().events, kEvents);

  uint64_t got = 0;
  uint64_t missed = 0;
  v1::WatchResponse response;
  while (got + missed < kEvents && reader->Read(&response)) {
    for (const v1::Event& e : response.events()) {
      if (e.type() == v1::Event::GAP) {
        missed += e.missed();
      } else {
        ++got;
        EXPECT_EQ(e.cursor().sequence(), got + missed);
      }
    }
  }
  EXPECT_GT(missed, 0u);
  EXPECT_EQ(got + missed, kEvents);
  context->TryCancel();
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
}

// One of very many streams.
class Listener final : public grpc::ClientReadReactor<v1::WatchResponse> {
 public:
  Listener(v1::EventService::Stub& stub, std::atomic<uint64_t>* seen, std::atomic<int>* subscribed) : seen_(seen), subscribed_(subscribed) {
    stub.async()->Watch(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  ~Listener() override {
    context_.TryCancel();
    MutexLock lock(&mutex_);
    while (!done_) changed_.Wait(&mutex_);
  }
  void OnReadInitialMetadataDone(bool ok) override { *subscribed_ += ok ? 1 : 0; }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    for (const v1::Event& event : response_.events()) in_order_ = in_order_ && event.cursor().sequence() == ++last_;
    *seen_ += static_cast<uint64_t>(response_.events_size());
    StartRead(&response_);
  }
  void OnDone(const grpc::Status&) override {
    MutexLock lock(&mutex_);
    done_ = true;
    changed_.SignalAll();
  }
  bool in_order() const { return in_order_; }

 private:
  std::atomic<uint64_t>* const seen_;
  std::atomic<int>* const subscribed_;
  grpc::ClientContext context_;
  v1::WatchRequest request_;
  v1::WatchResponse response_;
  uint64_t last_ = 0;
  std::atomic<bool> in_order_ = true;
  Mutex mutex_;
  CondVar changed_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST_F(StreamsTest, AThousandWatchersSeeEverythingInOrder) {
  constexpr int kWatchers = 1000;
  constexpr uint64_t kEvents = 50;
  std::atomic<uint64_t> seen = 0;
  std::atomic<int> subscribed = 0;
  auto stub = v1::EventService::NewStub(channel_);
  std::vector<std::unique_ptr<Listener>> listeners;
  const absl::Time until = absl::Now() + absl::Seconds(60);
  for (int i = 0; i < kWatchers; ++i) listeners.push_back(std::make_unique<Listener>(*stub, &seen, &subscribed));
  while (subscribed < kWatchers && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
  ASSERT_EQ(subscribed, kWatchers);
  EXPECT_EQ(hub_.stats().watchers, static_cast<uint32_t>(kWatchers));
  for (uint64_t i = 0; i < kEvents; ++i) Emit("r");
  while (seen < kWatchers * kEvents && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(seen, kWatchers * kEvents);
  for (const auto& listener : listeners) EXPECT_TRUE(listener->in_order());
  EXPECT_EQ(hub_.stats().missed, 0u);
}

TEST_F(StreamsTest, SummaryCountsAndNamesWhatIsWrongWithAQuestion) {
  for (int i = 0; i < 3; ++i) Emit("a");
  Emit("b");
  v1::SummaryRequest request;
  request.add_by(v1::SummaryRequest::ROUTE);
  v1::SummaryResponse response;
  auto stub = v1::EventService::NewStub(channel_);
  auto context = Context();
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(stub->Summary(context.get(), request, &response).ok());
  ASSERT_EQ(response.rows_size(), 2);
  EXPECT_EQ(response.rows(0).route(), "a");
  EXPECT_EQ(response.rows(0).count(), 3u);
  request.mutable_step()->set_seconds(1);
  context = Context();
  EXPECT_EQ(stub->Summary(context.get(), request, &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  open_ = false;
  context = Context();
  EXPECT_EQ(stub->Summary(context.get(), {}, &response).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(StreamsTest, TheStatusHasAnArchiveWhereThereIsOne) {
  EXPECT_FALSE(GetStatus().has_archive());
  hub::ArchiveOptions options;
  const std::string folder = socket_ + ".d";
  std::filesystem::create_directory(folder);
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
  options.path = folder + "/events.db";
  options.period = absl::Milliseconds(1);
  hub::Hub archived(clock_, {}, {hub::Archive::Open(options, clock_)});
  StatusService service({"1", "s", clock_.Now()}, distributor_, archived, alarms_, guard_);
  const std::string path = socket_ + "3";
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  archived.PublishOne({});
  archived.StopArchive();
  v1::Status status;
  auto context = Context();
  ASSERT_TRUE(v1::StatusService::NewStub(grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()))->GetStatus(context.get(), {}, &status).ok());
  EXPECT_EQ(status.archive().events(), 1u);
  EXPECT_GT(status.archive().bytes(), 0u);
  EXPECT_EQ(status.archive().error(), "");
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
  std::filesystem::remove_all(folder);
}

TEST_F(StreamsTest, ReportTakesBatchesOnceAndAcknowledgesThem) {
  auto context = Context();
  auto stream = v1::EventService::NewStub(channel_)->Report(context.get());
  v1::ReportRequest request;
  request.set_gateway("g");
  request.set_run("r");
  request.set_batch(1);
  request.add_events()->set_type(v1::Event::DECISION);
  v1::ReportResponse response;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(stream->Write(request));
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.batch(), 1u);
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(hub_.stats().events, 1u);
}

TEST_F(StreamsTest, ReportWithoutANameIsRefused) {
  auto context = Context();
  auto stream = v1::EventService::NewStub(channel_)->Report(context.get());
  stream->Write({});
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StreamsTest, AGatewaySubscribesAcknowledgesAndIsSeenInTheStatus) {
  v1::ConfigSet set;
  set.add_upstreams()->set_name("u");
  distributor_.Publish(4, config::ResourceMap(set));
  auto context = Context();
  auto stream = v1::SnapshotService::NewStub(channel_)->Subscribe(context.get());
  v1::SubscribeRequest request;
  request.mutable_hello()->set_gateway("edge-1");
  request.mutable_hello()->set_version("9");
  stream->Write(request);
  v1::SubscribeResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.ticket_keys().keys_size(), 1);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.chunk().revision(), 4u);
  auto promise = std::make_shared<std::promise<v1::ForceStatus>>();
  distributor_.WaitInForce(4, absl::Seconds(20), [promise](v1::ForceStatus status) { promise->set_value(status); });
  request.mutable_ack()->set_revision(4);
  stream->Write(request);
  EXPECT_EQ(promise->get_future().get().in_force(), 1u);

  v1::Status status = GetStatus();
  EXPECT_EQ(status.version(), "1.2.3");
  EXPECT_EQ(status.revision(), 4u);
  EXPECT_EQ(status.gateways(0).name(), "edge-1");
  EXPECT_TRUE(status.gateways(0).connected());
  EXPECT_EQ(status.gateways(0).acknowledged_revision(), 4u);

  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  // The client may hear of the end before the server has taken its session down.
  const absl::Time until = absl::Now() + absl::Seconds(10);
  while (GetStatus().gateways(0).connected() && absl::Now() < until) std::this_thread::yield();
  EXPECT_FALSE(GetStatus().gateways(0).connected());
}

TEST_F(StreamsTest, AWatchOfTheStatusHearsWhenAGatewayComesAndRefuses) {
  auto watch_context = Context();
  auto watch = v1::StatusService::NewStub(channel_)->WatchStatus(watch_context.get(), {});
  v1::Status status;
  ASSERT_TRUE(watch->Read(&status));
  EXPECT_EQ(status.gateways_size(), 0);
  EXPECT_EQ(status.version(), "1.2.3");

  distributor_.Publish(4, {});
  auto context = Context();
  auto stream = v1::SnapshotService::NewStub(channel_)->Subscribe(context.get());
  v1::SubscribeRequest request;
  request.mutable_hello()->set_gateway("edge-1");
  stream->Write(request);
  while (status.gateways_size() == 0) ASSERT_TRUE(watch->Read(&status));
  EXPECT_TRUE(status.gateways(0).connected());

  request.mutable_nack()->set_revision(4);
  request.mutable_nack()->add_violations()->set_message("no such file");
  stream->Write(request);
  while (status.gateways(0).refused_revision() == 0) ASSERT_TRUE(watch->Read(&status));
  EXPECT_EQ(status.gateways(0).violations(0).message(), "no such file");
  context->TryCancel();
  while (status.gateways(0).connected()) ASSERT_TRUE(watch->Read(&status));
  watch_context->TryCancel();
  EXPECT_FALSE(watch->Finish().ok());
}

TEST_F(StreamsTest, WatchesOfTheStatusAreNotWithoutLimit) {
  auto stub = v1::StatusService::NewStub(channel_);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::Status>>> watches;
  v1::Status status;
  for (size_t i = 0; i < Seats::MostOfOne(StatusService::kMostWatchers); ++i) {
    contexts.push_back(Context());
    watches.push_back(stub->WatchStatus(contexts.back().get(), {}));
    ASSERT_TRUE(watches.back()->Read(&status)) << i;
  }
  auto context = Context();
  auto refused = stub->WatchStatus(context.get(), {});
  EXPECT_FALSE(refused->Read(&status));
  EXPECT_EQ(refused->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  for (auto& c : contexts) c->TryCancel();
  for (auto& watch : watches) watch->Finish();
}

TEST_F(StreamsTest, AGatewayThatSpeaksOutOfTurnIsSentAway) {
  auto context = Context();
  auto stream = v1::SnapshotService::NewStub(channel_)->Subscribe(context.get());
  v1::SubscribeRequest request;
  request.mutable_ack()->set_revision(4);
  stream->Write(request);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StreamsTest, TheOlderStreamOfAGatewayIsAborted) {
  auto stub = v1::SnapshotService::NewStub(channel_);
  v1::SubscribeRequest hello;
  hello.mutable_hello()->set_gateway("g");
  auto old_context = Context();
  auto old = stub->Subscribe(old_context.get());
  distributor_.Publish(1, {});
  v1::SubscribeResponse response;
  old->Write(hello);
  ASSERT_TRUE(old->Read(&response));
  ASSERT_TRUE(old->Read(&response));
  auto context = Context();
  auto fresh = stub->Subscribe(context.get());
  fresh->Write(hello);
  ASSERT_TRUE(fresh->Read(&response));
  EXPECT_FALSE(old->Read(&response));
  EXPECT_EQ(old->Finish().error_code(), grpc::StatusCode::ABORTED);
  context->TryCancel();
}

TEST_F(StreamsTest, ExplainGoesThroughTheGatewaysStream) {
  auto context = Context();
  auto stream = v1::SnapshotService::NewStub(channel_)->Subscribe(context.get());
  v1::SubscribeRequest request;
  request.mutable_hello()->set_gateway("g");
  distributor_.Publish(1, {});
  stream->Write(request);
  v1::SubscribeResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.ticket_keys().keys_size(), 1);
  ASSERT_TRUE(stream->Read(&response));
  std::thread gateway([&] {
    v1::SubscribeResponse order;
    ASSERT_TRUE(stream->Read(&order));
    v1::SubscribeRequest answer;
    answer.mutable_answer()->set_id(order.question().id());
    answer.mutable_answer()->mutable_explain()->mutable_certificate()->set_subject("CN=x");
    stream->Write(answer);
  });
  v1::ExplainRequest question;
  question.set_chain_pem("pem");
  v1::ExplainResponse explained;
  auto call = Context();
  grpc::Status status = v1::CertificateService::NewStub(channel_)->Explain(call.get(), question, &explained);
  gateway.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(explained.certificate().subject(), "CN=x");
  EXPECT_EQ(explained.gateway(), "g");
  context->TryCancel();
}

TEST_F(StreamsTest, ExplainFailsWhenTheGatewayGoesOrTheCallerDoes) {
  v1::ExplainRequest question;
  question.set_chain_pem("pem");
  v1::ExplainResponse explained;
  auto stub = v1::CertificateService::NewStub(channel_);
  auto call = Context();
  EXPECT_EQ(stub->Explain(call.get(), question, &explained).error_code(), grpc::StatusCode::UNAVAILABLE);

  auto line = desk_.Add("mute", [](const v1::Question&) {});
  call = std::make_unique<grpc::ClientContext>();
  call->set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  EXPECT_EQ(stub->Explain(call.get(), question, &explained).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(StreamsTest, AnEventStandsForItsGatewayItsRouteAndItsChain) {
  v1::Event event;
  event.set_type(v1::Event::DECISION);
  event.set_gateway("b");
  event.set_listener("edge");
  event.mutable_request()->set_request_id("abc1");
  event.mutable_request()->set_route("orders");
  event.mutable_certificate()->set_sha256("1234");
  hub_.PublishOne(event);
  event.mutable_request()->set_request_id("abc2");
  event.clear_certificate();
  hub_.PublishOne(event);
  event.mutable_request()->set_request_id("abc3");
  event.mutable_request()->clear_route();
  event.clear_listener();
  hub_.PublishOne(event);
  auto a = desk_.Add("a", [](const v1::Question&) { FAIL() << "the other one was named"; });
  std::unique_ptr<publish::QuestionDesk::Line> b;
  v1::ExplainRequest asked;
  b = desk_.Add("b", [&](const v1::Question& question) {
    asked = question.explain();
    v1::Answer answer;
    answer.set_id(question.id());
    answer.mutable_explain()->set_revision(7);
    b->Answer(answer);
  });
  auto stub = v1::CertificateService::NewStub(channel_);
  const auto ask = [&](const std::string& id, v1::ExplainResponse* explained) {
    v1::ExplainRequest request;
    request.set_event(id);
    request.set_leaf_sha256("of the caller");
    auto call = Context();
    return stub->Explain(call.get(), request, explained).error_code();
  };
  v1::ExplainResponse explained;
  EXPECT_EQ(ask("abc1", &explained), grpc::StatusCode::OK);
  EXPECT_EQ(asked.leaf_sha256(), "1234");
  EXPECT_EQ(asked.route(), "orders");
  EXPECT_EQ(explained.event().request().request_id(), "abc1");
  EXPECT_EQ(explained.gateway(), "b");
  EXPECT_EQ(ask("abc2", &explained), grpc::StatusCode::OK);
  EXPECT_EQ(asked.leaf_sha256(), "") << "no certificate: how it is asked for";
  EXPECT_EQ(ask("abc3", &explained), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ask("abc4", &explained), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ask("not hex", &explained), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StreamsTest, UsesAreSummedOverGatewaysAndWhoDoesNotAnswerIsNamed) {
  std::map<std::string, std::unique_ptr<publish::QuestionDesk::Line>> lines;
  const auto connect = [&](const std::string& name, uint64_t uses, int64_t last) {
    lines[name] = desk_.Add(name, [&, name, uses, last](const v1::Question& question) {
      v1::Answer answer;
      answer.set_id(question.id());
      if (uses == 0) {
        answer.set_code(static_cast<int>(absl::StatusCode::kNotFound));
        answer.set_error("trust_store: there is no \"p\"");
      } else {
        v1::TrustEntry* entry = answer.mutable_list_trust()->add_entries();
        entry->set_role(v1::TrustEntry::ANCHOR);
        entry->set_sha256("aa");
        entry->set_uses(uses);
        entry->mutable_last_use()->set_seconds(last);
        answer.mutable_list_trust()->add_gateways()->mutable_since()->set_seconds(5);
      }
      lines[name]->Answer(answer);
    });
  };
  auto stub = v1::CertificateService::NewStub(channel_);
  v1::ListTrustRequest request;
  request.set_trust_store("p");
  v1::ListTrustResponse listed;
  auto call = Context();
  EXPECT_EQ(stub->ListTrust(call.get(), request, &listed).error_code(), grpc::StatusCode::UNAVAILABLE);
  connect("c", 0, 0);
  call = Context();
  EXPECT_EQ(stub->ListTrust(call.get(), request, &listed).error_code(), grpc::StatusCode::NOT_FOUND) << "none answers";
  connect("a", 3, 100);
  connect("b", 4, 90);
  call = Context();
  ASSERT_TRUE(stub->ListTrust(call.get(), request, &listed).ok());
  ASSERT_EQ(listed.entries_size(), 1);
  EXPECT_EQ(listed.entries(0).uses(), 7u);
  EXPECT_EQ(listed.entries(0).last_use().seconds(), 100);
  std::map<std::string, std::string> errors;
  for (const v1::GatewayUse& gateway : listed.gateways()) errors[gateway.gateway()] = gateway.error();
  EXPECT_EQ(errors, (std::map<std::string, std::string>{{"a", ""}, {"b", ""}, {"c", "trust_store: there is no \"p\""}}));
  request.set_gateway("b");
  call = Context();
  ASSERT_TRUE(stub->ListTrust(call.get(), request, &listed).ok());
  EXPECT_EQ(listed.entries(0).uses(), 4u);
}

TEST_F(StreamsTest, LockoutsOfAllGatewaysAreListedTogetherAndClearedOneByOneOrTogether) {
  std::map<std::string, std::unique_ptr<publish::QuestionDesk::Line>> lines;
  std::map<std::string, v1::Question> asked;
  const auto connect = [&](const std::string& name, int64_t until) {
    lines[name] = desk_.Add(name, [&, name, until](const v1::Question& question) {
      asked[name] = question;
      v1::Answer answer;
      answer.set_id(question.id());
      if (until == 0) {
        answer.set_code(static_cast<int>(absl::StatusCode::kUnimplemented));
        answer.set_error("too old");
      } else if (question.has_list_lockouts()) {
        v1::Lockout* lockout = answer.mutable_list_lockouts()->add_lockouts();
        lockout->set_user("ann");
        lockout->mutable_refused_until()->set_seconds(until);
      } else {
        answer.mutable_clear_lockouts()->set_cleared(2);
      }
      lines[name]->Answer(answer);
    });
  };
  auto stub = v1::LockoutService::NewStub(channel_);
  v1::ListLockoutsRequest list;
  v1::ListLockoutsResponse listed;
  auto call = Context();
  EXPECT_EQ(stub->ListLockouts(call.get(), list, &listed).error_code(), grpc::StatusCode::UNAVAILABLE);
  connect("a", 100);
  connect("b", 200);
  connect("old", 0);
  list.mutable_filter()->set_user("ann");
  call = Context();
  ASSERT_TRUE(stub->ListLockouts(call.get(), list, &listed).ok());
  ASSERT_EQ(listed.lockouts_size(), 2);
  EXPECT_EQ(listed.lockouts(0).gateway(), "b") << "refused longest first";
  EXPECT_EQ(asked["a"].list_lockouts().filter().user(), "ann");
  std::map<std::string, std::string> errors;
  for (const v1::LockoutGateway& gateway : listed.gateways()) errors[gateway.gateway()] = gateway.error();
  EXPECT_EQ(errors, (std::map<std::string, std::string>{{"a", ""}, {"b", ""}, {"old", "too old"}}));

  v1::ClearLockoutsRequest clear;
  v1::ClearLockoutsResponse cleared;
  call = Context();
  EXPECT_EQ(stub->ClearLockouts(call.get(), clear, &cleared).error_code(), grpc::StatusCode::INVALID_ARGUMENT)
      << "nothing is not everything";
  clear.mutable_filter()->set_user("ann");
  call = Context();
  ASSERT_TRUE(stub->ClearLockouts(call.get(), clear, &cleared).ok());
  EXPECT_EQ(cleared.cleared(), 4u);
  clear.set_gateway("b");
  clear.set_all(true);
  call = Context();
  EXPECT_EQ(stub->ClearLockouts(call.get(), clear, &cleared).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << "both";
  clear.clear_filter();
  call = Context();
  ASSERT_TRUE(stub->ClearLockouts(call.get(), clear, &cleared).ok());
  EXPECT_EQ(cleared.gateways_size(), 1);
  MutexLock lock(&audit_mutex_);
  EXPECT_THAT(audit_, ElementsAre("NOTICE uid:1 LockoutService/ClearLockouts: cleared lock-outs: user \"ann\": 4 entries; not on gateway old: too old",
                                  "NOTICE uid:1 LockoutService/ClearLockouts: cleared lock-outs: all of them gateway \"b\": 2 entries"));
}

TEST_F(StreamsTest, EndpointsAreThoseOfTheGatewayThatIsMeant) {
  std::map<std::string, std::unique_ptr<publish::QuestionDesk::Line>> lines;
  const auto connect = [&](const std::string& name) {
    lines[name] = desk_.Add(name, [&, name](const v1::Question& question) {
      v1::Answer answer;
      answer.set_id(question.id());
      if (question.list_endpoints().upstream() == "none") {
        answer.set_code(static_cast<int>(absl::StatusCode::kNotFound));
        answer.set_error("upstream: there is no \"none\"");
      } else {
        answer.mutable_list_endpoints()->add_endpoints()->set_detail(name);
      }
      lines[name]->Answer(answer);
    });
  };
  auto stub = v1::UpstreamService::NewStub(channel_);
  const auto ask = [&](const std::string& gateway, const std::string& upstream = "") {
    v1::ListEndpointsRequest request;
    request.set_gateway(gateway);
    request.set_upstream(upstream);
    v1::ListEndpointsResponse listed;
    auto call = Context();
    const grpc::Status status = stub->ListEndpoints(call.get(), request, &listed);
    return status.ok() ? listed.endpoints(0).detail() : absl::StrCat(status.error_code(), " ", status.error_message());
  };
  EXPECT_EQ(ask(""), "14 no gateway is connected");
  connect("a");
  EXPECT_EQ(ask(""), "a");
  connect("b");
  EXPECT_EQ(ask(""), "3 gateway: 2 are connected, say which one is meant");
  EXPECT_EQ(ask("b"), "b");
  EXPECT_EQ(ask("c"), "14 gateway c is not connected");
  EXPECT_EQ(ask("b", "none"), "5 upstream: there is no \"none\"");
  connect("embedded");
  EXPECT_EQ(ask(""), "embedded");
}

TEST_F(StreamsTest, NoMethodRunsForACallerThatTheGuardRefuses) {
  open_ = false;
  auto denied = [](const grpc::Status& status) { EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED); };
  v1::Status status;
  v1::ExplainResponse explained;
  auto a = Context(), b = Context(), c = Context(), d = Context(), e = Context();
  denied(v1::StatusService::NewStub(channel_)->GetStatus(a.get(), {}, &status));
  denied(v1::CertificateService::NewStub(channel_)->Explain(b.get(), {}, &explained));
  v1::ListTrustResponse listed;
  auto f = Context();
  denied(v1::CertificateService::NewStub(channel_)->ListTrust(f.get(), {}, &listed));
  v1::ListLockoutsResponse lockouts;
  v1::ClearLockoutsResponse cleared;
  auto g = Context(), h = Context();
  denied(v1::LockoutService::NewStub(channel_)->ListLockouts(g.get(), {}, &lockouts));
  denied(v1::LockoutService::NewStub(channel_)->ClearLockouts(h.get(), {}, &cleared));
  v1::ListEndpointsResponse endpoints;
  auto i = Context();
  denied(v1::UpstreamService::NewStub(channel_)->ListEndpoints(i.get(), {}, &endpoints));
  denied(v1::EventService::NewStub(channel_)->Watch(c.get(), {})->Finish());
  denied(v1::EventService::NewStub(channel_)->Report(d.get())->Finish());
  denied(v1::SnapshotService::NewStub(channel_)->Subscribe(e.get())->Finish());
  EXPECT_EQ(hub_.stats().watchers, 0u);
}

}  // namespace
}  // namespace gatehouse::api
