// A client of Gatehouse's control plane in C++: lists routes, applies a trust store, watches events.
//
//   example unix:/run/gatehouse/control.sock routes
//   example unix:/run/gatehouse/control.sock trust partners ca.pem
//   example unix:/run/gatehouse/control.sock watch 5
#include <client/lib/client.h>
#include <client/lib/status.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sstream>

namespace {

using gatehouse::client::Client;
namespace v1 = gatehouse::v1;

// Names and details are strangers' text: no terminal should act upon it.
std::string Plain(const std::string& text) {
  std::string plain;
  for (unsigned char c : text) plain += c >= ' ' && c <= '~' ? static_cast<char>(c) : '?';
  return plain;
}

int Fail(const absl::Status& status) {
  std::cerr << "error: " << Plain(std::string(status.message())) << "\n";
  for (const v1::Violation& violation : gatehouse::client::ViolationsOf(status)) {
    std::cerr << "  " << Plain(violation.path()) << ": " << Plain(violation.message()) << "\n";
  }
  return 1;
}

int ListRoutes(Client& client) {
  gatehouse::client::Pages<v1::Resource> pages = client.List(v1::ROUTE);
  while (true) {
    absl::StatusOr<std::optional<v1::Resource>> resource = pages.Next();
    if (!resource.ok()) return Fail(resource.status());
    if (!resource->has_value()) return 0;
    std::cout << Plain((*resource)->route().name()) << "  " << Plain((*resource)->route().match().path()) << "\n";
  }
}

// All or nothing; returns once every connected gateway has it in force.
int ApplyTrust(Client& client, const std::string& name, const std::string& path) {
  std::ostringstream pem;
  pem << std::ifstream(path).rdbuf();
  v1::ConfigSet set;
  v1::TrustStore& store = *set.add_trust_stores();
  store.set_name(name);
  store.add_anchors()->set_pem(pem.str());
  gatehouse::client::ApplyOptions options;
  options.change.message = "from the C++ example";
  absl::StatusOr<v1::ApplyResponse> applied = client.Apply(set, {}, options);
  if (!applied.ok()) return Fail(applied.status());
  std::cout << "revision " << applied->revision() << ", " << applied->changes_size() << " changes, in force on "
            << applied->force().in_force() << " of " << applied->force().gateways() << " gateways\n";
  return 0;
}

int WatchEvents(Client& client, int count) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  absl::Status ended;
  gatehouse::client::WatchHandler handler;
  handler.on_event = [&](const v1::Event& event) {
    std::lock_guard<std::mutex> lock(mutex);
    if (done) return;
    std::cout << v1::Event::Type_Name(event.type()) << " " << v1::Event::Outcome_Name(event.outcome()) << " "
              << v1::Reason_Name(event.reason()) << " " << Plain(event.detail()) << std::endl;
    if (--count <= 0) done = true;
    changed.notify_all();
  };
  handler.on_end = [&](const absl::Status& status) {
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
    ended = status;
    changed.notify_all();
  };
  auto watch = client.Watch({}, std::move(handler));
  if (!watch.ok()) return Fail(watch.status());
  std::cout << "watching" << std::endl;
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return done; });
  lock.unlock();
  watch->reset();
  return ended.ok() ? 0 : Fail(ended);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 2) {
    std::cerr << "example unix:/path/control.sock routes | trust NAME FILE | watch COUNT\n";
    return 2;
  }
  auto target = gatehouse::client::ParseTarget(arguments[0], {}, false);
  if (!target.ok()) return Fail(target.status());
  auto client = Client::Connect(*target);
  if (!client.ok()) return Fail(client.status());
  if (arguments[1] == "routes") return ListRoutes(**client);
  if (arguments[1] == "trust" && arguments.size() == 4) return ApplyTrust(**client, arguments[2], arguments[3]);
  if (arguments[1] == "watch" && arguments.size() == 3) return WatchEvents(**client, std::atoi(arguments[2].c_str()));
  std::cerr << "routes | trust NAME FILE | watch COUNT\n";
  return 2;
}
