// lockouts list, lockouts clear: whom gateways refuse for password guessing.
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/style.h"
#include "client/yaml/writer.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

v1::LockoutFilter FilterOf(const LockoutFlags& flags) {
  v1::LockoutFilter filter;
  filter.set_scheme(flags.scheme);
  filter.set_user(flags.user);
  filter.set_address(flags.address);
  return filter;
}

// Gateways whose part is missing: what is printed is not all there is.
bool TellOfErrors(Context& context, const google::protobuf::RepeatedPtrField<v1::LockoutGateway>& gateways) {
  bool any = false;
  for (const v1::LockoutGateway& gateway : gateways) {
    if (gateway.error().empty()) continue;
    any = true;
    context.err() << Style(context.error_color).Yellow("warning:") << " gateway " << EscapeText(gateway.gateway())
                  << " did not answer: " << EscapeText(gateway.error()) << "\n";
  }
  return any;
}

std::string Counted(uint64_t n, absl::string_view one, absl::string_view many) {
  return absl::StrCat(n, " ", n == 1 ? one : many);
}

}  // namespace

int ListLockouts(Context& context, const LockoutFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  v1::ListLockoutsRequest request;
  *request.mutable_filter() = FilterOf(flags);
  request.set_all(flags.all);
  request.set_gateway(flags.gateway);
  absl::StatusOr<v1::ListLockoutsResponse> listed = (*client)->ListLockouts(request);
  if (!listed.ok()) return Fail(context, listed.status());
  switch (flags.output) {
    case Output::kName:
    case Output::kTable:
      context.out() << LockoutsText(*listed, absl::Now(), Style(context.color));
      break;
    case Output::kYaml:
      context.out() << client::MessageYaml(*listed);
      break;
    case Output::kJson:
      if (const int code = PrintJson(context, *listed); code != kOk) return code;
      break;
  }
  return TellOfErrors(context, listed->gateways()) ? kUnavailable : kOk;
}

int ClearLockouts(Context& context, const LockoutFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  v1::ClearLockoutsRequest request;
  *request.mutable_filter() = FilterOf(flags);
  request.set_all(flags.all);
  request.set_gateway(flags.gateway);
  absl::StatusOr<v1::ClearLockoutsResponse> cleared = (*client)->ClearLockouts(request);
  if (!cleared.ok()) return Fail(context, cleared.status());
  switch (flags.output) {
    case Output::kName:
    case Output::kTable:
      context.out() << Counted(cleared->cleared(), "entry", "entries") << " cleared on "
                    << Counted(static_cast<uint64_t>(cleared->gateways_size()), "gateway", "gateways") << "\n";
      break;
    case Output::kYaml:
      context.out() << client::MessageYaml(*cleared);
      break;
    case Output::kJson:
      if (const int code = PrintJson(context, *cleared); code != kOk) return code;
      break;
  }
  return TellOfErrors(context, cleared->gateways()) ? kUnavailable : kOk;
}

}  // namespace gatehouse::cli
