#include "client/cli/input.h"

#include <istream>

#include "absl/strings/numbers.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/yaml/reader.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

constexpr size_t kMaxPasswordBytes = 4096;

absl::Status CheckRead(Context& context) {
  return context.streams.in->bad() ? absl::InvalidArgumentError("standard input could not be read") : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadInput(Context& context, const std::string& file, size_t max_bytes) {
  if (file != "-") return client::LoadFile(file, max_bytes);
  std::string content;
  char buffer[65536];
  while (context.streams.in->read(buffer, sizeof(buffer)) || context.streams.in->gcount() > 0) {
    content.append(buffer, static_cast<size_t>(context.streams.in->gcount()));
    if (content.size() > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("standard input has more than ", max_bytes, " bytes"));
    }
  }
  GH_RETURN_IF_ERROR(CheckRead(context));
  return content;
}

absl::StatusOr<Secret> ReadPassword(Context& context, bool from_stdin, const std::string& prompt) {
  if (!from_stdin) {
    GH_ASSIGN_OR_RETURN(Secret first, context.streams.ask_password(absl::StrCat(prompt, ": ")));
    if (first.empty()) return absl::InvalidArgumentError("an empty password is refused");
    GH_ASSIGN_OR_RETURN(Secret second, context.streams.ask_password("once more: "));
    if (!ConstantTimeEquals(first.Reveal(), second.Reveal())) {
      return absl::InvalidArgumentError("the two passwords differ");
    }
    return first;
  }
  std::string line;
  std::getline(*context.streams.in, line);
  GH_RETURN_IF_ERROR(CheckRead(context));
  if (!line.empty() && line.back() == '\r') line.pop_back();
  Secret password(std::move(line));
  if (password.empty()) return absl::InvalidArgumentError("standard input has no password: an empty one is refused");
  if (password.size() > kMaxPasswordBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a password has at most ", kMaxPasswordBytes, " bytes"));
  }
  return password;
}

absl::StatusOr<Secret> ReadFilePassword(Context& context, bool from_stdin, const std::string& file) {
  if (!from_stdin) return context.streams.ask_password(absl::StrCat("password of ", EscapeText(file), ": "));
  std::string line;
  std::getline(*context.streams.in, line);
  GH_RETURN_IF_ERROR(CheckRead(context));
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.size() > kMaxPasswordBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a password has at most ", kMaxPasswordBytes, " bytes"));
  }
  return Secret(std::move(line));
}

absl::StatusOr<certs::Bundle> ReadBundleFile(Context& context, const std::string& file, bool password_stdin) {
  if (file == "-" && password_stdin) {
    return absl::InvalidArgumentError("standard input cannot be both the file and its password");
  }
  GH_ASSIGN_OR_RETURN(const std::string bytes, ReadInput(context, file));
  absl::StatusOr<certs::Bundle> bundle =
      certs::ReadBundle(bytes, [&] { return ReadFilePassword(context, password_stdin, file); });
  if (bundle.ok()) return bundle;
  return absl::Status(bundle.status().code(), absl::StrCat(EscapeText(file), ": ", bundle.status().message()));
}

std::string FolderOf(const std::string& file) {
  size_t slash = file.rfind('/');
  if (slash == std::string::npos) return "";
  return slash == 0 ? "/" : file.substr(0, slash);
}

absl::StatusOr<absl::Time> ParseTimeFlag(absl::string_view flag, const std::string& text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": not a time such as 2027-01-31T12:00:00Z: \"", EscapeText(text), "\""));
  }
  return time;
}

absl::StatusOr<absl::Duration> ParseDurationFlag(absl::string_view flag, const std::string& text) {
  absl::Duration duration;
  uint32_t days = 0;
  if (absl::EndsWith(text, "d") && absl::SimpleAtoi(absl::StripSuffix(text, "d"), &days)) {
    duration = absl::Hours(24) * days;
  } else if (!absl::ParseDuration(text, &duration)) {
    duration = absl::ZeroDuration();
  }
  if (duration <= absl::ZeroDuration() || duration > absl::Hours(24 * 36'500)) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": not a duration such as 10m, 36h or 7d: \"", EscapeText(text), "\""));
  }
  return duration;
}

absl::StatusOr<absl::Time> ParseTimeOrAgeFlag(absl::string_view flag, const std::string& text, absl::Time now) {
  if (absl::StatusOr<absl::Duration> age = ParseDurationFlag(flag, text); age.ok()) return now - *age;
  if (absl::StatusOr<absl::Time> time = ParseTimeFlag(flag, text); time.ok()) return time;
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": neither an age such as 10m or 7d nor a time such as 2027-01-31T12:00:00Z: \"", EscapeText(text), "\""));
}

}  // namespace gatehouse::cli
