// Random writes by many over the wire, on a disk that fails now and then, against a map as the oracle: what is acknowledged is there
// after the power went and nothing else is, every condition held at its place in the line, and watchers were told of nothing that was
// not so.
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "control/api/config_service_fixture.h"
#include "control/api/resource_fields.h"
#include "control/store/fault_disk.h"
#include "control/store/sqlite_store.h"

namespace gatehouse::api {
namespace {

using store::FaultDisk;
using Model = std::map<std::string, std::string>;  // name -> "value/label"

struct Acknowledged {
  enum class Kind { kCreate, kUpdate, kDelete, kApply, kRollback } kind = Kind::kCreate;
  Model upserts;
  std::vector<std::string> deletions;
  std::string seen;       // kUpdate by etag: what it was made from
  uint64_t expected = 0;  // kApply
  bool replace_all = false;
  uint64_t to = 0;  // kRollback
};

class OrderedPublisher final : public Publisher {
 public:
  void Publish(uint64_t revision, const config::ResourceMap&) override {
    if (revision != 0 && revision <= last) in_order = false;
    last = revision;
  }
  void WaitInForce(uint64_t, absl::Duration, absl::AnyInvocable<void(v1::ForceStatus)> done) override { done({}); }
  std::atomic<uint64_t> last{0};
  std::atomic<bool> in_order{true};
};

v1::Resource Policy(const std::string& name, const std::string& value, const std::string& label) {
  v1::Resource resource;
  resource.mutable_policy()->set_name(name);
  resource.mutable_policy()->set_public_message(value);
  if (!label.empty()) (*resource.mutable_policy()->mutable_labels())["l"] = label;
  return resource;
}

std::string TextOf(const v1::Resource& resource) {
  const auto label = resource.policy().labels().find("l");
  return absl::StrCat(resource.policy().public_message(), "/", label == resource.policy().labels().end() ? "" : label->second);
}

// What a watcher of a name, or of a label, is told, up to the last write.
struct Watcher {
  static constexpr char kLast[] = "last/x";

  void Watch(v1::ConfigService::Stub& stub) {
    grpc::ClientContext context;
    v1::WatchResourcesRequest request;
    request.set_kind(v1::POLICY);
    request.set_name(name);
    if (!label.empty()) (*request.mutable_labels())["l"] = label;
    const auto reader = stub.WatchResources(&context, request);
    Model now;
    v1::WatchResourcesResponse message;
    for (auto last = now.end(); last == now.end() || last->second != kLast; last = now.find("p1")) {
      ASSERT_TRUE(reader->Read(&message)) << reader->Finish().error_message();
      for (const v1::Resource& resource : message.resources()) now[resource.policy().name()] = TextOf(resource);
      for (const std::string& removed : message.removed()) EXPECT_EQ(now.erase(removed), 1u) << removed;
      told.emplace_back(message.revision(), now);
    }
    context.TryCancel();
  }
  Model Of(const Model& all) const {
    Model mine;
    for (const auto& [one, text] : all) {
      if ((name.empty() || one == name) && (label.empty() || absl::EndsWith(text, "/" + label))) mine[one] = text;
    }
    return mine;
  }

  std::string name, label;
  std::vector<std::pair<uint64_t, Model>> told;
};

class CommitModelTest : public ::testing::TestWithParam<unsigned> {
 protected:
  std::unique_ptr<store::SqliteStore> Open() {
    store::SqliteOptions options;
    options.path = "/store.db";
    options.vfs = disk_.name();
    options.key = Secret(std::string(32, 'k'));
    auto opened = store::SqliteStore::Open(std::move(options));
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  // One random write; keeps it when it was acknowledged.
  void Try(std::mt19937& random, v1::ConfigService::Stub& stub, std::map<uint64_t, Acknowledged>* acknowledged) {
    using Kind = Acknowledged::Kind;
    const std::string name = absl::StrCat("p", random() % 5);
    const auto fresh = [&](const std::string& of) {
      const char* labels[] = {"", "x", "y"};
      return Policy(of, absl::StrCat("v", ++value_), labels[random() % 3]);
    };
    if (random() % 3 == 0) {
      const FaultDisk::Fault faults[] = {FaultDisk::Fault::kIoError, FaultDisk::Fault::kDiskFull, FaultDisk::Fault::kReadOnly};
      disk_.Arm(faults[random() % 3], 1 + random() % 12);
    }
    grpc::ClientContext context;
    Acknowledged write;
    write.kind = static_cast<Kind>(random() % 5);
    v1::ChangeResponse one;
    v1::ApplyResponse all;
    grpc::Status status;
    switch (write.kind) {
      case Kind::kCreate: {
        v1::CreateRequest request;
        *request.mutable_resource() = fresh(name);
        write.upserts[name] = TextOf(request.resource());
        status = stub.Create(&context, request, &one);
        break;
      }
      case Kind::kUpdate: {
        v1::UpdateRequest request;
        *request.mutable_resource() = fresh(name);
        write.upserts[name] = TextOf(request.resource());
        grpc::ClientContext reading;
        v1::GetRequest get;
        get.mutable_id()->set_kind(v1::POLICY);
        get.mutable_id()->set_name(name);
        v1::Resource current;
        if (random() % 2 == 0 && stub.Get(&reading, get, &current).ok()) {
          SetEtag(GetEtag(current), request.mutable_resource());
          write.seen = TextOf(current);
        }
        status = stub.Update(&context, request, &one);
        break;
      }
      case Kind::kDelete: {
        v1::DeleteRequest request;
        request.mutable_id()->set_kind(v1::POLICY);
        request.mutable_id()->set_name(name);
        write.deletions = {name};
        status = stub.Delete(&context, request, &one);
        break;
      }
      case Kind::kApply: {
        // In two messages, the second of which may not come.
        v1::ApplyRequest first, second;
        if (random() % 3 == 0) write.expected = publisher_.last;
        write.replace_all = random() % 4 == 0;
        first.mutable_options()->set_messages(2);
        first.mutable_options()->set_expected_revision(write.expected);
        first.mutable_options()->set_replace_all(write.replace_all);
        for (const char* of : {"p0", "p3"}) {
          const v1::Resource resource = fresh(of);
          write.upserts[of] = TextOf(resource);
          config::AddTo(resource, (of[1] == '0' ? first : second).mutable_resources());
        }
        const bool whole = random() % 8 != 0;
        const auto writer = stub.Apply(&context, &all);
        writer->Write(first);
        if (whole) writer->Write(second);
        writer->WritesDone();
        status = writer->Finish();
        EXPECT_TRUE(whole || !status.ok());
        break;
      }
      case Kind::kRollback: {
        v1::RollbackRequest request;
        const uint64_t head = publisher_.last;
        write.to = head - std::min<uint64_t>(head, random() % 20);
        request.set_revision(write.to);
        status = stub.Rollback(&context, request, &all);
        break;
      }
    }
    const uint64_t revision = std::max(one.revision(), all.revision());
    const bool changed = write.kind < Kind::kApply || all.changes_size() > 0;
    if (status.ok() && changed) {
      EXPECT_TRUE(acknowledged->emplace(revision, std::move(write)).second) << revision;
    }
  }

  // What the write makes of the state before it, if its conditions held there.
  static Model Follow(const Acknowledged& write, const std::vector<Model>& states) {
    using Kind = Acknowledged::Kind;
    Model model = states.back();
    if (write.kind == Kind::kCreate) {
      EXPECT_EQ(model.count(write.upserts.begin()->first), 0u);
    }
    if (write.kind == Kind::kUpdate) {
      EXPECT_EQ(model.count(write.upserts.begin()->first), 1u);
    }
    if (write.kind == Kind::kDelete) {
      EXPECT_EQ(model.count(write.deletions[0]), 1u);
    }
    if (!write.seen.empty()) {
      EXPECT_EQ(model[write.upserts.begin()->first], write.seen) << "a lost update";
    }
    if (write.expected != 0) {
      EXPECT_EQ(write.expected + 1, states.size());
    }
    if (write.kind == Kind::kRollback) model = states[write.to];
    if (write.replace_all) model.clear();
    for (const std::string& name : write.deletions) model.erase(name);
    for (const auto& [name, text] : write.upserts) model[name] = text;
    return model;
  }

  FaultDisk disk_{"model-disk"};
  std::atomic<int> value_{0};
  OrderedPublisher publisher_;
};

TEST_P(CommitModelTest, WhatIsAcknowledgedIsThereAndNothingElse) {
  grpc_init();
  store::TemporaryFolder folder;
  FakeClock clock;
  auto store = Open();
  ASSERT_NE(store, nullptr);
  std::map<uint64_t, Acknowledged> line;
  std::vector<Watcher> watchers = {{}, {.label = "x"}, {.name = "p1"}};
  {
    Changes changes(*store, [](const config::ResourceMap&, uint64_t) { return validate::Findings(); }, publisher_, clock);
    ASSERT_TRUE(changes.Start().ok());
    Ledger ledger(*store, clock, [](v1::Event) {});
    ControlServerOptions options;
    options.socket = folder / "run/control.sock";
    options.limits.calls_per_second = options.limits.burst = 1e9;
    auto access = ControlServer::Prepare(options);
    ASSERT_TRUE(access.ok()) << access.status();
    const Guard guard = access->guard;
    auto executor = std::make_unique<CallExecutor>(4, 256);
    ConfigService service(changes, *executor, guard, ledger);
    auto server = ControlServer::Start(options, *std::move(access), {&service});
    ASSERT_TRUE(server.ok()) << server.status();
    const auto stub = v1::ConfigService::NewStub(grpc::CreateChannel((*server)->addresses()[0], grpc::InsecureChannelCredentials()));

    std::vector<std::thread> watching, writing;
    for (Watcher& watcher : watchers) watching.emplace_back([&] { watcher.Watch(*stub); });
    std::vector<std::map<uint64_t, Acknowledged>> acknowledged(6);
    for (size_t writer = 0; writer < acknowledged.size(); ++writer) {
      writing.emplace_back([&, writer] {
        std::mt19937 random(GetParam() * 100 + static_cast<unsigned>(writer));
        for (int i = 0; i < 60; ++i) Try(random, *stub, &acknowledged[writer]);
      });
    }
    for (std::thread& thread : writing) thread.join();
    disk_.Disarm();
    const auto last = changes.Write({}, [](Draft& draft) {
      draft.PutAsIs(Policy("p1", "last", "x"));
      return absl::OkStatus();
    });
    ASSERT_TRUE(last.ok()) << last.status();
    acknowledged[0][last->revision].upserts["p1"] = Watcher::kLast;
    acknowledged[0][last->revision].kind = Acknowledged::Kind::kApply;
    for (std::thread& thread : watching) thread.join();
    (*server)->Shutdown(absl::ZeroDuration());
    executor.reset();
    for (auto& one : acknowledged) {
      for (auto& [revision, write] : one) EXPECT_TRUE(line.emplace(revision, std::move(write)).second) << "two made " << revision;
    }
  }
  EXPECT_TRUE(publisher_.in_order);

  disk_.Arm(FaultDisk::Fault::kCrash, 1);
  store.reset();
  disk_.Reboot(FaultDisk::Survival::kNothing, 1);
  store = Open();
  ASSERT_NE(store, nullptr);
  ASSERT_EQ(*store->Head(), line.size()) << "revisions that nobody was told of, or that are lost";
  std::vector<Model> states(1);
  for (const auto& [revision, write] : line) {
    const auto state = store->Load(revision);
    ASSERT_TRUE(state.ok()) << state.status();
    Model stored;
    for (const auto& [key, resource] : (*state)->resources) stored[key.second] = TextOf(*resource);
    EXPECT_EQ(Follow(write, states), stored) << "revision " << revision;
    states.push_back(stored);
  }
  for (const Watcher& watcher : watchers) {
    uint64_t last = 0;
    for (const auto& [revision, model] : watcher.told) {
      EXPECT_GE(revision, last);
      last = revision;
      ASSERT_LT(revision, states.size());
      EXPECT_EQ(model, watcher.Of(states[revision])) << "told of revision " << revision;
    }
    EXPECT_EQ(last, line.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, CommitModelTest, ::testing::Range(1u, 4u));

}  // namespace
}  // namespace gatehouse::api
