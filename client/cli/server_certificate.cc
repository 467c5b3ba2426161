// server-certificate set: from PEM, from a PFX, or from files on the gateways.
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/mint.h"
#include "gateway/certs/server_credential.h"

namespace gatehouse::cli {
namespace {

// Checked here, so that a mistake is told before a key travels.
absl::StatusOr<certs::ServerCredentialRef> ReadCredential(Context& context, const ServerCertificateFlags& flags) {
  if (!flags.pfx.empty()) {
    if (flags.pfx == "-" && flags.password_stdin) {
      return absl::InvalidArgumentError("standard input cannot be both the file and its password");
    }
    GH_ASSIGN_OR_RETURN(std::string bytes, ReadInput(context, flags.pfx));
    const Secret pfx(std::move(bytes));
    GH_ASSIGN_OR_RETURN(const Secret password, ReadFilePassword(context, flags.password_stdin, flags.pfx));
    return certs::ServerCredential::FromPfx(flags.name, pfx.Reveal(), password);
  }
  GH_ASSIGN_OR_RETURN(const std::string chain, ReadInput(context, flags.chain));
  GH_ASSIGN_OR_RETURN(std::string text, ReadInput(context, flags.key));
  const Secret key(std::move(text));
  return certs::ServerCredential::FromPem(flags.name, chain, key.Reveal());
}

absl::Status Fill(Context& context, const ServerCertificateFlags& flags, v1::ServerCertificate* out, std::string* what) {
  if (!flags.chain_path.empty()) {
    out->mutable_files()->set_certificate_chain_path(flags.chain_path);
    out->mutable_files()->set_private_key_path(flags.key_path);
    *what = absl::StrCat("files on the gateways: ", EscapeText(flags.chain_path));
    return absl::OkStatus();
  }
  GH_ASSIGN_OR_RETURN(const certs::ServerCredentialRef credential, ReadCredential(context, flags));
  GH_ASSIGN_OR_RETURN(const Secret key, certs::KeyToPem(credential->key()));
  out->set_certificate_chain_pem(certs::ChainToPem(credential->chain()));
  out->set_private_key_pem(std::string(key.Reveal()));
  *what = absl::StrCat(EscapeText(credential->leaf().subject()), "   ",
                       ExpiryText(credential->leaf().not_after(), absl::Now()));
  return absl::OkStatus();
}

}  // namespace

int SetServerCertificate(Context& context, const ServerCertificateFlags& flags) {
  v1::Resource resource;
  std::string what;
  resource.mutable_server_certificate()->set_name(flags.name);
  absl::Status filled = Fill(context, flags, resource.mutable_server_certificate(), &what);
  if (!filled.ok()) return Fail(context, filled);
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::Resource> before = (*client)->Get(v1::SERVER_CERTIFICATE, flags.name);
  absl::StatusOr<v1::ChangeResponse> response = absl::UnknownError("");
  if (before.ok()) {
    resource.mutable_server_certificate()->set_etag(before->server_certificate().etag());
    response = (*client)->Update(resource, {"certificate_chain_pem", "private_key_pem", "files"}, flags.change.Options());
  } else if (absl::IsNotFound(before.status())) {
    response = (*client)->Create(resource, flags.change.Options());
  } else {
    response = before.status();
  }
  Secret wiped(std::move(*resource.mutable_server_certificate()->mutable_private_key_pem()));
  if (!response.ok()) return Fail(context, response.status());
  const Style style(context.color);
  context.out() << (before.ok() ? style.Yellow("~") : style.Green("+")) << " serverCertificates/" << EscapeText(flags.name)
                << "   " << what << "\n";
  return FinishChange(context, *response, flags.change);
}

}  // namespace gatehouse::cli
