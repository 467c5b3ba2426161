#include "client/cli/summary.h"

#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"
#include "client/cli/style.h"
#include "client/yaml/writer.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::cli {
namespace {

// The kinds of clauses in a condition, in order of their names.
std::set<std::string> AskedAbout(const v1::Condition& condition) {
  const google::protobuf::FieldDescriptor* kind =
      v1::Condition::GetReflection()->GetOneofFieldDescriptor(condition, v1::Condition::descriptor()->oneof_decl(0));
  if (kind == nullptr) return {};
  std::set<std::string> kinds;
  for (const v1::Conditions* list : {&condition.all_of(), &condition.any_of(), &condition.none_of()}) {
    for (const v1::Condition& one : list->conditions()) kinds.merge(AskedAbout(one));
  }
  if (kind->message_type() != v1::Conditions::descriptor()) kinds.insert(std::string(kind->name()));
  return kinds;
}

std::string Count(int n, absl::string_view noun, absl::string_view plural = "") {
  return absl::StrCat(n, " ", n == 1 ? std::string(noun)
                                     : plural.empty() ? absl::StrCat(noun, "s") : std::string(plural));
}

std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& list) {
  std::vector<std::string> escaped;
  for (const std::string& item : list) escaped.push_back(EscapeText(item));
  return absl::StrJoin(escaped, ", ");
}

std::string RouteSummary(const v1::Route& route) {
  std::string text;
  if (!route.match().hosts().empty()) absl::StrAppend(&text, Joined(route.match().hosts()), " ");
  absl::StrAppend(&text, EscapeText(route.match().path()));
  if (!route.match().methods().empty()) absl::StrAppend(&text, " [", Joined(route.match().methods()), "]");
  if (route.anonymous()) text += "  anonymous";
  const v1::Requirement& require = route.require();
  if (require.any_scheme()) text += "  any scheme";
  if (!require.any_of().empty()) absl::StrAppend(&text, "  any of ", Joined(require.any_of()));
  if (!require.all_of().empty()) absl::StrAppend(&text, "  all of ", Joined(require.all_of()));
  if (!require.policies().empty()) absl::StrAppend(&text, " + policies ", Joined(require.policies()));
  switch (route.action_case()) {
    case v1::Route::kFixedResponse:
      return absl::StrCat(text, "  -> fixed response");
    case v1::Route::kIdentityResponse:
      return absl::StrCat(text, "  -> identity");
    case v1::Route::kUpstream:
      return absl::StrCat(text, "  -> upstream ", EscapeText(route.upstream()));
    case v1::Route::kRedirect:
      return absl::StrCat(text, "  -> redirect ", EscapeText(route.redirect().location()));
    case v1::Route::ACTION_NOT_SET:
      break;
  }
  return text;
}

void AppendCertificates(absl::string_view what, const std::string& pem, absl::Time now, std::string& text) {
  absl::StatusOr<std::vector<certs::CertificateRef>> list = certs::Certificate::ListFromPem(pem);
  if (!list.ok()) {
    absl::StrAppend(&text, "  ", Padded(what, 14), EscapeText(list.status().message()), "\n");
    return;
  }
  for (const certs::CertificateRef& certificate : *list) {
    absl::StrAppend(&text, "  ", Padded(what, 14), EscapeText(certificate->subject()), "   SHA-256 ",
                    ShortDigest(HexLower(AsView(certificate->sha256())), 8), "   ",
                    ExpiryText(certificate->not_after(), now), "\n");
  }
}

}  // namespace

std::string Summary(const v1::Resource& resource) {
  switch (resource.kind_case()) {
    case v1::Resource::kListener:
      return absl::StrCat(EscapeText(resource.listener().address()), "  certificates ",
                          Joined(resource.listener().server_certificates()));
    case v1::Resource::kServerCertificate: {
      if (resource.server_certificate().has_files()) {
        return absl::StrCat("files on the gateway  ",
                            EscapeText(resource.server_certificate().files().certificate_chain_path()));
      }
      auto list = certs::Certificate::ListFromPem(resource.server_certificate().certificate_chain_pem());
      if (!list.ok()) return EscapeText(list.status().message());
      return absl::StrCat(EscapeText((*list)[0]->subject()), "  ", ExpiryText((*list)[0]->not_after(), absl::Now()));
    }
    case v1::Resource::kTrustStore:
      return absl::StrCat(Count(resource.trust_store().anchors_size(), "anchor"), ", ",
                          Count(resource.trust_store().pins_size(), "pin"), ", ",
                          Count(resource.trust_store().crls_size(), "CRL"),
                          resource.trust_store().system_roots() ? ", system roots" : "");
    case v1::Resource::kScheme:
      if (resource.scheme().has_basic()) {
        return absl::StrCat("basic  users of ", EscapeText(resource.scheme().basic().user_store()));
      }
      return absl::StrCat("client certificate  trust of ",
                          EscapeText(resource.scheme().client_certificate().trust_store()));
    case v1::Resource::kUserStore:
      return Count(resource.user_store().users_size(), "user");
    case v1::Resource::kPolicy:
      return absl::StrCat("asks about ", absl::StrJoin(AskedAbout(resource.policy().condition()), ", "));
    case v1::Resource::kUpstream:
      return Joined(resource.upstream().endpoints());
    case v1::Resource::kRoute:
      return RouteSummary(resource.route());
    case v1::Resource::kBinding: {
      std::string callers;
      for (const std::string& caller : resource.binding().callers()) absl::StrAppend(&callers, " ", EscapeText(caller));
      return absl::StrCat(v1::Role_Name(resource.binding().role()), " ", callers);
    }
    case v1::Resource::KIND_NOT_SET:
      break;
  }
  return "";
}

std::string CertificateLines(const v1::Resource& resource, absl::Time now) {
  std::string text;
  if (resource.has_trust_store()) {
    for (const v1::Pem& pem : resource.trust_store().anchors()) AppendCertificates("anchor", pem.pem(), now, text);
    for (const v1::Pem& pem : resource.trust_store().intermediates()) {
      AppendCertificates("intermediate", pem.pem(), now, text);
    }
    for (const v1::Pin& pin : resource.trust_store().pins()) {
      std::string note = pin.comment().empty() ? "" : absl::StrCat("   ", EscapeText(pin.comment()));
      if (!pin.pem().empty()) {
        AppendCertificates("pin", pin.pem(), now, text);
      } else if (!pin.certificate_sha256().empty()) {
        absl::StrAppend(&text, "  pin           certificate ", EscapeText(pin.certificate_sha256()), note, "\n");
      } else {
        absl::StrAppend(&text, "  pin           key ", EscapeText(pin.spki_sha256()), note, "\n");
      }
    }
  }
  if (resource.has_server_certificate() && !resource.server_certificate().has_files()) {
    AppendCertificates("certificate", resource.server_certificate().certificate_chain_pem(), now, text);
  }
  return text;
}

std::string FieldLines(const v1::Resource& resource) {
  v1::Resource rest = resource;
  if (rest.has_trust_store()) {
    rest.mutable_trust_store()->clear_anchors();
    rest.mutable_trust_store()->clear_intermediates();
    rest.mutable_trust_store()->clear_pins();
    rest.mutable_trust_store()->clear_crls();
  }
  if (rest.has_server_certificate()) rest.mutable_server_certificate()->clear_certificate_chain_pem();
  std::string yaml = client::ToYaml(rest);
  std::string indented;
  for (size_t at = 0; at < yaml.size();) {
    size_t end = yaml.find('\n', at);
    // YAML escapes control characters within quotes by itself; a backslash must not be doubled here.
    absl::StrAppend(&indented, "  ", yaml.substr(at, end - at), "\n");
    at = end + 1;
  }
  return indented;
}

int FinishChange(Context& context, uint64_t revision, const google::protobuf::RepeatedPtrField<v1::Violation>& warnings,
                 const v1::ForceStatus& force, const ChangeFlags& flags) {
  const Style style(context.error_color);
  for (const v1::Violation& warning : warnings) context.err() << WarningText(warning, style);
  context.out() << ForceText(revision, flags.wait, force);
  bool lags = flags.wait && force.in_force() < force.gateways();
  return lags ? kNotInForce : kOk;
}

}  // namespace gatehouse::cli
