// What commands read: files and passwords.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/context.h"
#include "gateway/certs/bundle.h"

namespace gatehouse::cli {

// ReadInput returns a file's content, or standard input for "-". RESOURCE_EXHAUSTED: it is longer.
inline constexpr size_t kMaxInputBytes = size_t{128} << 20;
absl::StatusOr<std::string> ReadInput(Context& context, const std::string& file, size_t max_bytes = kMaxInputBytes);
// ReadPassword reads one line of standard input, or asks twice at the terminal. Never from the command line, where
// `ps` and the shell's history would show it.
absl::StatusOr<Secret> ReadPassword(Context& context, bool from_stdin, const std::string& prompt);
// ReadBundleFile reads the certificates of a PEM, DER, PKCS#7 or PFX file. The password of a PFX is asked for once at the
// terminal, or is the first line of standard input; it may be empty. Private keys are not read.
absl::StatusOr<certs::Bundle> ReadBundleFile(Context& context, const std::string& file, bool password_stdin);
// The password of a file that is there.
absl::StatusOr<Secret> ReadFilePassword(Context& context, bool from_stdin, const std::string& file);
// Folder of a file name, "" for one without a slash and for "-".
std::string FolderOf(const std::string& file);
// RFC 3339.
absl::StatusOr<absl::Time> ParseTimeFlag(absl::string_view flag, const std::string& text);
// A time, or an age: `10m`, `36h` or `7d` before `now`.
absl::StatusOr<absl::Time> ParseTimeOrAgeFlag(absl::string_view flag, const std::string& text, absl::Time now);
// `10m`, `36h` or `7d`; more than nothing.
absl::StatusOr<absl::Duration> ParseDurationFlag(absl::string_view flag, const std::string& text);

}  // namespace gatehouse::cli
