// status.
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

std::string Bytes(uint64_t bytes) {
  if (bytes >= uint64_t{10} << 30) return absl::StrFormat("%.0f GiB", static_cast<double>(bytes) / (1 << 30));
  return absl::StrFormat("%.0f MiB", static_cast<double>(bytes) / (1 << 20));
}

absl::Duration DurationOf(const google::protobuf::Duration& d) { return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos()); }

// In one word, the worst that is known of it.
std::string Health(const v1::GatewayStatus& gateway, uint64_t revision) {
  if (!gateway.connected()) return "gone";
  if (gateway.refused_revision() != 0) return "refused";
  if (gateway.acknowledged_revision() != revision) return "behind";
  return gateway.load().draining() ? "draining" : "ok";
}

void PrintStatus(Context& context, const v1::Status& status) {
  const Style style(context.color);
  context.out() << style.Bold("control plane") << "   version " << EscapeText(status.version()) << "   revision "
                << status.revision() << "   since " << DateText(status.start_time()) << "\n"
                << style.Bold("events") << "          " << status.events() << " seen, " << status.events_lost()
                << " lost, " << status.watchers() << " watching\n";
  if (status.has_archive()) {
    const v1::ArchiveStatus& archive = status.archive();
    context.out() << style.Bold("archive") << "         " << archive.events() << " events, " << Bytes(archive.bytes());
    if (archive.has_oldest()) context.out() << ", since " << DateText(archive.oldest());
    if (archive.lost() != 0) context.out() << ", " << style.Red(absl::StrCat(archive.lost(), " lost"));
    context.out() << "\n";
    if (!archive.error().empty()) context.out() << style.Red("archive: ") << EscapeText(archive.error()) << "\n";
  }
  std::vector<std::vector<std::string>> rows;
  std::string notes;
  for (const v1::GatewayStatus& gateway : status.gateways()) {
    const std::string name = EscapeText(gateway.name());
    const bool current = gateway.acknowledged_revision() == status.revision();
    const v1::GatewayLoad& load = gateway.load();
    const bool told = gateway.connected() && gateway.has_load();
    rows.push_back({name, Health(gateway, status.revision()),
                    absl::StrCat(gateway.acknowledged_revision(), current ? "" : " (behind)"),
                    told ? absl::StrCat(load.connections()) : "-",
                    told ? absl::StrFormat("%.0f", load.requests_per_second()) : "-",
                    told ? absl::StrFormat("%.2f", load.cpu()) : "-", told ? Bytes(load.resident_bytes()) : "-",
                    EscapeText(gateway.version()), EscapeText(gateway.peer())});
    if (!gateway.connected() && gateway.has_last_seen()) {
      absl::StrAppend(&notes, style.Yellow("gone:"), " ", name, " was last heard of at ", DateText(gateway.last_seen()), "\n");
    }
    if (told && DurationOf(load.snapshot_age()) > absl::Minutes(1)) {
      absl::StrAppend(&notes, style.Yellow("old:"), " ", name, " does not know since ",
                      absl::FormatDuration(absl::Trunc(DurationOf(load.snapshot_age()), absl::Seconds(1))),
                      " whether its configuration is the newest\n");
    }
    if (told && load.events_lost() != 0) {
      absl::StrAppend(&notes, style.Yellow("lost:"), " ", name, " could not keep ", load.events_lost(), " events\n");
    }
    if (gateway.has_certificate_not_after()) {
      const absl::Time end = absl::FromUnixSeconds(gateway.certificate_not_after().seconds());
      if (end - absl::Now() < absl::Hours(24 * 9)) {
        absl::StrAppend(&notes, style.Yellow("certificate:"), " that of ", name, " expires at ",
                        DateText(gateway.certificate_not_after()), "\n");
      }
    }
    if (gateway.refused_revision() == 0) continue;
    absl::StrAppend(&notes, style.Red("refused:"), " ", name, " could not take revision ", gateway.refused_revision(), "\n");
    for (const v1::Violation& violation : gateway.violations()) {
      absl::StrAppend(&notes, "  ", PathText(violation.path()), ": ", EscapeText(violation.message()), "\n");
    }
  }
  if (rows.empty()) {
    context.out() << "no gateway has connected yet\n";
  } else {
    PrintTable({"GATEWAY", "HEALTH", "REVISION", "CLIENTS", "REQ/S", "CPU", "MEMORY", "VERSION", "PEER"}, rows, style,
               context.out());
  }
  context.out() << notes;
}

int Watch(Context& context, client::Client& client, const StatusFlags& flags) {
  constexpr absl::Duration kAgain = absl::Seconds(1);
  uint64_t left = flags.count;
  int code = kOk;
  const auto take = [&](const v1::Status& status) {
    if (flags.json) {
      code = PrintJson(context, status);
    } else {
      context.out() << (context.streams.out_is_terminal ? "\x1b[H\x1b[2J" : "");
      PrintStatus(context, status);
      context.out() << (context.streams.out_is_terminal ? "" : "\n");
    }
    context.out().flush();
    return code == kOk && context.out() && (flags.count == 0 || --left != 0);
  };
  for (;;) {
    const absl::Status end = client.WatchStatus(take);
    if (end.ok()) return code;
    if (!absl::IsUnavailable(end)) return Fail(context, end);
    context.err() << Style(context.error_color).Yellow("interrupted:") << " " << EscapeText(end.message())
                  << "; trying again\n";
    absl::SleepFor(kAgain);
  }
}

}  // namespace

int ShowStatus(Context& context, const StatusFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  if (flags.watch) return Watch(context, **client, flags);
  absl::StatusOr<v1::Status> status = (*client)->GetStatus();
  if (!status.ok()) return Fail(context, status.status());
  if (flags.json) return PrintJson(context, *status);
  PrintStatus(context, *status);
  return kOk;
}

}  // namespace gatehouse::cli
