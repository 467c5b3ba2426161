// get --watch.
#include <algorithm>
#include <map>
#include <ostream>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/fetch.h"
#include "client/cli/kind_flag.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "client/yaml/kinds.h"
#include "client/yaml/writer.h"
#include "gateway/base/escape.h"
#include "gateway/base/names.h"

namespace gatehouse::cli {
namespace {

const std::string& EtagOf(const v1::Resource& resource) {
  const auto* field = resource.GetReflection()->GetOneofFieldDescriptor(resource, v1::Resource::descriptor()->oneof_decl(0));
  static const std::string none;
  if (field == nullptr) return none;
  const auto& body = resource.GetReflection()->GetMessage(resource, field);
  thread_local std::string scratch;
  return body.GetReflection()->GetStringReference(body, body.GetDescriptor()->FindFieldByName("etag"), &scratch);
}

// Prints what is new to whoever looks on. A stream that was taken up again begins with all that is there: what was printed
// before is not printed twice, and what is gone meanwhile is told.
class Printer {
 public:
  // `only_changes`: without what is there at first.
  Printer(Context& context, v1::Kind kind, Output output, bool only_changes)
      : context_(context), kind_(kind), output_(output), only_changes_(only_changes), style_(context.color) {}

  void Begin() {
    synced_ = false;
    missing_.clear();
    for (const auto& [name, etag] : seen_) missing_.insert(name);
  }
  bool Take(const v1::WatchResourcesResponse& message) {
    for (const v1::Resource& resource : message.resources()) {
      const std::string name = client::NameOf(resource);
      missing_.erase(name);
      auto [it, added] = seen_.try_emplace(name);
      if (!added && it->second == EtagOf(resource)) continue;
      const bool was_there = !added;
      it->second = EtagOf(resource);
      Print(resource, was_there ? "~" : "+");
    }
    for (const std::string& name : message.removed()) Gone(name);
    if (message.synced()) {
      for (const std::string& name : missing_) Gone(name);
      missing_.clear();
      synced_ = true;
      begun_ = true;
    }
    context_.out().flush();
    return static_cast<bool>(context_.out());
  }
  bool synced() const { return synced_; }

 private:
  bool Silent() const { return only_changes_ && !begun_; }
  void Print(const v1::Resource& resource, const char* sign) {
    if (Silent()) return;
    std::ostream& out = context_.out();
    switch (output_) {
      case Output::kJson:
        out << client::ToJson(resource, false) << "\n";
        return;
      case Output::kYaml:
        out << "---\n" << client::ToYaml(resource);
        return;
      case Output::kName:
        out << client::IdText(kind_, client::NameOf(resource)) << "\n";
        return;
      case Output::kTable:
        break;
    }
    // What is there at first is a list like get's.
    const std::string mark = !begun_ ? " " : *sign == '+' ? style_.Green(sign) : style_.Yellow(sign);
    out << mark << " " << Padded(EscapeText(client::NameOf(resource)), kNameWidth) << "  " << Summary(resource) << "\n";
  }
  void Gone(const std::string& name) {
    if (seen_.erase(name) == 0 || Silent()) return;
    std::ostream& out = context_.out();
    switch (output_) {
      case Output::kJson:
      case Output::kYaml: {
        // Names are letters, digits and dots, whatever the server says.
        const std::string shown = IsResourceId(name) ? name : "?";
        if (output_ == Output::kYaml) {
          out << "# removed: " << client::IdText(kind_, shown) << "\n";
        } else {
          out << "{\"kind\":\"" << client::NameOf(kind_).singular << "\",\"name\":\"" << shown << "\",\"removed\":true}\n";
        }
        return;
      }
      case Output::kName:
        out << "-" << client::IdText(kind_, name) << "\n";
        return;
      case Output::kTable:
        break;
    }
    out << style_.Red("-") << " " << EscapeText(name) << "\n";
  }

  static constexpr size_t kNameWidth = 24;
  Context& context_;
  const v1::Kind kind_;
  const Output output_;
  const bool only_changes_;
  const Style style_;
  std::map<std::string, std::string> seen_;  // etags by name
  std::set<std::string> missing_;
  bool synced_ = false;
  bool begun_ = false;  // all that was there at first was printed
};

// Those that time may cure.
bool Passes(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) || absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

int WatchKind(Context& context, const GetFlags& flags) {
  const absl::StatusOr<v1::Kind> kind = KindFlag(flags.kind);
  const absl::StatusOr<client::Labels> labels = LabelFlags(flags.labels);
  if (!kind.ok() || !labels.ok()) return Fail(context, kind.ok() ? labels.status() : kind.status());
  v1::WatchResourcesRequest request;
  request.set_kind(*kind);
  request.mutable_labels()->insert(labels->begin(), labels->end());
  if (!flags.names.empty()) request.set_name(flags.names[0]);
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  // What is there is asked for in any case: without it nobody could tell what changed while the watch was broken.
  Printer printer(context, *kind, flags.output, flags.only_changes);
  absl::Duration backoff = absl::Milliseconds(100);
  while (true) {
    printer.Begin();
    const absl::Status status =
        (*client)->WatchResources(request, [&](const v1::WatchResourcesResponse& message) { return printer.Take(message); });
    if (status.ok()) return Fail(context, OutputLost());
    if (!Passes(status)) return Fail(context, status);
    if (printer.synced()) backoff = absl::Milliseconds(100);
    context.err() << Style(context.error_color).Yellow("interrupted:") << " " << EscapeText(status.message()) << "; trying again\n";
    absl::SleepFor(backoff);
    backoff = std::min(backoff * 2, absl::Seconds(5));
  }
}

}  // namespace gatehouse::cli
