// Random edits by many at once, against a sequential oracle: the history is a line, each accepted edit had its preconditions at
// its place in it, and no update is lost.
#include <map>
#include <random>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "control/api/changes.h"
#include "control/api/edits.h"
#include "control/api/resource_fields.h"
#include "control/store/memory_store.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

class SilentPublisher final : public Publisher {
 public:
  void Publish(uint64_t revision, const config::ResourceMap&) override {
    in_order = in_order && (revision == 0 || revision > last);
    last = revision;
  }
  void WaitInForce(uint64_t, absl::Duration, absl::AnyInvocable<void(v1::ForceStatus)>) override {}
  uint64_t last = 0;
  bool in_order = true;
};

enum class Kind { kCreate, kIncrement, kDelete, kApply };

struct Accepted {
  Kind kind = Kind::kCreate;
  std::map<std::string, int> values;  // what it wrote
  std::string name;
  int seen = 0;                // kIncrement: the value that it was made from
  uint64_t expected = 0;       // kApply: the revision that it was made from
};

v1::Resource Counter(const std::string& name, int value) {
  v1::Resource resource;
  resource.mutable_policy()->set_name(name);
  resource.mutable_policy()->set_public_message(absl::StrCat(value));
  return resource;
}

int ValueOf(const v1::Resource& resource) {
  int value = -1;
  EXPECT_TRUE(absl::SimpleAtoi(resource.policy().public_message(), &value));
  return value;
}

class ChangesModelTest : public ::testing::Test {
 protected:
  // One random edit; keeps it when it was accepted.
  void Try(std::mt19937& random, std::map<uint64_t, Accepted>* accepted) {
    const std::string name = absl::StrCat("c", random() % 4);
    const store::StateRef seen = changes_.Current();
    auto it = seen->resources.find({v1::POLICY, name});
    const v1::Resource* current = it == seen->resources.end() ? nullptr : it->second.get();
    Accepted edit;
    edit.kind = static_cast<Kind>(random() % 4);
    edit.name = name;
    WriteOptions options;
    std::function<absl::Status(Draft&)> change;
    v1::CreateRequest create;
    v1::UpdateRequest update;
    v1::DeleteRequest erase;
    ApplySet apply;
    switch (edit.kind) {
      case Kind::kCreate:
        *create.mutable_resource() = Counter(name, 0);
        edit.values[name] = 0;
        change = [&](Draft& draft) { return EditCreate(create, draft); };
        break;
      case Kind::kIncrement:
        if (current == nullptr) return;
        edit.seen = ValueOf(*current);
        edit.values[name] = edit.seen + 1;
        *update.mutable_resource() = Counter(name, edit.seen + 1);
        SetEtag(changes_.etags().Of(*current), update.mutable_resource());
        change = [&](Draft& draft) { return EditUpdate(update, draft); };
        break;
      case Kind::kDelete:
        erase.mutable_id()->set_kind(v1::POLICY);
        erase.mutable_id()->set_name(name);
        if (current != nullptr) erase.set_etag(changes_.etags().Of(*current));
        if (current != nullptr) edit.seen = ValueOf(*current);
        change = [&](Draft& draft) { return EditDelete(erase, draft); };
        break;
      case Kind::kApply:
        // Two together, on condition that nothing happened meanwhile.
        if (seen->revision == 0) return;
        options.expected_revision = seen->revision;
        edit.expected = seen->revision;
        for (const char* other : {"c0", "c1"}) {
          const int value = static_cast<int>(1000 + random() % 1000);
          edit.values[other] = value;
          apply.upserts.push_back(Counter(other, value));
        }
        change = [&](Draft& draft) { return EditApply(apply, draft); };
        break;
    }
    const auto outcome = changes_.Write(options, change);
    if (!outcome.ok()) {
      const absl::StatusCode code = outcome.status().code();
      EXPECT_TRUE(code == absl::StatusCode::kAborted || code == absl::StatusCode::kNotFound ||
                  code == absl::StatusCode::kAlreadyExists)
          << outcome.status();
      return;
    }
    if (!outcome->changes.empty()) (*accepted)[outcome->revision] = std::move(edit);
  }

  FakeClock clock_;
  store::MemoryStore store_;
  SilentPublisher publisher_;
  Changes changes_{store_, [](const config::ResourceMap&, uint64_t) { return validate::Findings(); }, publisher_, clock_};
};

TEST_F(ChangesModelTest, ManyAtOnceAreASequenceInWhichEachHadWhatItAskedFor) {
  ASSERT_TRUE(changes_.Start().ok());
  constexpr int kThreads = 4, kEdits = 400;
  std::vector<std::map<uint64_t, Accepted>> accepted(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t + 1));
      for (int i = 0; i < kEdits; ++i) Try(random, &accepted[static_cast<size_t>(t)]);
    });
  }
  // A clock that jumps, backwards too, changes nothing of the order.
  for (int i = 0; i < 200; ++i) clock_.Set(absl::FromUnixSeconds(1'800'000'000 + (i % 2 == 0 ? -i : i) * 3600));
  for (std::thread& thread : threads) thread.join();

  std::map<uint64_t, Accepted> line;
  for (auto& one : accepted) {
    for (auto& [revision, edit] : one) EXPECT_TRUE(line.emplace(revision, std::move(edit)).second) << "two made " << revision;
  }
  const uint64_t head = *store_.Head();
  ASSERT_EQ(line.size(), head);
  ASSERT_GT(head, 100u);
  std::map<std::string, int> model;
  for (const auto& [revision, edit] : line) {
    switch (edit.kind) {
      case Kind::kCreate: EXPECT_EQ(model.count(edit.name), 0u) << revision; break;
      case Kind::kIncrement:
        ASSERT_EQ(model.count(edit.name), 1u) << revision;
        EXPECT_EQ(model[edit.name], edit.seen) << "an update was lost at " << revision;
        break;
      case Kind::kDelete:
        EXPECT_EQ(model.count(edit.name), 1u) << revision;
        model.erase(edit.name);
        break;
      case Kind::kApply: EXPECT_EQ(edit.expected + 1, revision); break;
    }
    for (const auto& [name, value] : edit.values) model[name] = value;
    std::map<std::string, int> stored;
    for (const auto& [key, resource] : (*store_.Load(revision))->resources) stored[key.second] = ValueOf(*resource);
    ASSERT_EQ(stored, model) << "at revision " << revision;
  }
  const auto history = *store_.History({.limit = static_cast<int>(head) + 1});
  ASSERT_EQ(history.size(), head);
  for (size_t i = 0; i < history.size(); ++i) {
    EXPECT_EQ(history[i].revision(), head - i);
    EXPECT_EQ(history[i].parent(), head - i - 1);
  }
  EXPECT_TRUE(publisher_.in_order);
  EXPECT_EQ(publisher_.last, head);
}

}  // namespace
}  // namespace gatehouse::api
