#include "gateway/server/renewal.h"

#include <algorithm>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"

namespace gatehouse::server {
namespace {

constexpr size_t kMaxFile = 1024 * 1024;

absl::StatusOr<Secret> ReadSecret(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path, kMaxFile);
  if (!content.ok()) return content.status();
  return Secret(*std::move(content));
}

events::Event ConfigEvent(uint64_t revision, events::Outcome outcome, std::string detail) {
  events::Event event;
  event.kind = events::EventKind::kConfig;
  event.outcome = outcome;
  events::Facts& facts = event.Own();
  facts.revision = revision;
  facts.detail = std::move(detail);
  return event;
}

// One event for each credential of `after` that `before` did not have.
std::vector<events::Event> Renewed(const config::Snapshot& before, const config::Snapshot& after) {
  std::vector<events::Event> out;
  for (const certs::ServerCredentialRef& credential : after.server_credentials) {
    const auto& old = before.server_credentials;
    if (std::find(old.begin(), old.end(), credential) != old.end()) continue;
    const certs::Certificate& leaf = credential->leaf();
    out.push_back(ConfigEvent(
        after.revision, events::Outcome::kNotice,
        absl::StrCat("serverCertificates[\"", EscapeText(credential->name()), "\"]: renewed from its files")));
    out.back().Own().peer = events::FactsOf({leaf.sha256(), leaf.subject(), leaf.issuer(), leaf.serial_hex_dotnet(), leaf.not_after()});
  }
  return out;
}

}  // namespace

Renewal::Renewal(Gateway* gateway, const Clock& clock, absl::Duration period)
    : gateway_(gateway), clock_(clock), period_(period), watched_(period) {}

config::BuildResult Renewal::Build(const config::ResourceMap& resources, uint64_t revision, const std::string& incarnation) const {
  const config::SnapshotRef previous = gateway_->current();
  config::BuildOptions options;
  options.revision = revision;
  options.incarnation = incarnation;
  options.previous = previous.get();
  options.now = clock_.Now();
  options.read_file = ReadSecret;
  return config::Build(resources, options);
}

std::vector<config::Violation> Renewal::Install(const config::BuildResult& built, const config::ResourceMap& resources) {
  if (!built.ok()) {
    MutexLock lock(&mutex_);
    pause_ = absl::InfiniteDuration();
    return built.violations;
  }
  std::promise<absl::Status> done;
  gateway_->Install(built.snapshot, [&done](absl::Status status) { done.set_value(std::move(status)); });
  const absl::Status status = done.get_future().get();
  if (!status.ok()) {
    MutexLock lock(&mutex_);
    pause_ = pause_ == absl::InfiniteDuration() ? period_ : std::min(2 * pause_, 10 * period_);
    return {ViolationOf(status)};
  }
  Follow(built.snapshot, resources);
  return {};
}

void Renewal::Follow(const config::SnapshotRef& snapshot, const config::ResourceMap& resources) {
  std::shared_ptr<const Held> held;
  if (!snapshot->files.empty()) held = std::make_shared<const Held>(Held{snapshot, resources});
  {
    MutexLock lock(&mutex_);
    held_ = std::move(held);
    pause_ = absl::InfiniteDuration();
  }
  // Anew, so that they are looked at once more: they may have changed since the build read them.
  watched_.Watch("server certificates", {}, nullptr);
  watched_.Watch("server certificates", snapshot->files, [this] { Refresh(); });
  GiveUp();
}

void Renewal::Await(const config::ResourceMap& resources, std::function<void()> again) {
  std::vector<std::string> files;
  for (auto it = resources.lower_bound({v1::SERVER_CERTIFICATE, ""});
       it != resources.end() && it->first.first == v1::SERVER_CERTIFICATE; ++it) {
    const v1::ServerCertificate& certificate = it->second->server_certificate();
    if (!certificate.has_files()) continue;
    files.push_back(certificate.files().certificate_chain_path());
    files.push_back(certificate.files().private_key_path());
  }
  absl::Duration pause;
  {
    MutexLock lock(&mutex_);
    pause = pause_;
  }
  watched_.Watch("refused", std::move(files), std::move(again), pause);
}

void Renewal::GiveUp() { watched_.Watch("refused", {}, nullptr); }

void Renewal::Refresh() {
  std::shared_ptr<const Held> held;
  {
    MutexLock lock(&mutex_);
    held = held_;
  }
  // Another configuration is on its way, which reads the files itself.
  if (held == nullptr || gateway_->current() != held->snapshot) return;
  const config::Snapshot& before = *held->snapshot;
  config::BuildResult built = Build(held->resources, before.revision, before.incarnation);
  std::set<std::string> troubles;
  for (const config::Violation& v : built.violations) troubles.insert(absl::StrCat(v.path, ": ", v.message));
  for (const config::Violation& v : built.warnings) {
    if (v.path.find("].files.") != std::string::npos) troubles.insert(absl::StrCat(v.path, ": ", v.message));
  }
  for (const std::string& trouble : troubles) {
    if (told_.count(trouble) == 0) {
      gateway_->Report(ConfigEvent(before.revision, events::Outcome::kRefused, trouble));
    }
  }
  told_ = std::move(troubles);
  if (!built.ok()) return;
  std::vector<events::Event> renewed = Renewed(before, *built.snapshot);
  if (renewed.empty()) return;
  std::promise<absl::Status> done;
  gateway_->Replace(held->snapshot, built.snapshot, [&done](absl::Status status) { done.set_value(std::move(status)); });
  if (!done.get_future().get().ok()) return;  // the gateway told why, or another configuration is in force
  {
    MutexLock lock(&mutex_);
    if (held_ == held) held_ = std::make_shared<const Held>(Held{built.snapshot, held->resources});
  }
  for (events::Event& event : renewed) gateway_->Report(std::move(event));
}

}  // namespace gatehouse::server
