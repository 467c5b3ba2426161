#include "gateway/upstream/directory.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace gatehouse::upstream {
namespace {

constexpr int kDnsThreads = 16;
constexpr int kSilentThreads = 4;  // of them, what names may hold whose last question got no answer: the next takes long again
constexpr size_t kMaxQuestions = 4096;
constexpr size_t kMaxAddresses = 256;  // of one name
constexpr absl::Duration kSoon = absl::Seconds(1);       // a name that nothing is known of is asked for again
constexpr absl::Duration kMaxRetry = absl::Seconds(5);   // one that did not answer

std::pair<std::string, uint16_t> HostAndPort(const std::string& text) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  (void)absl::SimpleAtoi(absl::string_view(text).substr(colon + 1), &port);
  return {text.substr(0, colon), static_cast<uint16_t>(port)};
}

}  // namespace

Directory::Directory(Options options)
    : options_{.workers = options.workers,
               .clock = options.clock,
               .resolver = nullptr,
               .on_change = std::move(options.on_change),
               .on_endpoint = std::move(options.on_endpoint)},
      resolver_(options.resolver != nullptr ? std::move(options.resolver) : std::make_unique<SystemResolver>()) {
  thread_ = std::thread([this] { loop_.Run(); });
}

Directory::~Directory() {
  loop_.Post([this] {
    checkers_.clear();
    asking_.clear();
  });
  // What the pools of the checkers deferred dies with the turn.
  loop_.Post([this] { loop_.Stop(); });
  thread_.join();
  executor_.reset();  // its answers go nowhere
}

absl::Time Directory::Now() const { return options_.clock != nullptr ? options_.clock->Now() : absl::Now(); }

void Directory::Use(std::vector<ServiceSpec> specs) {
  {
    MutexLock lock(&mutex_);
    std::map<std::string, Service> before = std::exchange(services_, {});
    for (ServiceSpec& spec : specs) {
      const std::string name = spec.options.name;
      Service& service = services_[name];
      if (auto it = before.find(name); it != before.end()) {
        service = std::move(it->second);
        before.erase(it);
      } else {
        for (size_t i = 0; i < options_.workers; ++i) service.stats.push_back(std::make_shared<PoolStats>());
      }
      service.spec = std::move(spec);
      std::map<std::string, Name> names;
      for (const std::string& configured : service.spec.endpoints) {
        if (auto known = service.names.find(configured); known != service.names.end()) {
          names.insert(service.names.extract(known));
          continue;
        }
        Name& fresh = names[configured];
        fresh.since = Now();
        if (absl::StatusOr<loop::Address> address = loop::Address::Parse(configured); address.ok()) {
          fresh.literal = fresh.answered = true;
          fresh.addresses = {*address};
        }
      }
      service.names = std::move(names);
      Rebuild(&service);
    }
    for (auto& [name, service] : before) {
      for (const EndpointRef& endpoint : service.endpoints) {
        endpoint->Drain();
        leaving_.emplace_back(name, endpoint);
      }
    }
    std::erase_if(leaving_, [](const auto& entry) { return !entry.second->busy(); });
  }
  loop_.Post([this] { Sync(); });
}

bool Directory::Rebuild(Service* service) {
  std::vector<EndpointRef> before = std::exchange(service->endpoints, {});
  std::set<std::string> seen;
  bool changed = false;
  for (const std::string& configured : service->spec.endpoints) {
    for (const loop::Address& address : service->names[configured].addresses) {
      const std::string text = address.ToString();
      if (!seen.insert(text).second) continue;  // two names for one place
      auto it = std::find_if(before.begin(), before.end(), [&](const EndpointRef& e) {
        return e != nullptr && e->text() == text && e->configured() == configured;
      });
      if (it != before.end()) {
        service->endpoints.push_back(std::exchange(*it, nullptr));
        continue;
      }
      changed = true;
      service->endpoints.push_back(std::make_shared<Endpoint>(Endpoint::Options{.upstream = service->spec.options.name,
                                                                                .configured = configured,
                                                                                .address = address,
                                                                                .workers = options_.workers,
                                                                                .clock = options_.clock,
                                                                                .on_change = options_.on_endpoint}));
    }
  }
  for (const EndpointRef& endpoint : before) {
    if (endpoint == nullptr) continue;
    changed = true;
    endpoint->Drain();
    leaving_.emplace_back(service->spec.options.name, endpoint);
  }
  std::erase_if(leaving_, [](const auto& entry) { return !entry.second->busy(); });
  return changed;
}

std::optional<UpstreamOptions> Directory::For(const std::string& upstream, size_t worker) const {
  MutexLock lock(&mutex_);
  auto it = services_.find(upstream);
  if (it == services_.end()) return std::nullopt;
  const Service& service = it->second;
  UpstreamOptions options = service.spec.options;
  options.endpoints = service.endpoints;
  options.resolving = std::any_of(service.names.begin(), service.names.end(),
                                  [](const auto& name) { return !name.second.answered; });
  options.worker = worker;
  options.stats = service.stats[worker];
  return options;
}

void Directory::Sync() {
  Wanted wanted;
  {
    MutexLock lock(&mutex_);
    for (const auto& [upstream, service] : services_) {
      for (const auto& [configured, name] : service.names) {
        if (!name.literal) wanted.names.emplace(NameKey(upstream, configured), Wanted::Question{service.spec.dns_refresh, name.answered});
      }
      if (!service.spec.health_check.has_value()) {
        wanted.unchecked.insert(wanted.unchecked.end(), service.endpoints.begin(), service.endpoints.end());
        continue;
      }
      for (const EndpointRef& endpoint : service.endpoints) {
        wanted.checks.push_back({endpoint, *service.spec.health_check, service.spec.options});
      }
    }
  }
  std::map<const Endpoint*, std::unique_ptr<HealthChecker>> before = std::exchange(checkers_, {});
  for (Wanted::Check& check : wanted.checks) {
    std::unique_ptr<HealthChecker>& checker = checkers_[check.endpoint.get()];
    if (auto it = before.find(check.endpoint.get()); it != before.end()) {
      checker = std::move(it->second);
      before.erase(it);
      checker->Update(std::move(check.options), check.connect);
    } else {
      checker = std::make_unique<HealthChecker>(&loop_, check.endpoint, std::move(check.options), check.connect);
    }
  }
  before.clear();  // whose endpoints drain, or are taken to be well again
  for (const EndpointRef& endpoint : wanted.unchecked) {
    if (!endpoint->healthy()) endpoint->SetHealthy(true, "its health is not asked for any more");
  }

  std::erase_if(asking_, [&](const auto& entry) { return wanted.names.count(entry.first) == 0; });
  for (const auto& [key, question] : wanted.names) {
    Asking& asking = asking_[key];
    const bool sooner = asking.timer != nullptr && question.refresh < asking.refresh;
    asking.refresh = question.refresh;
    if (asking.timer == nullptr) asking.timer = std::make_unique<loop::Timer>(&loop_, [this, key = key] { AskFor(key); });
    if (!question.answered) {
      AskFor(key);  // new, or taken out and put back before this looked
    } else if (sooner && !asking.under_way) {
      asking.timer->Start(question.refresh);
    }
  }
}

void Directory::AskFor(const NameKey& key) {
  Asking& asking = asking_.at(key);
  if (asking.under_way) return;
  if (executor_ == nullptr) executor_ = std::make_unique<Executor>(kDnsThreads, kMaxQuestions);
  const bool silent = asking.silent;
  if (!silent || silent_ < kSilentThreads) {
    auto [host, port] = HostAndPort(key.second);
    asking.under_way = executor_->Submit([this, key, silent, host = host, port = port] {
      loop_.Post([this, key, silent, answer = resolver_->Resolve(host, port)] { OnAnswer(key, silent, answer); });
    });
  }
  if (!asking.under_way) return asking.timer->Start(kSoon);
  silent_ += silent;
}

void Directory::OnAnswer(const NameKey& key, bool silent, const absl::StatusOr<std::vector<loop::Address>>& answer) {
  silent_ -= silent;
  auto it = asking_.find(key);
  if (it == asking_.end()) return;  // not configured any more
  it->second.under_way = false;
  it->second.silent = !answer.ok() && !absl::IsNotFound(answer.status());
  bool look = false;
  absl::Duration again = it->second.refresh;
  std::optional<EndpointChange> tell;
  {
    MutexLock lock(&mutex_);
    // A configuration without it may be known before Sync is.
    auto found = services_.find(key.first);
    if (found == services_.end() || found->second.names.count(key.second) == 0) {
      asking_.erase(it);  // put back, it is asked for anew
      return;
    }
    Service& service = found->second;
    Name& name = service.names.at(key.second);
    const bool first = !std::exchange(name.answered, true);
    const bool had = !name.addresses.empty();
    if (answer.ok()) {
      name.addresses = *answer;
      // However they are shuffled, they keep their places.
      std::sort(name.addresses.begin(), name.addresses.end(),
                [](const auto& a, const auto& b) { return a.ToString() < b.ToString(); });
      if (name.addresses.size() > kMaxAddresses) name.addresses.resize(kMaxAddresses);
    } else if (absl::IsNotFound(answer.status())) {
      name.addresses.clear();
    } else {
      again = std::min(again, had ? kMaxRetry : kSoon);
    }
    const bool has = !name.addresses.empty();
    name.problem = has ? "" : std::string(answer.status().message());
    if (had != has || (first && !has)) {
      name.since = Now();
      // That it has addresses from the start is no news.
      if (!first || !has) {
        tell = EndpointChange{key.first, key.second, has,
                              has ? "its name has addresses again" : absl::StrCat("its name has no address: ", name.problem)};
      }
    }
    look = Rebuild(&service) || first;
  }
  it->second.timer->Start(again);
  if (tell.has_value() && options_.on_endpoint) options_.on_endpoint(*tell);
  if (!look) return;
  Sync();
  if (options_.on_change) options_.on_change(key.first);
}

std::vector<Directory::Listed> Directory::List(const std::string& upstream) const {
  std::vector<Listed> listed;
  MutexLock lock(&mutex_);
  for (const auto& [name, service] : services_) {
    if (!upstream.empty() && name != upstream) continue;
    for (const EndpointRef& endpoint : service.endpoints) listed.push_back({name, endpoint->report()});
    for (const auto& [configured, its] : service.names) {
      if (!its.addresses.empty()) continue;
      listed.push_back({name, {.configured = configured,
                               .detail = its.answered ? its.problem : "its name is being asked for",
                               .state = EndpointState::kUnhealthy,
                               .since = its.since}});
    }
  }
  for (const auto& [name, endpoint] : leaving_) {
    if ((upstream.empty() || name == upstream) && endpoint->busy()) listed.push_back({name, endpoint->report()});
  }
  std::stable_sort(listed.begin(), listed.end(), [](const Listed& a, const Listed& b) {
    const auto key = [](const Listed& l) {
      return std::tie(l.upstream, l.endpoint.address, l.endpoint.configured);
    };
    return key(a) < key(b);
  });
  return listed;
}

std::map<EndpointState, size_t> Directory::Count(const std::string& upstream) const {
  std::map<EndpointState, size_t> counts;
  for (const Listed& listed : List(upstream)) ++counts[listed.endpoint.state];
  return counts;
}

std::map<std::string, Directory::Stats> Directory::AllStats() const {
  MutexLock lock(&mutex_);
  std::map<std::string, Stats> all;
  for (const auto& [name, service] : services_) all.emplace(name, service.stats);
  return all;
}

}  // namespace gatehouse::upstream
