// cert new, cert show.
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/output.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/mint.h"
#include "gateway/certs/path.h"
#include "gateway/certs/show.h"

namespace gatehouse::cli {
namespace {

absl::Status Invalid(absl::string_view flag, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", message));
}

absl::StatusOr<certs::San> ParseSan(const std::string& text) {
  size_t colon = text.find(':');
  absl::string_view kind = absl::string_view(text).substr(0, colon);
  using certs::SanKind;
  for (SanKind known : {SanKind::kDns, SanKind::kEmail, SanKind::kUri, SanKind::kIp, SanKind::kUpn}) {
    if (colon != std::string::npos && kind == certs::SanKindName(known) && colon + 1 < text.size()) {
      return certs::San{known, text.substr(colon + 1)};
    }
  }
  return Invalid("--san", absl::StrCat("not dns:…, email:…, uri:…, ip:… or upn:…: \"", EscapeText(text), "\""));
}

absl::StatusOr<certs::MintRequest> RequestOf(const MintFlags& flags, absl::Time now) {
  certs::MintRequest request;
  int days = flags.days;
  bool ca = false;
  if (flags.profile == "self-signed") {
    request.profile = certs::Profile::kSelfSigned;
    if (days == 0) days = 365;
  } else if (flags.profile == "ca") {
    request.profile = certs::Profile::kCa;
    ca = true;
    if (days == 0) days = 3650;
  } else if (flags.profile == "intermediate") {
    request.profile = certs::Profile::kIntermediate;
    ca = true;
    if (days == 0) days = 1825;
  } else {
    request.profile = certs::Profile::kLeaf;
    if (days == 0) days = 90;
  }
  if (days < 1 || days > 36500) return Invalid("--days", "must be 1 to 36,500");
  if (ca && !flags.eku.empty()) return Invalid("--eku", "is for leaves");
  std::string eku = flags.eku.empty() ? "client" : flags.eku;
  request.client_use = eku == "client" || eku == "both";
  request.server_use = eku == "server" || eku == "both";
  request.subject = flags.subject;
  for (const std::string& text : flags.sans) {
    GH_ASSIGN_OR_RETURN(certs::San san, ParseSan(text));
    request.sans.push_back(std::move(san));
  }
  // Clocks differ a little; a certificate that is not valid yet on the next machine is a riddle.
  request.not_before = absl::FromUnixSeconds(absl::ToUnixSeconds(now) - 300);
  request.not_after = absl::FromUnixSeconds(absl::ToUnixSeconds(now)) + absl::Hours(24) * days;
  return request;
}

struct Issuer {
  std::vector<certs::CertificateRef> chain;
  UniqueKey key;
};

absl::StatusOr<Issuer> ReadIssuer(Context& context, const MintFlags& flags) {
  if (flags.issuer_certificate.empty()) return Invalid("--ca", "is required: the PEM file of the issuer");
  if (flags.issuer_key.empty()) return Invalid("--ca-key", "is required: the PEM file of the issuer's key");
  Issuer issuer;
  GH_ASSIGN_OR_RETURN(std::string pem, ReadInput(context, flags.issuer_certificate));
  absl::StatusOr<std::vector<certs::CertificateRef>> chain = certs::Certificate::ListFromPem(pem);
  if (!chain.ok()) return Invalid(flags.issuer_certificate, chain.status().message());
  issuer.chain = *std::move(chain);
  GH_ASSIGN_OR_RETURN(std::string key_text, ReadInput(context, flags.issuer_key));
  Secret key_pem(std::move(key_text));
  absl::StatusOr<UniqueKey> key = certs::KeyFromPem(key_pem.Reveal());
  if (!key.ok()) return Invalid(flags.issuer_key, key.status().message());
  issuer.key = *std::move(key);
  if (EVP_PKEY_eq(issuer.chain[0]->key(), issuer.key.get()) != 1) {
    TakeOpenSslError();
    return Invalid("--ca-key", absl::StrCat(flags.issuer_key, " is not the key of ", flags.issuer_certificate));
  }
  return issuer;
}

// It would be refused everywhere, and the gateway's reason is far away.
absl::Status CheckAccepted(const certs::CertificateRef& made, const Issuer& issuer, Context& context) {
  const auto refused = [](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("no gateway would accept it: ", EscapeText(why)));
  };
  if (!made->defect().empty()) return refused(made->defect());
  if (issuer.chain.empty()) return absl::OkStatus();
  const certs::CertificateRef& authority = issuer.chain[0];
  certs::Strength strength;  // a scheme may ask for less
  strength.min_rsa_bits = strength.min_ec_bits = 0;
  const certs::PolicyOptions policy;
  certs::Work work;
  const certs::Finding found = certs::PathVerifier(strength, policy, &work).Verify({made, authority});
  if (!found.ok()) return refused(absl::StrCat(found.certificate == authority ? "--ca: " : "", found.detail));
  if (made->is_ca() && authority->extensions().path_length == 0) return refused("--ca: allows no authority below it");
  if (authority->not_after() < made->not_after()) {
    context.err() << "note: its authority expires before it does, at "
                  << absl::FormatTime(absl::RFC3339_sec, authority->not_after(), absl::UTCTimeZone()) << "\n";
  }
  return absl::OkStatus();
}

absl::Status Mint(Context& context, const MintFlags& flags) {
  const absl::Time now = absl::Now();
  if (flags.out.empty() && flags.pfx_out.empty()) return Invalid("--out", "or --pfx says where the certificate goes");
  if (!flags.out.empty() && flags.key_out.empty()) return Invalid("--key-out", "says where the private key goes");
  GH_ASSIGN_OR_RETURN(certs::MintRequest request, RequestOf(flags, now));
  GH_ASSIGN_OR_RETURN(certs::KeyType key_type, certs::ParseKeyType(flags.key_type));
  const bool signed_by_another =
      request.profile == certs::Profile::kLeaf || request.profile == certs::Profile::kIntermediate;
  Issuer issuer;
  std::optional<certs::Signer> signer;
  if (signed_by_another) {
    GH_ASSIGN_OR_RETURN(issuer, ReadIssuer(context, flags));
    signer = certs::Signer{issuer.chain[0].get(), issuer.key.get()};
  } else if (!flags.issuer_certificate.empty() || !flags.issuer_key.empty()) {
    return Invalid("--ca", absl::StrCat("a ", flags.profile, " certificate signs itself"));
  }
  Secret password;
  if (!flags.pfx_out.empty()) {
    if (!flags.pfx_password_file.empty()) {
      GH_ASSIGN_OR_RETURN(std::string text, ReadInput(context, flags.pfx_password_file));
      text.resize(std::min(text.find_first_of("\r\n"), text.size()));
      password = Secret(std::move(text));
      if (password.empty()) return Invalid("--pfx-password-file", "is empty");
    } else {
      GH_ASSIGN_OR_RETURN(password, ReadPassword(context, flags.pfx_password_stdin, "password of the PFX file"));
    }
  }

  GH_ASSIGN_OR_RETURN(UniqueKey key, certs::MintKey(key_type));
  GH_ASSIGN_OR_RETURN(certs::CertificateRef certificate, certs::Mint(request, key.get(), signer));
  GH_RETURN_IF_ERROR(CheckAccepted(certificate, issuer, context));
  // What a client must send: its own and the intermediates, not the root.
  std::vector<certs::CertificateRef> chain = {certificate};
  for (const certs::CertificateRef& link : issuer.chain) {
    if (!link->self_signed()) chain.push_back(link);
  }
  GH_ASSIGN_OR_RETURN(Secret key_pem, certs::KeyToPem(key.get()));
  const std::string chain_pem = certs::ChainToPem(chain);
  std::string pfx;
  std::vector<OutputFile> files;
  if (!flags.key_out.empty()) files.push_back({flags.key_out, key_pem.Reveal(), true});
  if (!flags.out.empty()) files.push_back({flags.out, chain_pem, false});
  if (!flags.pfx_out.empty()) {
    GH_ASSIGN_OR_RETURN(pfx, certs::ToPfx(key.get(), chain, password, certificate->subject()));
    files.push_back({flags.pfx_out, pfx, true});
  }
  GH_RETURN_IF_ERROR(WriteFiles(files, flags.force));
  context.out() << certs::ShowText(*certificate, now);
  for (const std::string* file : {&flags.out, &flags.key_out, &flags.pfx_out}) {
    if (!file->empty()) context.out() << "wrote " << EscapeText(*file) << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

int NewCertificate(Context& context, const MintFlags& flags) {
  absl::Status status = Mint(context, flags);
  return status.ok() ? kOk : Fail(context, status);
}

int ShowCertificates(Context& context, const ShowFlags& flags) {
  bool first = true;
  for (const std::string& file : flags.files) {
    absl::StatusOr<certs::Bundle> bundle = ReadBundleFile(context, file, flags.password_stdin);
    if (!bundle.ok()) return Fail(context, bundle.status());
    if (bundle->certificates.empty()) return Fail(context, Invalid(EscapeText(file), "holds no certificate"));
    for (const certs::CertificateRef& certificate : bundle->certificates) {
      if (!std::exchange(first, false)) context.out() << "\n";
      context.out() << certs::ShowText(*certificate, absl::Now());
    }
  }
  return kOk;
}

}  // namespace gatehouse::cli
