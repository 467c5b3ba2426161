// events watch, events summary.
#include <google/protobuf/descriptor.h>

#include <optional>
#include <ostream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/yaml/kinds.h"
#include "client/yaml/writer.h"
#include "gateway/base/escape.h"
#include "gateway/base/mutex.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

// A word of the enum in any case.
absl::StatusOr<int> EnumFlag(absl::string_view flag, const std::string& text,
                             const google::protobuf::EnumDescriptor* type) {
  std::string word = absl::AsciiStrToUpper(text);
  for (char& c : word) c = c == '-' ? '_' : c;
  const auto* value = type->FindValueByName(word);
  if (value != nullptr && value->number() != 0) return value->number();
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) {
    if (type->value(i)->number() != 0) names.push_back(absl::AsciiStrToLower(type->value(i)->name()));
  }
  std::string closest = client::Closest(text, names);
  std::string all;
  for (const std::string& name : names) absl::StrAppend(&all, all.empty() ? "" : ", ", name);
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": no value \"", text, "\"; ",
                   closest.empty() ? absl::StrCat("there are ", all) : absl::StrCat("did you mean \"", closest, "\"?")));
}

absl::StatusOr<v1::EventFilter> FilterOf(const EventFilterFlags& flags) {
  v1::EventFilter filter;
  for (const std::string& text : flags.outcomes) {
    GH_ASSIGN_OR_RETURN(int value, EnumFlag("--outcome", text, v1::Event::Outcome_descriptor()));
    filter.add_outcomes(static_cast<v1::Event::Outcome>(value));
  }
  for (const std::string& text : flags.types) {
    GH_ASSIGN_OR_RETURN(int value, EnumFlag("--type", text, v1::Event::Type_descriptor()));
    filter.add_types(static_cast<v1::Event::Type>(value));
  }
  for (const std::string& text : flags.reasons) {
    GH_ASSIGN_OR_RETURN(int value, EnumFlag("--reason", text, v1::Reason_descriptor()));
    filter.add_reasons(static_cast<v1::Reason>(value));
  }
  filter.mutable_routes()->Add(flags.routes.begin(), flags.routes.end());
  filter.mutable_schemes()->Add(flags.schemes.begin(), flags.schemes.end());
  filter.mutable_gateways()->Add(flags.gateways.begin(), flags.gateways.end());
  filter.mutable_principals()->Add(flags.principals.begin(), flags.principals.end());
  return filter;
}

absl::StatusOr<client::WatchOptions> Options(const WatchFlags& flags) {
  client::WatchOptions options;
  GH_ASSIGN_OR_RETURN(options.filter, FilterOf(flags.filter));
  options.from_oldest = flags.from_oldest;
  if (!flags.since.empty()) {
    GH_ASSIGN_OR_RETURN(options.since, ParseTimeOrAgeFlag("--since", flags.since, absl::Now()));
  }
  if (!flags.after.empty()) {
    size_t colon = flags.after.rfind(':');
    uint64_t sequence = 0;
    if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(flags.after.substr(colon + 1), &sequence)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--after: not INCARNATION:SEQUENCE, the `cursor` of an event: \"", EscapeText(flags.after), "\""));
    }
    options.after.set_incarnation(flags.after.substr(0, colon));
    options.after.set_sequence(sequence);
  }
  return options;
}

absl::StatusOr<v1::SummaryRequest> RequestOf(const EventSummaryFlags& flags) {
  v1::SummaryRequest request;
  GH_ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(flags.filter));
  for (const std::string& text : flags.by) {
    const bool gateway = text == "gateway";
    GH_ASSIGN_OR_RETURN(int value, EnumFlag("--by", gateway ? "gateway_name" : text, v1::SummaryRequest::Dimension_descriptor()));
    request.add_by(static_cast<v1::SummaryRequest::Dimension>(value));
  }
  const absl::Time now = absl::Now();
  if (!flags.since.empty()) {
    GH_ASSIGN_OR_RETURN(const absl::Time from, ParseTimeOrAgeFlag("--since", flags.since, now));
    request.mutable_from()->set_seconds(absl::ToUnixSeconds(from));
  }
  if (!flags.until.empty()) {
    GH_ASSIGN_OR_RETURN(const absl::Time to, ParseTimeOrAgeFlag("--until", flags.until, now));
    request.mutable_to()->set_seconds(absl::ToUnixSeconds(to));
  }
  if (!flags.step.empty()) {
    GH_ASSIGN_OR_RETURN(const absl::Duration step, ParseDurationFlag("--step", flags.step));
    if (step % absl::Minutes(1) != absl::ZeroDuration()) return absl::InvalidArgumentError("--step: not whole minutes");
    request.mutable_step()->set_seconds(absl::ToInt64Seconds(step));
  }
  return request;
}

// Prints what the watch's thread hears, and lets the command's thread wait for the end.
class Printer {
 public:
  Printer(Context& context, const WatchFlags& flags)
      : context_(context),
        json_(flags.output.empty() ? !context.streams.out_is_terminal : flags.output == "json"),
        left_(flags.count),
        bounded_(flags.count > 0) {}

  void Print(const v1::Event& event) {
    MutexLock lock(&mutex_);
    if (ended_) return;
    const Style style(context_.color);
    context_.out() << (json_ ? EventJson(event) : EventText(event, style, absl::LocalTimeZone())) << "\n";
    context_.out().flush();
    if (!context_.out()) Finish(OutputLost());
    if (bounded_ && --left_ == 0) Finish(absl::OkStatus());
  }

  // Scripts wait for this line: what happens from now on is printed.
  void Began() {
    MutexLock lock(&mutex_);
    context_.err() << "watching events; end with Ctrl-C\n";
    context_.err().flush();
  }

  void Interrupted(const absl::Status& status) {
    MutexLock lock(&mutex_);
    context_.err() << Style(context_.error_color).Yellow("interrupted:") << " " << EscapeText(status.message())
                   << "; trying again\n";
  }

  void End(const absl::Status& status) {
    MutexLock lock(&mutex_);
    Finish(status);
  }

  absl::Status Wait() {
    MutexLock lock(&mutex_);
    while (!ended_) changed_.Wait(&mutex_);
    return status_;
  }

 private:
  void Finish(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (ended_) return;
    ended_ = true;
    status_ = std::move(status);
    changed_.SignalAll();
  }

  Context& context_;
  const bool json_;
  Mutex mutex_;
  CondVar changed_;
  uint64_t left_ ABSL_GUARDED_BY(mutex_);
  const bool bounded_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

int WatchEvents(Context& context, const WatchFlags& flags) {
  absl::StatusOr<client::WatchOptions> options = Options(flags);
  if (!options.ok()) {
    Fail(context, options.status());
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  Printer printer(context, flags);
  client::WatchHandler handler;
  handler.on_event = [&printer](const v1::Event& event) { printer.Print(event); };
  handler.on_interruption = [&printer](const absl::Status& status) { printer.Interrupted(status); };
  handler.on_end = [&printer](const absl::Status& status) { printer.End(status); };
  auto watch = (*client)->Watch(*std::move(options), std::move(handler));
  if (!watch.ok()) return Fail(context, watch.status());
  printer.Began();
  absl::Status status = printer.Wait();
  watch->reset();
  return status.ok() ? kOk : Fail(context, status);
}

int SummarizeEvents(Context& context, const EventSummaryFlags& flags) {
  absl::StatusOr<v1::SummaryRequest> request = RequestOf(flags);
  if (!request.ok()) {
    Fail(context, request.status());
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::SummaryResponse> response = (*client)->Summary(*request);
  if (!response.ok()) return Fail(context, response.status());
  if (flags.output == Output::kJson) return PrintJson(context, *response);
  if (flags.output == Output::kYaml) {
    context.out() << client::MessageYaml(*response);
    return kOk;
  }
  context.out() << SummaryText(*response, *request, absl::LocalTimeZone(), Style(context.color));
  return kOk;
}

}  // namespace gatehouse::cli
