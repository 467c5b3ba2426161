#include "gateway/monitor/monitor.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/http/codec_factory.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/loop.h"

namespace gatehouse::monitor {
namespace {

constexpr absl::Duration kIdle = absl::Seconds(120);  // longer than people let Prometheus wait between scrapes
constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kTextType[] = "text/plain; charset=utf-8";

class Talk;

class RunningMonitor final : public Monitor {
 public:
  RunningMonitor(MonitorOptions options, loop::AddressClaim claim, loop::ListenSocket socket);
  ~RunningMonitor() override;
  std::string address() const override { return address_; }

 private:
  friend class Talk;
  void OnAccept(loop::Fd fd);
  void Retire(Talk* talk);

  const MonitorOptions options_;
  const loop::AddressClaim claim_;
  const std::string address_;
  http::CodecOptions codec_options_;
  http::CodecShared codec_shared_;
  loop::Loop loop_;
  std::unique_ptr<loop::Acceptor> acceptor_;
  std::set<Talk*> talks_;  // owned; the last of them die with the loop's thread
  std::thread thread_;
};

// Talk is one client's connection.
class Talk final : public http::CodecHandler, public loop::DeadlineHandler {
 public:
  Talk(RunningMonitor* monitor, loop::Fd fd)
      : monitor_(monitor),
        fd_(std::move(fd)),
        codec_(http::NewHttp1Codec(this, &monitor->codec_shared_, &monitor->codec_options_)),
        deadline_(&monitor->loop_.deadlines(), this),
        watch_(&monitor->loop_, fd_.get(), [this](bool readable, bool) { OnReady(readable); }) {
    watch_.Set(true, false);
    deadline_.Set(monitor_->loop_.now() + monitor_->options_.patience);
  }

 private:
  using Phase = http::ServerCodec::Phase;

  void OnRequest(http::StreamId id, http::RequestHead&& head) override {
    int status = 200;
    std::string body;
    http::FieldList fields;
    const char* type = kTextType;
    if (head.path() != "/metrics" && head.path() != "/healthz" && head.path() != "/readyz") {
      status = 404;
      body = "not found; here are /metrics, /healthz and /readyz\n";
    } else if (head.method() != "GET" && head.method() != "HEAD") {
      status = 405;
      fields.Add("allow", "GET, HEAD");
      body = "method not allowed\n";
    } else if (head.path() == "/metrics") {
      type = kMetricsType;
      body = monitor_->options_.metrics();
    } else if (head.path() == "/healthz") {
      body = "ok\n";
    } else if (std::string why = monitor_->options_.not_ready(); why.empty()) {
      body = "ready\n";
    } else {
      status = 503;
      body = absl::StrCat("not ready: ", why, "\n");
    }
    fields.Add("content-type", type);
    fields.Add("cache-control", "no-store");
    fields.Add("x-content-type-options", "nosniff");
    codec_->SendFixed(id, *http::FixedResponse::Create(status, fields, std::move(body)));
  }
  void OnBody(http::StreamId id, absl::string_view data, bool) override { codec_->ConsumeBody(id, data.size()); }
  void OnTrailers(http::StreamId, http::FieldList&&) override {}
  void OnReset(http::StreamId, uint32_t) override {}
  void OnStreamClosed(http::StreamId) override {}
  void OnBodyWritable(http::StreamId) override {}
  http::Answer OnProtocolError(const http::ProtocolError&) override { return {}; }
  void OnDeadline(loop::Deadline*) override { monitor_->Retire(this); }

  void OnReady(bool readable) {
    if (gone_) return;
    if (readable && !watch_.writing()) {
      std::array<char, 4096> buffer;
      const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return Leave();
      if (n > 0) codec_->Receive(absl::string_view(buffer.data(), static_cast<size_t>(n)), monitor_->loop_.now());
    }
    Answer();
  }

  void Answer() {
    const bool was_writing = watch_.writing();
    for (;;) {
      if (out_.empty()) {
        if (!codec_->WantsWrite() && codec_->HasReadyInput()) codec_->Receive({}, monitor_->loop_.now());
        if (!codec_->WantsWrite()) break;
        codec_->Produce(&out_);
        sent_ = 0;
        continue;
      }
      const ssize_t n = ::send(fd_.get(), out_.view().data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno != EAGAIN) return Leave();
      if (n < 0) break;
      sent_ += static_cast<size_t>(n);
      if (sent_ == out_.size()) out_.Clear();
    }
    if (out_.empty() && codec_->done()) return Leave();
    // Neither a trickle of a head nor one of reading buys more time.
    watch_.Set(out_.empty(), !out_.empty());
    const Phase phase = out_.empty() ? codec_->phase() : Phase::kActive;
    if (phase == phase_ && was_writing == watch_.writing() && phase != Phase::kIdle) return;
    phase_ = phase;
    deadline_.Set(monitor_->loop_.now() + (phase == Phase::kIdle ? kIdle : monitor_->options_.patience));
  }

  void Leave() {
    gone_ = true;
    watch_.Set(false, false);
    monitor_->Retire(this);
  }

  RunningMonitor* const monitor_;
  const loop::Fd fd_;
  const std::unique_ptr<http::ServerCodec> codec_;
  http::OutBuffer out_{16 * 1024};
  size_t sent_ = 0;
  Phase phase_ = Phase::kHead;
  bool gone_ = false;
  loop::Deadline deadline_;
  loop::Watch watch_;
};

RunningMonitor::RunningMonitor(MonitorOptions options, loop::AddressClaim claim, loop::ListenSocket socket)
    : options_(std::move(options)), claim_(std::move(claim)), address_(socket.address().ToString()) {
  codec_options_.tls = false;
  codec_options_.limits.header_bytes = 8 * 1024;
  codec_options_.limits.header_count = 50;
  codec_options_.limits.target_bytes = 1024;
  codec_options_.limits.body_bytes = 0;
  codec_options_.limits.pipeline_bytes = 8 * 1024;
  acceptor_ = std::make_unique<loop::Acceptor>(
      &loop_, std::move(socket), [this](loop::Fd fd, const loop::Address&) { OnAccept(std::move(fd)); });
  thread_ = std::thread([this] { loop_.Run(); });
}

RunningMonitor::~RunningMonitor() {
  loop_.Post([this] {
    acceptor_.reset();
    for (Talk* talk : std::exchange(talks_, {})) delete talk;
  });
  loop_.Stop();
  thread_.join();
}

void RunningMonitor::OnAccept(loop::Fd fd) {
  if (talks_.size() >= options_.max_connections) return;  // ~Fd closes it
  talks_.insert(new Talk(this, std::move(fd)));
}

void RunningMonitor::Retire(Talk* talk) {
  if (talks_.erase(talk) == 1) loop_.DeferDelete(std::unique_ptr<Talk>(talk));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Monitor>> Monitor::Start(MonitorOptions options) {
  absl::StatusOr<loop::Address> address = loop::Address::Parse(options.address);
  if (!address.ok()) return address.status();
  absl::StatusOr<loop::AddressClaim> claim = loop::AddressClaim::Take(*address, "");
  if (!claim.ok()) return claim.status();
  loop::ListenOptions listen;
  listen.backlog = 64;
  listen.reuse_port = false;
  listen.defer_accept = absl::ZeroDuration();
  absl::StatusOr<loop::ListenSocket> socket = loop::ListenSocket::Open(*address, listen);
  if (!socket.ok()) return socket.status();
  return std::make_unique<RunningMonitor>(std::move(options), *std::move(claim), *std::move(socket));
}

}  // namespace gatehouse::monitor
