// Export, Compare, WatchResources, and selection by labels.
#include <atomic>
#include <thread>

#include "control/api/config_service_fixture.h"
#include "control/api/labels.h"
#include "control/api/resource_fields.h"
#include "gateway/config/build_resource_map.h"
#include "gmock/gmock.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class ConfigReadsTest : public ConfigServiceTest {
 protected:
  // One Apply of one message.
  grpc::Status Change(const std::string& resources, const std::string& options = "") {
    v1::ApplyResponse response;
    const grpc::Status status = Apply({absl::StrCat("options {", options, "} resources {", resources, "}")}, &response);
    applied_ = response;
    return status;
  }
  void MustChange(const std::string& resources, const std::string& options = "") {
    const grpc::Status status = Change(resources, options);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  grpc::Status Export(const std::string& text, std::vector<v1::ExportResponse>* parts) {
    grpc::ClientContext context;
    Deadline(&context);
    auto reader = stub_->Export(&context, Parse<v1::ExportRequest>(text));
    for (v1::ExportResponse part; reader->Read(&part);) parts->push_back(part);
    return reader->Finish();
  }
  v1::ConfigSet Exported(const std::string& text, std::string* digest = nullptr) {
    std::vector<v1::ExportResponse> parts;
    const grpc::Status status = Export(text, &parts);
    EXPECT_TRUE(status.ok()) << status.error_message();
    v1::ConfigSet set;
    for (const v1::ExportResponse& part : parts) set.MergeFrom(part.resources());
    if (digest != nullptr && !parts.empty()) *digest = parts.back().digest();
    return set;
  }
  // Some 1.2 MiB of policies.
  void MustBeLarge() {
    v1::ApplyRequest request;
    request.mutable_options()->set_messages(1);
    for (int i = 0; i < 40; ++i) {
      v1::Policy& policy = *request.mutable_resources()->add_policies();
      policy.set_name(absl::StrCat("p", i));
      for (int j = 0; j < 60; ++j) (*policy.mutable_labels())[absl::StrCat("k", j)] = std::string(250, 'x');
      policy.set_public_message(std::string(200, 'm'));
      for (int j = 0; j < 1000; ++j) {
        policy.mutable_condition()->mutable_address()->add_ranges(absl::StrCat("10.", j / 250, ".", j % 250, ".0/24"));
      }
    }
    grpc::ClientContext context;
    Deadline(&context);
    v1::ApplyResponse response;
    auto writer = stub_->Apply(&context, &response);
    writer->Write(request);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  v1::ApplyResponse applied_;
};

std::string Upstream(const std::string& name, const std::string& labels = "") {
  return absl::StrCat("upstreams {name: '", name, "' endpoints: '127.0.0.1:1' ", labels, "} ");
}
std::string Label(const std::string& key, const std::string& value) {
  return absl::StrCat("labels {key: '", key, "' value: '", value, "'} ");
}

TEST_F(ConfigReadsTest, AnExportAppliedAgainChangesNothingAndSecretsStay) {
  ASSERT_NO_FATAL_FAILURE(MustChange(
      absl::StrCat(Upstream("u", Label("b", "2") + Label("a", "1")),
                   "user_stores {name: 'staff' users {name: 'ann' password_hashes: "
                   "'$6$saltsalt$BPImFGZgoaX/KqrV3/8hcVyTbVQnIAf4cKtBnXtPgYV.4mEcmS35r1ZRRXfzxDIU6RAmk1AyEjfMhtvcGkQBz/'}}")));
  std::string digest;
  const v1::ConfigSet set = Exported("", &digest);
  EXPECT_EQ(set.user_stores(0).users(0).name(), "ann");
  EXPECT_THAT(set.user_stores(0).users(0).password_hashes(), IsEmpty());
  EXPECT_THAT(set.upstreams(0).etag(), IsEmpty());
  EXPECT_EQ(digest, AsView(config::ResourceMap(set).digest()));

  grpc::ClientContext context;
  Deadline(&context);
  v1::ApplyResponse response;
  auto writer = stub_->Apply(&context, &response);
  v1::ApplyRequest request;
  request.mutable_options()->set_replace_all(true);
  *request.mutable_resources() = set;
  writer->Write(request);
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_THAT(response.changes(), IsEmpty());
  EXPECT_EQ(response.revision(), 1u);
  EXPECT_EQ(changes_.Current()->resources.at({v1::USER_STORE, "staff"})->user_store().users(0).password_hashes_size(), 1);
}

TEST_F(ConfigReadsTest, AnExportIsOfTheKindsLabelsAndRevisionThatAreAskedFor) {
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a", Label("app", "shop")) + Upstream("b") + "policies {name: 'p' condition {address {ranges: '10.0.0.0/8'}}}"));
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("c", Label("app", "shop"))));
  EXPECT_EQ(Exported("kinds: UPSTREAM").upstreams_size(), 3);
  EXPECT_EQ(Exported("kinds: UPSTREAM").policies_size(), 0);
  const v1::ConfigSet shop = Exported("labels {key: 'app' value: 'shop'}");
  ASSERT_EQ(shop.upstreams_size(), 2);
  EXPECT_EQ(shop.upstreams(1).name(), "c");
  EXPECT_EQ(Exported("revision: 1").upstreams_size(), 2);
  std::vector<v1::ExportResponse> parts;
  EXPECT_EQ(Export("revision: 9", &parts).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Export("kinds: 77", &parts).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(parts, IsEmpty());
}

TEST_F(ConfigReadsTest, ALargeExportComesInPartsOfAMebibyte) {
  ASSERT_NO_FATAL_FAILURE(MustBeLarge());
  std::vector<v1::ExportResponse> parts;
  ASSERT_TRUE(Export("", &parts).ok());
  EXPECT_GT(parts.size(), 1u);
  int policies = 0;
  for (const v1::ExportResponse& part : parts) {
    EXPECT_LE(part.ByteSizeLong(), 1u << 20);
    EXPECT_EQ(part.revision(), 1u);
    EXPECT_EQ(part.digest().empty(), &part != &parts.back());
    policies += part.resources().policies_size();
  }
  EXPECT_EQ(policies, 40);
}

TEST_F(ConfigReadsTest, ExportsThatNobodyReadsAreFew) {
  ASSERT_NO_FATAL_FAILURE(MustBeLarge());
  grpc::ChannelArguments small;  // what its end takes unread
  small.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  small.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65536);
  const auto stub = v1::ConfigService::NewStub(
      grpc::CreateCustomChannel(server_->addresses()[0], grpc::InsecureChannelCredentials(), small));
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::ExportResponse>>> unread;
  for (size_t i = 0; i < Exports::kMostOfOne; ++i) {
    Deadline(contexts.emplace_back(std::make_unique<grpc::ClientContext>()).get());
    unread.push_back(stub->Export(contexts.back().get(), {}));
    unread.back()->WaitForInitialMetadata();
  }
  std::vector<v1::ExportResponse> parts;
  const grpc::Status refused = Export("", &parts);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("has 4 exports running already: read them to their end or cancel them"));

  for (v1::ExportResponse part; unread[0]->Read(&part);) parts.push_back(part);
  EXPECT_TRUE(unread[0]->Finish().ok());
  EXPECT_GT(parts.size(), 1u);
  const grpc::Status again = Export("", &parts);
  EXPECT_TRUE(again.ok()) << again.error_message();
  for (auto& context : contexts) context->TryCancel();
}

TEST(ExportsTest, OneThatWaitsForItsCallerForAMinuteMakesRoom) {
  Exports exports;
  const Exports::Instant now{};
  std::vector<std::unique_ptr<Exports::Place>> places;
  int cancelled = 0;
  const auto enter = [&](const std::string& caller, std::chrono::seconds at) {
    auto place = exports.Enter(caller, [&] { ++cancelled; }, now + at);
    if (place.ok()) places.push_back(*std::move(place));
    return place.status();
  };
  using std::chrono_literals::operator""s;
  for (size_t i = 0; i < Exports::kMost; ++i) ASSERT_TRUE(enter(absl::StrCat("uid:", i / Exports::kMostOfOne), 0s).ok());
  EXPECT_THAT(std::string(enter("uid:99", 0s).message()), HasSubstr("there are 16 exports running already"));
  places[0]->SetWaiting(now);
  places[1]->SetWaiting(now + 30s);
  places[2]->SetWaiting(now);
  places[2]->SetWaiting(std::nullopt);
  EXPECT_FALSE(enter("uid:0", 60s).ok());
  EXPECT_EQ(cancelled, 0);
  EXPECT_TRUE(enter("uid:0", 61s).ok());
  EXPECT_EQ(cancelled, 1);
  EXPECT_FALSE(enter("uid:99", 61s).ok()) << "its place was taken";
  places.erase(places.begin() + 5);
  EXPECT_TRUE(enter("uid:99", 61s).ok());
}

TEST_F(ConfigReadsTest, APageOfTheHistoryReadsNoMoreThanItShows) {
  store::Transaction transaction;
  v1::Change& change = transaction.changes.emplace_back();
  for (int i = 0; i < 1024; ++i) change.add_details(std::string(1022, 'd'));
  for (transaction.expected_revision = 0; transaction.expected_revision < 12; ++transaction.expected_revision) {
    ASSERT_TRUE(store_.Commit(transaction).ok());
  }
  int revisions = 0;
  std::string token;
  do {
    store_.history_octets = 0;
    v1::HistoryResponse page;
    ASSERT_TRUE(Call(&v1::ConfigService::Stub::History, absl::StrCat("page_size: 1000 page_token: '", token, "'"), &page).ok());
    EXPECT_LE(store_.history_octets, page.ByteSizeLong() + (1100u << 10));
    revisions += page.revisions_size();
    token = page.next_page_token();
  } while (!token.empty());
  EXPECT_EQ(revisions, 12);
}

TEST_F(ConfigReadsTest, ComparesAnyTwoRevisions) {
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a") + Upstream("b")));
  ASSERT_NO_FATAL_FAILURE(MustChange("upstreams {name: 'a' endpoints: '127.0.0.1:2'}"));
  const auto compare = [&](const std::string& text) {
    v1::CompareResponse response;
    const grpc::Status status = Call(&v1::ConfigService::Stub::Compare, text, &response);
    std::string said = status.ok() ? absl::StrCat("to ", response.to_revision()) : status.error_message();
    for (const v1::Change& change : response.changes()) {
      absl::StrAppend(&said, "; ", v1::Change::Action_Name(change.action()), " ", change.id().name());
    }
    return said;
  };
  EXPECT_EQ(compare("from_revision: 1"), "to 2; CHANGED a");
  EXPECT_EQ(compare("from_revision: 2 to_revision: 0"), "to 0; REMOVED a; REMOVED b");
  EXPECT_EQ(compare("to_revision: 1"), "to 1; ADDED a; ADDED b");
  EXPECT_EQ(compare("from_revision: 2"), "to 2");
  EXPECT_THAT(compare("from_revision: 7"), HasSubstr("7"));
}

TEST_F(ConfigReadsTest, ListsByLabelsAcrossPages) {
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a", Label("x", "1")) + Upstream("b") + Upstream("c", Label("x", "1")) +
                                     Upstream("d", Label("x", "2")) + Upstream("e", Label("x", "1") + Label("y", "1"))));
  std::vector<std::string> names;
  std::string token;
  do {
    v1::ListResponse response;
    ASSERT_TRUE(Call(&v1::ConfigService::Stub::List,
                     absl::StrCat("kind: UPSTREAM page_size: 1 labels {key: 'x' value: '1'} page_token: '", token, "'"), &response)
                    .ok());
    for (const v1::Resource& resource : response.resources()) names.push_back(resource.upstream().name());
    token = response.next_page_token();
  } while (!token.empty() && names.size() < 10);
  EXPECT_THAT(names, ElementsAre("a", "c", "e"));
}

TEST_F(ConfigReadsTest, PrunesWhatBearsTheLabelsAndIsNotInTheSet) {
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a", Label("app", "shop")) + Upstream("b", Label("app", "shop")) + Upstream("other") +
                                     Upstream("c", Label("app", "blog"))));
  const std::string prune = "prune_labels {key: 'app' value: 'shop'}";
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a", Label("app", "shop")), prune + " dry_run: true"));
  ASSERT_EQ(applied_.changes_size(), 1);
  EXPECT_EQ(applied_.changes(0).id().name(), "b");
  EXPECT_EQ(applied_.changes(0).action(), v1::Change::REMOVED);
  EXPECT_EQ(changes_.Current()->resources.size(), 4u) << "a dry run";
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a", Label("app", "shop")), prune));
  EXPECT_EQ(changes_.Current()->resources.size(), 3u);

  grpc::Status status = Change(Upstream("new"), prune);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("upstreams[\"new\"].labels: must have app=shop"));
  status = Change(Upstream("a", Label("app", "shop")), prune + " replace_all: true");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("options.prune_labels: not together with replace_all"));
  EXPECT_EQ(changes_.Current()->resources.size(), 3u);
}

class WatchResourcesTest : public ConfigReadsTest {
 protected:
  // One call, read on demand.
  struct Watched {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchResourcesResponse>> reader;
    // `1: a b; -c; synced`
    std::string Next() {
      v1::WatchResourcesResponse message;
      if (!reader->Read(&message)) return absl::StrCat("ended: ", reader->Finish().error_message());
      std::string text = absl::StrCat(message.revision(), ":");
      for (const v1::Resource& resource : message.resources()) {
        EXPECT_THAT(resource.upstream().etag(), Not(IsEmpty()));
        absl::StrAppend(&text, " ", resource.upstream().name());
      }
      for (const std::string& name : message.removed()) absl::StrAppend(&text, " -", name);
      return message.synced() ? text + " synced" : text;
    }
  };
  std::unique_ptr<Watched> Watch(const std::string& text) {
    auto watched = std::make_unique<Watched>();
    Deadline(&watched->context);
    watched->reader = stub_->WatchResources(&watched->context, Parse<v1::WatchResourcesRequest>(text));
    return watched;
  }
};

TEST_F(WatchResourcesTest, TellsWhatIsThereAndThenEachChange) {
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a") + Upstream("b")));
  auto all = Watch("kind: UPSTREAM");
  EXPECT_EQ(all->Next(), "1: a b synced");
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("c")));
  EXPECT_EQ(all->Next(), "2: c");
  v1::ChangeResponse change;
  ASSERT_TRUE(Call(&v1::ConfigService::Stub::Delete, "id {kind: UPSTREAM name: 'a'}", &change).ok());
  EXPECT_EQ(all->Next(), "3: -a");
  ASSERT_NO_FATAL_FAILURE(MustChange("policies {name: 'p' condition {address {ranges: '10.0.0.0/8'}}}"));
  ASSERT_NO_FATAL_FAILURE(MustChange("upstreams {name: 'b' endpoints: '127.0.0.1:2'}"));
  EXPECT_EQ(all->Next(), "5: b") << "another kind is not told of";
}

TEST_F(WatchResourcesTest, AResourceThatLosesTheLabelsIsGoneForThisWatcher) {
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a", Label("app", "shop")) + Upstream("b")));
  auto shop = Watch("kind: UPSTREAM labels {key: 'app' value: 'shop'}");
  EXPECT_EQ(shop->Next(), "1: a synced");
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a") + Upstream("b", Label("app", "shop"))));
  EXPECT_EQ(shop->Next(), "2: b -a");
}

TEST_F(WatchResourcesTest, OneNameOrOnlyChangesMayBeAskedFor) {
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a") + Upstream("b")));
  auto one = Watch("kind: UPSTREAM name: 'b'");
  EXPECT_EQ(one->Next(), "1: b synced");
  auto changes = Watch("kind: UPSTREAM only_changes: true");
  EXPECT_EQ(changes->Next(), "1: synced");
  ASSERT_NO_FATAL_FAILURE(MustChange("upstreams {name: 'a' endpoints: '127.0.0.1:2'}"));
  EXPECT_EQ(changes->Next(), "2: a") << "read before the next change: revisions that come at once are told together";
  ASSERT_NO_FATAL_FAILURE(MustChange("upstreams {name: 'b' endpoints: '127.0.0.1:2'}"));
  EXPECT_EQ(one->Next(), "3: b");
  EXPECT_EQ(changes->Next(), "3: b");
}

TEST_F(WatchResourcesTest, RefusesWhatIsNoKindAndMoreWatchersThanItCanBear) {
  EXPECT_THAT(Watch("")->Next(), HasSubstr("kind: required"));
  std::vector<std::unique_ptr<Watched>> many;
  for (size_t i = 0; i < Seats::MostOfOne(ResourceWatchers::kMaxWatchers); ++i) {
    many.push_back(Watch("kind: UPSTREAM"));
    ASSERT_EQ(many.back()->Next(), "0: synced");
  }
  EXPECT_THAT(Watch("kind: UPSTREAM")->Next(), HasSubstr(" has 64 watchers of resources already; end some"));
  ASSERT_NO_FATAL_FAILURE(MustChange(Upstream("a")));
  for (auto& watched : many) EXPECT_EQ(watched->Next(), "1: a");
}

TEST_F(WatchResourcesTest, AWriterWaitsForNoWatcher) {
  const auto write = [this](int users) {
    const absl::Time began = absl::Now();
    EXPECT_TRUE(changes_.Write({}, [users](Draft& draft) {
      const v1::Resource* before = draft.Find({v1::USER_STORE, "u"});
      v1::Resource next = before == nullptr ? v1::Resource() : *before;
      next.mutable_user_store()->set_name("u");
      for (int i = 0; i < users; ++i) {
        v1::User& user = *next.mutable_user_store()->add_users();
        user.set_name(absl::StrCat("u", draft.base().revision, "-", i));
        user.add_password_hashes("$2b$04$abcdefghijklmnopqrstuuEbqwCpm7XeDaWCsEK2SZ9ujSkqVhOU.");
      }
      draft.PutAsIs(std::move(next));
      return absl::OkStatus();
    }).ok());
    return absl::Now() - began;
  };
  write(5'000);
  std::vector<std::unique_ptr<Watched>> many;
  for (int i = 0; i < 50; ++i) {
    many.push_back(Watch("kind: USER_STORE only_changes: true"));
    ASSERT_EQ(many.back()->Next(), "1: synced");
  }
  absl::Duration slowest;
  for (int i = 0; i < 3; ++i) slowest = std::max(slowest, write(1));

  const v1::Resource& users = *changes_.Current()->resources.at({v1::USER_STORE, "u"});
  const absl::Time began = absl::Now();
  for (size_t i = 0; i < many.size(); ++i) EXPECT_EQ(Shown(users, changes_.etags()).user_store().users_size(), 5'003);
  EXPECT_LT(slowest, (absl::Now() - began) / 2) << "of the least that it takes to tell them all";
}

TEST_F(WatchResourcesTest, EndsWithTheServerWhileWritersGoOn) {
  auto all = Watch("kind: UPSTREAM");
  EXPECT_EQ(all->Next(), "0: synced");
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      static_cast<void>(changes_.Write({}, [i](Draft& draft) {
        v1::Resource resource;
        resource.mutable_upstream()->set_name("u");
        resource.mutable_upstream()->add_endpoints(absl::StrCat("127.0.0.1:", 1 + i % 1000));
        draft.Put(resource);
        return absl::OkStatus();
      }));
    }
  });
  for (int i = 0; i < 20; ++i) EXPECT_THAT(all->Next(), HasSubstr(": u"));
  server_->Shutdown(absl::ZeroDuration());
  server_.reset();
  service_.reset();
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace gatehouse::api
