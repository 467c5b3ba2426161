// What a configuration, an answer of DNS and a worker do to the directory at the same moment.
#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/upstream/directory.h"
#include "gtest/gtest.h"

namespace gatehouse::upstream {
namespace {

class NamesResolver final : public Resolver {
 public:
  struct Zone {
    std::atomic<int> asked{0};
  };
  explicit NamesResolver(std::shared_ptr<Zone> zone) : zone_(std::move(zone)) {}
  absl::StatusOr<std::vector<loop::Address>> Resolve(const std::string&, uint16_t port) override {
    ++zone_->asked;
    return std::vector<loop::Address>{*loop::Address::Parse(absl::StrCat("127.0.0.1:", port))};
  }
  std::shared_ptr<Zone> zone_;
};

ServiceSpec Spec(std::vector<std::string> endpoints, const std::string& name = "app") {
  ServiceSpec spec;
  spec.options.name = name;
  spec.endpoints = std::move(endpoints);
  return spec;
}

// A worker tells of an endpoint that it ejects, and looks at the directory while a configuration takes the endpoint away.
TEST(DirectoryRaceTest, ACallbackMayCallFor) {
  // What the threads share outlives this test if they hang.
  struct Shared {
    std::unique_ptr<Directory> directory;
    std::promise<void> in_callback, ejected, used;
    std::atomic<bool> first{true};
  };
  auto shared = std::make_shared<Shared>();
  Directory::Options options;
  options.workers = 1;
  options.on_endpoint = [s = shared.get()](const EndpointChange&) {
    if (!s->first.exchange(false)) return;
    s->in_callback.set_value();
    s->used.get_future().wait_for(std::chrono::milliseconds(300));  // Use begins meanwhile
    (void)s->directory->For("app", 0);
  };
  shared->directory = std::make_unique<Directory>(std::move(options));
  shared->directory->Use({Spec({"127.0.0.1:1", "127.0.0.1:2"})});
  EndpointRef endpoint = shared->directory->For("app", 0)->endpoints[0];
  std::future<void> ejected = shared->ejected.get_future();
  std::thread worker([shared, endpoint] {
    endpoint->Eject("failed");
    shared->ejected.set_value();
  });
  shared->in_callback.get_future().wait();
  std::thread user([shared] {
    shared->directory->Use({Spec({"127.0.0.1:2"})});
    shared->used.set_value();
  });
  const bool well = ejected.wait_for(std::chrono::seconds(4)) == std::future_status::ready;
  EXPECT_TRUE(well) << "the worker hangs";
  if (!well) {
    worker.detach();
    user.detach();
    return;
  }
  worker.join();
  user.join();
}

// A name that is taken out and put back before the directory's thread has looked is not asked for until its old refresh.
TEST(DirectoryRaceTest, ANameThatIsPutBackAtOnceIsAskedFor) {
  auto zone = std::make_shared<NamesResolver::Zone>();
  std::promise<void> held, go;
  std::atomic<bool> first = true;
  Directory::Options options;
  options.resolver = std::make_unique<NamesResolver>(zone);
  options.on_change = [&](const std::string& upstream) {
    if (upstream != "other" || !first.exchange(false)) return;
    held.set_value();  // the directory's thread is busy for a moment
    go.get_future().wait();
  };
  Directory directory(std::move(options));
  directory.Use({Spec({"a.test:80"})});
  const auto known = [&] { return !directory.For("app", 0)->endpoints.empty(); };
  for (int i = 0; i < 300 && !known(); ++i) absl::SleepFor(absl::Milliseconds(10));
  ASSERT_TRUE(known());
  directory.Use({Spec({"a.test:80"}), Spec({"b.test:80"}, "other")});
  held.get_future().wait();
  directory.Use({Spec({"b.test:80"}, "other")});                        // taken out …
  directory.Use({Spec({"a.test:80"}), Spec({"b.test:80"}, "other")});  // … and rolled back
  const int asked = zone->asked;
  go.set_value();
  for (int i = 0; i < 500 && !known(); ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_TRUE(known()) << "5 s later the upstream still has no address; asked again " << zone->asked - asked
                       << " times; resolving: " << directory.For("app", 0)->resolving;
}

// Worse: an answer that comes between is thrown away without a next question, and then nobody asks ever again.
class GatedResolver final : public Resolver {
 public:
  struct Zone {
    std::promise<void> a, c;
    std::atomic<int> asked_a{0};
  };
  explicit GatedResolver(Zone* zone) : zone_(zone) {}
  absl::StatusOr<std::vector<loop::Address>> Resolve(const std::string& host, uint16_t port) override {
    if (host == "a.test" && zone_->asked_a++ == 0) zone_->a.get_future().wait();
    if (host == "c.test" && !once_.exchange(true)) zone_->c.get_future().wait();
    if (host == "c.test") return absl::NotFoundError("no such name");
    return std::vector<loop::Address>{*loop::Address::Parse(absl::StrCat("127.0.0.1:", port))};
  }
  Zone* zone_;
  std::atomic<bool> once_{false};
};

TEST(DirectoryRaceTest, ANameThatIsPutBackAtOnceIsAskedForSomeTime) {
  GatedResolver::Zone zone;
  std::promise<void> in_b, in_c, go_b, go_c;
  std::atomic<bool> b = true, c = true;
  Directory::Options options;
  options.resolver = std::make_unique<GatedResolver>(&zone);
  options.on_change = [&](const std::string& upstream) {
    if (upstream == "b" && b.exchange(false)) {
      in_b.set_value();
      go_b.get_future().wait();
    }
  };
  options.on_endpoint = [&](const EndpointChange& change) {
    if (change.upstream == "c" && c.exchange(false)) {
      in_c.set_value();
      go_c.get_future().wait();
    }
  };
  Directory directory(std::move(options));
  const auto spec = [](const std::string& name) {
    ServiceSpec s = Spec({name + ".test:80"}, name);
    s.dns_refresh = absl::Milliseconds(20);
    return s;
  };
  directory.Use({spec("a"), spec("b"), spec("c")});
  in_b.get_future().wait();
  zone.a.set_value();
  absl::SleepFor(absl::Milliseconds(100));  // its answer is on its way
  zone.c.set_value();
  absl::SleepFor(absl::Milliseconds(100));
  directory.Use({spec("b"), spec("c")});  // taken out …
  go_b.set_value();
  in_c.get_future().wait();
  directory.Use({spec("a"), spec("b"), spec("c")});  // … and put back
  go_c.set_value();
  const auto known = [&] { return !directory.For("a", 0)->endpoints.empty(); };
  for (int i = 0; i < 500 && !known(); ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_TRUE(known()) << "5 s later (dns_refresh is 20 ms) it was asked for " << zone.asked_a << " times in all";
}

// Names that nobody answers for keep their threads busy for as long as DNS's patience lasts, again and again.
class DeadZoneResolver final : public Resolver {
 public:
  struct Zone {
    std::promise<void> end;
    std::shared_future<void> ended = end.get_future().share();
    Mutex mutex;
    std::map<std::string, int> asked ABSL_GUARDED_BY(mutex);  // of the dead
  };
  explicit DeadZoneResolver(Zone* zone) : zone_(zone) {}
  absl::StatusOr<std::vector<loop::Address>> Resolve(const std::string& host, uint16_t port) override {
    if (!absl::StartsWith(host, "dead")) return std::vector<loop::Address>{*loop::Address::Parse(absl::StrCat("127.0.0.1:", port))};
    {
      MutexLock lock(&zone_->mutex);
      if (zone_->asked[host]++ == 0) return absl::UnavailableError("server failure");
    }
    zone_->ended.wait();
    return absl::UnavailableError("no answer");
  }
  Zone* zone_;
};

TEST(DirectoryRaceTest, NamesThatNobodyAnswersForHoldUpNobodyElse) {
  DeadZoneResolver::Zone zone;
  Directory::Options options;
  options.resolver = std::make_unique<DeadZoneResolver>(&zone);
  Directory directory(std::move(options));
  std::vector<std::string> dead;
  for (int i = 0; i < 40; ++i) dead.push_back(absl::StrCat("dead", i, ".test:80"));
  ServiceSpec broken = Spec(dead, "broken");
  broken.dns_refresh = absl::Milliseconds(10);
  directory.Use({broken});
  const auto comes = [](const auto& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) absl::SleepFor(absl::Milliseconds(10));
    return condition();
  };
  EXPECT_TRUE(comes([&] {
    MutexLock lock(&zone.mutex);
    return std::count_if(zone.asked.begin(), zone.asked.end(), [](const auto& name) { return name.second > 1; }) >= 4;
  }));
  directory.Use({broken, Spec({"well.test:80"})});
  EXPECT_TRUE(comes([&] { return !directory.For("app", 0)->endpoints.empty(); })) << "5 s later it was not asked for";
  zone.end.set_value();
}

}  // namespace
}  // namespace gatehouse::upstream
