// What a route does besides asking for proof and answering: redirects, rewriting, fields of the answer, limits, events and
// its log.
#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "gateway/base/escape.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

constexpr size_t kMaxHeaders = 100;
constexpr size_t kMaxHeaderName = 64;
constexpr size_t kMaxHeaderValue = 8 * 1024;
constexpr size_t kMaxLogPath = 4000;
constexpr uint32_t kMaxSampling = 1'000'000;

// RFC 9110 section 5.6.2.
bool IsToken(absl::string_view name) {
  return !name.empty() && absl::c_all_of(name, [](unsigned char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-.^_`|~", static_cast<char>(c));
  });
}

// RFC 9110 section 5.5, without obs-text.
bool IsFieldText(absl::string_view value) {
  if (!value.empty() && (value.front() == ' ' || value.back() == ' ')) return false;
  return absl::c_all_of(value, [](unsigned char c) { return c >= 0x20 && c < 0x7F; });
}

// Empty: a route may change it.
absl::string_view HeaderProblem(absl::string_view name, const Route& route) {
  if (!IsToken(name)) return "is no header name (RFC 9110 token)";
  if (name.size() > kMaxHeaderName) return "is over 64 bytes";
  static const auto* const framing = new absl::flat_hash_set<absl::string_view>{
      "connection", "content-length", "date", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"};
  if (framing->contains(name)) return "belongs to the connection and to the framing of the answer";
  if (name == "location" && route.action == Action::kRedirect) return "is what `redirect` says";
  return "";
}

void ReadResponseHeaders(Draft& draft, const std::string& path, const v1::ResponseHeaders& v, Route* route) {
  auto headers = std::make_shared<ResponseHeaders>();
  if (v.set().empty() && v.remove().empty()) draft.Violate(path, "changes nothing: give `set` or `remove`");
  if (v.set_size() > static_cast<int>(kMaxHeaders)) draft.Violate(path + ".set", "are over ", kMaxHeaders);
  if (v.remove_size() > static_cast<int>(kMaxHeaders)) draft.Violate(path + ".remove", "are over ", kMaxHeaders);
  absl::flat_hash_set<std::string> seen;
  for (const auto& [given, value] : v.set()) {
    const std::string here = absl::StrCat(path, ".", PathOf("set", given));
    std::string name = absl::AsciiStrToLower(given);
    if (absl::string_view problem = HeaderProblem(name, *route); !problem.empty()) draft.Violate(here, problem);
    if (!IsFieldText(value) || value.size() > kMaxHeaderValue) {
      draft.Violate(here, "must be visible ASCII and inner spaces, at most ", kMaxHeaderValue, " bytes");
    }
    if (!seen.insert(name).second) draft.Violate(here, "is there twice, in another case");
    headers->set.emplace_back(std::move(name), value);
  }
  absl::c_sort(headers->set);
  seen.clear();
  for (int i = 0; i < v.remove_size(); ++i) {
    const std::string here = absl::StrCat(path, ".remove[", i, "]");
    std::string name = absl::AsciiStrToLower(v.remove(i));
    if (absl::string_view problem = HeaderProblem(name, *route); !problem.empty()) {
      draft.Violate(here, "\"", EscapeText(v.remove(i)), "\" ", problem);
    }
    if (!seen.insert(name).second) draft.Violate(here, "\"", EscapeText(v.remove(i)), "\" is there twice");
    headers->remove.push_back(std::move(name));
  }
  route->response_headers = std::move(headers);
}

void ReadRewrite(Draft& draft, const std::string& path, const v1::Rewrite& v, Route* route) {
  if (v.prefix().empty() && v.host().empty()) draft.Violate(path, "changes nothing: give `prefix` or `host`");
  if (route->path.text.empty()) return;  // its own violation says why
  absl::StatusOr<Rewrite> rewrite = Rewrite::ParsePrefix(v.prefix(), route->path);
  if (!rewrite.ok()) return draft.Violate(path + ".prefix", rewrite.status().message());
  if (!v.host().empty()) {
    if (absl::Status status = Rewrite::CheckHost(v.host()); !status.ok()) draft.Violate(path + ".host", status.message());
    rewrite->set_host(v.host());
  }
  route->rewrite = std::make_shared<const Rewrite>(*std::move(rewrite));
}

void ReadEvents(Draft& draft, const std::string& path, const v1::EventPolicy& v, Route* route) {
  route->events.sample_one_in =
      static_cast<uint32_t>(ReadNumber(draft, v.sample_one_in(), path + ".sample_one_in", 1, 1, kMaxSampling));
  if (!v1::EventPolicy::OnLoss_IsValid(v.on_loss())) {
    draft.Violate(path + ".on_loss", "unknown value ", static_cast<int>(v.on_loss()));
  }
  route->events.refuse_on_loss = v.on_loss() == v1::EventPolicy::REFUSE;
  if (route->events.refuse_on_loss && v.sample_one_in() > 1) {
    draft.Violate(path + ".on_loss", "REFUSE wants every request told, and sample_one_in leaves some out");
  }
}

}  // namespace

void ReadRedirect(Draft& draft, const std::string& path, const v1::Redirect& v, Route* route) {
  route->action = Action::kRedirect;
  const int status = v.status() == 0 ? 302 : static_cast<int>(v.status());
  static const auto* const known = new absl::flat_hash_set<int>{301, 302, 303, 307, 308};
  if (!known->contains(status)) draft.Violate(path + ".status", v.status(), " is none of 301, 302, 303, 307 and 308");
  if (route->path.text.empty()) return;  // its own violation says why
  absl::StatusOr<Redirect> redirect = Redirect::Parse(status, v.location(), v.keep_query(), route->path);
  if (!redirect.ok()) return draft.Violate(path + ".location", redirect.status().message());
  route->redirect = std::make_shared<const Redirect>(*std::move(redirect));
}

AccessLogRef ReadAccessLog(Draft& draft, const std::string& path, const v1::AccessLog& v, bool of_route) {
  auto log = std::make_shared<AccessLog>();
  switch (v.format()) {
    case v1::AccessLog::FORMAT_UNSPECIFIED:
    case v1::AccessLog::JSON: break;
    case v1::AccessLog::COMBINED: log->format = AccessLog::Format::kCombined; break;
    default: draft.Violate(path + ".format", "unknown value ", static_cast<int>(v.format()));
  }
  log->file = v.file();
  // The gateway appends to it whatever an editor of the configuration names, and callers choose what: never to a file that
  // some other program obeys.
  const auto wrong = [&](absl::string_view why) {
    draft.Violate(path + ".file", "\"", EscapeText(v.file().substr(0, 200)), "\" ", why);
  };
  if (!v.file().empty()) {
    if (v.file().front() != '/' || v.file().size() > kMaxLogPath || absl::StrContains(v.file(), "/../") ||
        !IsValidUtf8(v.file()) || absl::c_any_of(v.file(), [](unsigned char c) { return c < 0x20 || c == 0x7F; })) {
      wrong("is no absolute path without `..` and control characters");
    } else if (!absl::EndsWith(v.file(), ".log") || absl::EndsWith(v.file(), "/.log")) {
      wrong("must end in .log, so that no log is written over what is none");
    }
  }
  log->sample_one_in =
      static_cast<uint32_t>(ReadNumber(draft, v.sample_one_in(), path + ".sample_one_in", 1, 1, kMaxSampling));
  log->off = v.off();
  if (v.off() && !of_route) {
    draft.Violate(path + ".off", "is for routes whose listener logs; a listener without access_log logs nothing");
  } else if (v.off() && (v.format() != 0 || !v.file().empty() || v.sample_one_in() != 0)) {
    draft.Violate(path + ".off", "is given with how to log");
  }
  return log;
}

void ReadRouteExtras(Draft& draft, const std::string& path, const v1::Route& v, Route* route) {
  if (v.has_rewrite()) {
    if (route->action == Action::kUpstream) {
      ReadRewrite(draft, path + ".rewrite", v.rewrite(), route);
    } else if (v.action_case() != v1::Route::ACTION_NOT_SET) {
      draft.Violate(path + ".rewrite", "is only for routes with an upstream");
    }
  }
  if (v.has_response_headers()) ReadResponseHeaders(draft, path + ".response_headers", v.response_headers(), route);
  if (v.max_body_bytes() != 0) route->max_body_bytes = v.max_body_bytes();
  if (v.has_events()) ReadEvents(draft, path + ".events", v.events(), route);
  if (v.has_access_log()) route->access_log = ReadAccessLog(draft, path + ".access_log", v.access_log(), true);
}

}  // namespace gatehouse::config
