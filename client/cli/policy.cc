// policy test, user explain.
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/yaml/reader.h"
#include "client/yaml/tree.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/mint.h"

namespace gatehouse::cli {
namespace {

constexpr size_t kMaxNodes = 100'000;
constexpr int kMaxDepth = 10;

absl::Status Wrong(const std::string& file, const client::TreeNode& at, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(EscapeText(file), ":", at.line, ":", at.column, ": ", message));
}

absl::Status ReadClaim(const std::string& file, const client::TreeNode& node, v1::TestPolicyRequest* request) {
  using Kind = client::TreeNode::Kind;
  if (node.kind != Kind::kMap) return Wrong(file, node, "expected a claim: {type: …, value: …}");
  v1::TestClaim* claim = request->add_claims();
  for (size_t i = 0; i < node.keys.size(); ++i) {
    const std::string& key = node.keys[i]->text;
    const client::TreeNode& value = *node.items[i];
    if (value.kind != Kind::kScalar) return Wrong(file, value, absl::StrCat(EscapeText(key), ": must be a single value"));
    if (key == "type") {
      claim->set_type(value.text);
    } else if (key == "value") {
      claim->set_value(value.text);
    } else if (key == "issuer") {
      claim->set_issuer(value.text);
    } else if (key == "scheme") {
      claim->set_scheme(value.text);
    } else {
      return Wrong(file, *node.keys[i],
                   absl::StrCat("unknown field \"", EscapeText(key), "\"; there are type, value, issuer, scheme"));
    }
  }
  if (claim->type().empty()) return Wrong(file, node, "`type` is required");
  return absl::OkStatus();
}

// A list of claims, or anything with one under `claims`, as an identity response has it.
absl::Status ReadClaims(Context& context, const std::string& file, v1::TestPolicyRequest* request) {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadInput(context, file));
  const client::Tree tree = client::ParseTree(text, kMaxNodes, kMaxDepth);
  if (!tree.errors.empty()) {
    client::TreeNode at;
    at.line = tree.errors[0].line, at.column = tree.errors[0].column;
    return Wrong(file, at, tree.errors[0].message);
  }
  for (const client::TreeRef& document : tree.documents) {
    client::TreeRef list = document;
    if (list->kind == client::TreeNode::Kind::kMap) {
      for (size_t i = 0; i < document->keys.size(); ++i) {
        if (document->keys[i]->text == "claims") list = document->items[i];
      }
    }
    if (list->kind == client::TreeNode::Kind::kNull) continue;
    if (list->kind != client::TreeNode::Kind::kList) return Wrong(file, *list, "expected a list of claims");
    for (const client::TreeRef& item : list->items) GH_RETURN_IF_ERROR(ReadClaim(file, *item, request));
  }
  return absl::OkStatus();
}

// The policies of a file; what else is in it is left alone.
absl::Status ReadPolicies(Context& context, const std::string& file, v1::TestPolicyRequest* request) {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadInput(context, file));
  client::Reader reader;
  reader.Read(text, file, FolderOf(file));
  if (!reader.problems().empty()) return absl::InvalidArgumentError(reader.problems()[0].ToString());
  if (reader.set().policies().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(EscapeText(file), " holds no policy"));
  }
  *request->mutable_policies() = reader.set().policies();
  return absl::OkStatus();
}

absl::StatusOr<v1::TestPolicyRequest> RequestOf(Context& context, const PolicyTestFlags& flags) {
  v1::TestPolicyRequest request;
  request.set_policy(flags.name);
  if (!flags.file.empty()) {
    GH_RETURN_IF_ERROR(ReadPolicies(context, flags.file, &request));
    if (flags.name.empty() && request.policies_size() == 1) request.set_policy(request.policies(0).name());
  }
  if (request.policy().empty()) {
    return absl::InvalidArgumentError(flags.file.empty() ? "say which policy: its name, or --file with one"
                                                         : "the file holds several policies: name the one to test");
  }
  if (!flags.claims.empty()) GH_RETURN_IF_ERROR(ReadClaims(context, flags.claims, &request));
  if (!flags.certificate.empty()) {
    GH_ASSIGN_OR_RETURN(const certs::Bundle bundle, ReadBundleFile(context, flags.certificate, false));
    if (bundle.certificates.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(EscapeText(flags.certificate), " holds no certificate"));
    }
    request.set_certificate_pem(bundle.certificates.front()->ToPem());
    request.set_certificate_scheme(flags.certificate_scheme);
  }
  request.set_address(flags.address);
  if (!flags.time.empty()) {
    GH_ASSIGN_OR_RETURN(const absl::Time at, ParseTimeFlag("--time", flags.time));
    request.mutable_at()->set_seconds(absl::ToUnixSeconds(at));
  }
  return request;
}

}  // namespace

int TestPolicy(Context& context, const PolicyTestFlags& flags) {
  absl::StatusOr<v1::TestPolicyRequest> request = RequestOf(context, flags);
  if (!request.ok()) {
    Fail(context, request.status());
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::TestPolicyResponse> response = (*client)->TestPolicy(*request);
  if (!response.ok()) {
    // 1 is the answer "not met": what could not be answered has another code.
    const int code = Fail(context, response.status());
    return code == kRefused ? static_cast<int>(kUsage) : code;
  }
  const bool met = response->verdict().outcome() == v1::MET;
  if (flags.output == Output::kJson) {
    const int code = PrintJson(context, *response);
    return code == kOk && !met ? kRefused : code;
  }
  context.out() << VerdictText(response->verdict(), Style(context.color));
  return met ? kOk : kRefused;
}

int ExplainUser(Context& context, const UserExplainFlags& flags) {
  const size_t slash = flags.user.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == flags.user.size()) {
    Fail(context, absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(flags.user), "\" is not STORE/USER")));
    return kUsage;
  }
  v1::ExplainRequest request;
  request.set_user_store(flags.user.substr(0, slash));
  request.set_user(flags.user.substr(slash + 1));
  request.set_route(flags.route);
  request.set_address(flags.address);
  request.set_gateway(flags.gateway);
  if (!flags.time.empty()) {
    absl::StatusOr<absl::Time> at = ParseTimeFlag("--time", flags.time);
    if (!at.ok()) {
      Fail(context, at.status());
      return kUsage;
    }
    request.mutable_at()->set_seconds(absl::ToUnixSeconds(*at));
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::ExplainResponse> response = (*client)->Explain(request);
  if (!response.ok()) return Fail(context, response.status());
  const bool let_in = response->access().status() == 200;
  if (flags.output == Output::kJson) {
    const int code = PrintJson(context, *response);
    return code == kOk && !let_in ? kRefused : code;
  }
  const Style style(context.color);
  context.out() << AccessText(response->access(), style) << "verdict: " << AccessVerdictText(response->access(), style) << ".\n"
                << style.Dim(absl::StrCat("judged by gateway ", EscapeText(response->gateway()), " at revision ",
                                          response->revision()))
                << "\n";
  return let_in ? kOk : kRefused;
}

}  // namespace gatehouse::cli
