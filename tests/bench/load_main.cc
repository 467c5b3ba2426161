// bench_load: TLS 1.3 load with client certificates over HTTP/1.1 and HTTP/2, one thread. tests/bench/run.py starts it.
//
//   bench_load --mode handshake|keep-alive|idle|once --port N [options]
//
// Prints one JSON object a line. handshake and keep-alive: what happened in the measured time, with the processor time
// of --pids and of the --thread of the first of them, and all answers since the beginning, by status, when none is waited for any
// more. idle: an object when all connections are up, then holds them until standard input ends. once: the answer.
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tests/bench/leaves.h"
#include "tests/bench/load.h"
#include "tests/bench/process_cpu.h"
#include "tests/bench/quick_decoder.h"

namespace gatehouse::bench {
namespace {

constexpr absl::Duration kOpenLimit = absl::Seconds(60);

struct Options {
  LoadOptions load;
  std::string leaves;  // files
  std::string chain;
  size_t leaf_limit = 0;  // 0: all
  size_t first_leaf = 0;
  absl::Duration warm = absl::Milliseconds(300);
  int64_t warm_answers = 0;  // before measuring, so many answers too
  absl::Duration time = absl::Seconds(2);
  int server_core = 0;
  std::vector<int> pids;
  int thread = 0;  // of the first of them
};

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "bench_load: error: %s\n", message.c_str());
  std::exit(2);
}

Mode ParseMode(const std::string& name) {
  if (name == "handshake") return Mode::kHandshake;
  if (name == "keep-alive") return Mode::kKeepAlive;
  if (name == "idle") return Mode::kIdle;
  if (name == "once") return Mode::kOnce;
  Fail(absl::StrCat("--mode: handshake, keep-alive, idle or once, not \"", name, "\""));
}

template <typename T>
T Number(const std::string& text) {
  T value{};
  if (!absl::SimpleAtoi(text, &value) || value < 0) Fail(absl::StrCat("not a number: \"", text, "\""));
  return value;
}

absl::Duration Seconds(const std::string& text) {
  double value = 0;
  if (!absl::SimpleAtod(text, &value) || value < 0) Fail(absl::StrCat("not a time in seconds: \"", text, "\""));
  return absl::Seconds(value);
}

Options Parse(int argc, char** argv) {
  Options o;
  ConnectionOptions& c = o.load.connection;
  c.host = "localhost";
  using Take = std::function<void(const std::string&)>;
  const std::map<std::string, Take> valued = {
      {"--mode", [&](const std::string& v) { o.load.mode = ParseMode(v); }},
      {"--port", [&](const std::string& v) { c.port = static_cast<uint16_t>(Number<int>(v)); }},
      {"--host", [&](const std::string& v) { c.host = v; }},
      {"--path", [&](const std::string& v) { o.load.path = v; }},
      {"--basic", [&](const std::string& v) { o.load.basic = absl::Base64Escape(v); }},
      {"--body", [&](const std::string& v) { o.load.body = Number<uint32_t>(v); }},
      {"--connections", [&](const std::string& v) { o.load.connections = std::max(1, Number<int>(v)); }},
      {"--streams", [&](const std::string& v) { o.load.streams = std::clamp(Number<int>(v), 1, 60); }},
      {"--leaves", [&](const std::string& v) { o.leaves = v; }},
      {"--chain", [&](const std::string& v) { o.chain = v; }},
      {"--leaf-limit", [&](const std::string& v) { o.leaf_limit = Number<uint32_t>(v); }},
      {"--first-leaf", [&](const std::string& v) { o.first_leaf = Number<uint32_t>(v); }},
      {"--warm", [&](const std::string& v) { o.warm = Seconds(v); }},
      {"--warm-answers", [&](const std::string& v) { o.warm_answers = Number<int64_t>(v); }},
      {"--time", [&](const std::string& v) { o.time = Seconds(v); }},
      {"--rate", [&](const std::string& v) { o.load.rate = Number<int>(v); }},
      {"--thread", [&](const std::string& v) { o.thread = Number<int>(v); }},
      {"--server-core", [&](const std::string& v) { o.server_core = Number<int>(v); }},
      {"--pids",
       [&](const std::string& v) {
         for (absl::string_view pid : absl::StrSplit(v, ',', absl::SkipEmpty())) {
           o.pids.push_back(Number<int>(std::string(pid)));
         }
       }},
  };
  const std::map<std::string, bool*> flags = {
      {"--http2", &c.http2}, {"--resume", &c.resume}, {"--close-first", &c.close_first}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (auto flag = flags.find(name); flag != flags.end()) {
      *flag->second = true;
    } else if (auto take = valued.find(name); take == valued.end()) {
      Fail(absl::StrCat("unknown option ", name));
    } else if (++i == argc) {
      Fail(absl::StrCat(name, ": wants a value"));
    } else {
      take->second(argv[i]);
    }
  }
  if (c.port == 0) Fail("--port: required");
  if (c.http2 && o.load.body > 0) Fail("--body: not with --http2");
  if (o.load.rate > 0 && o.load.mode != Mode::kKeepAlive) Fail("--rate: only with keep-alive");
  if (o.thread != 0 && o.pids.empty()) Fail("--thread: wants --pids");
  c.one_shot = o.load.mode == Mode::kHandshake;
  if (c.one_shot) c.http2 = false;
  if (o.load.mode == Mode::kOnce) o.load.connections = 1;
  return o;
}

std::string JsonText(const std::string& text) { return absl::StrCat("\"", absl::CHexEscape(text), "\""); }

void QuotedNumber(std::string* out, int number) { absl::StrAppend(out, "\"", number, "\""); }

std::string Reasons(const Tally& tally) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : tally.reasons) parts.push_back(absl::StrCat(JsonText(reason), ": ", count));
  return absl::StrCat("{", absl::StrJoin(parts, ", "), "}");
}

double Percentile(std::vector<float> values, double share) {
  if (values.empty()) return 0;
  const auto at = std::min(values.size() - 1, static_cast<size_t>(static_cast<double>(values.size()) * share));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return static_cast<double>(values[at]);
}

int Measure(const Options& options, Load& load) {
  load.Open(kOpenLimit);
  load.RunFor(options.warm);
  if (options.warm_answers > 0 && !load.RunUntilAnswers(options.warm_answers, kOpenLimit)) {
    Fail(absl::StrCat("only ", load.tally().answers(), " of ", options.warm_answers, " answers came to warm up: ",
                      Reasons(load.tally())));
  }
  load.Restart();
  const uint64_t began = Now();
  const double process = ProcessMicros(options.pids);
  const double core = CoreBusyMicros(options.server_core);
  const double own = OwnMicros();
  const auto thread = [&options] { return options.thread == 0 ? 0 : ThreadMicros(options.pids[0], options.thread); };
  const double thread_before = thread();
  load.RunFor(options.time);
  const double thread_used = thread() - thread_before;
  const double used = ProcessMicros(options.pids) - process;
  const double core_used = CoreBusyMicros(options.server_core) - core;
  const double own_used = OwnMicros() - own;
  const double elapsed = static_cast<double>(Now() - began) / 1000;
  const Tally tally = load.tally();
  if (!load.Drain(kOpenLimit)) Fail("requests stay unanswered");

  const double answers = std::max(1.0, static_cast<double>(tally.answers()));
  absl::PrintF("{\"ok\": %d, \"other\": %d, \"failed\": %d, \"full\": %d, \"resumed\": %d, \"rate\": %.0f, "
               "\"cpu_us\": %.3f, \"core_us\": %.3f, \"load_us\": %.3f, \"used\": %.3f, "
               "\"thread_us\": %.3f, \"p50_us\": %.0f, \"p99_us\": %.0f, \"reasons\": %s, \"answers\": {%s}, \"failures\": %d}\n",
               tally.ok, tally.other, tally.failed, tally.full, tally.resumed, answers / elapsed * 1e6,
               used / answers, core_used / answers, own_used / answers, used / elapsed, thread_used / answers,
               Percentile(tally.latencies, 0.5), Percentile(tally.latencies, 0.99), Reasons(tally),
               absl::StrJoin(load.answers(), ", ", absl::PairFormatter(QuotedNumber, ": ", absl::AlphaNumFormatter())), load.failures());
  return 0;
}

int HoldIdle(Load& load) {
  load.Open(kOpenLimit);
  load.RunFor(absl::Milliseconds(500));
  absl::PrintF("{\"open\": %d, \"ok\": %d, \"other\": %d, \"failed\": %d, \"reasons\": %s}\n", load.open_connections(),
               load.tally().ok, load.tally().other, load.tally().failed, Reasons(load.tally()));
  std::fflush(stdout);
  pollfd input = {0, POLLIN, 0};
  while (poll(&input, 1, 0) == 0) load.RunFor(absl::Milliseconds(100));
  load.Stop();
  absl::PrintF("{\"open\": %d}\n", load.open_connections());
  return 0;
}

int Once(Load& load) {
  load.Open(kOpenLimit);
  for (int i = 0; i < 100 && load.tally().answers() + load.tally().failed == 0; ++i) {
    load.RunFor(absl::Milliseconds(20));
  }
  absl::PrintF("{\"ok\": %d, \"reasons\": %s, \"body\": %s}\n", load.tally().ok, Reasons(load.tally()),
               JsonText(load.body()));
  return load.tally().ok == 1 ? 0 : 1;
}

int Run(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  UseQuickDecoder();
  const Options options = Parse(argc, argv);
  absl::StatusOr<Leaves> leaves = Leaves::Load(options.leaves, options.chain, options.leaf_limit);
  if (!leaves.ok()) Fail(std::string(leaves.status().message()));
  leaves->Seek(options.first_leaf);
  Load load(options.load, *std::move(leaves));
  switch (options.load.mode) {
    case Mode::kHandshake:
    case Mode::kKeepAlive:
      return Measure(options, load);
    case Mode::kIdle:
      return HoldIdle(load);
    case Mode::kOnce:
      return Once(load);
  }
  return 2;
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) { return gatehouse::bench::Run(argc, argv); }
