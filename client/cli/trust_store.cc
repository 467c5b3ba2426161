// trust-store add-cert, remove-cert: read, change, write back under the etag; once more when somebody was faster.
#include <functional>
#include <optional>
#include <ostream>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/mint.h"

namespace gatehouse::cli {
namespace {

constexpr int kAttempts = 4;

std::string Sha256Of(const certs::Certificate& certificate) { return HexLower(AsView(certificate.sha256())); }

// Lower-case hex without colons; empty when it is no SHA-256.
std::string Normalized(absl::string_view digest) {
  std::string hex;
  for (char c : digest) {
    if (c == ':') continue;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return "";
    hex += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return hex.size() == 64 ? hex : "";
}

absl::StatusOr<std::vector<certs::CertificateRef>> Certificates(Context& context,
                                                                const std::vector<std::string>& files) {
  std::vector<certs::CertificateRef> all;
  for (const std::string& file : files) {
    GH_ASSIGN_OR_RETURN(std::string pem, ReadInput(context, file));
    absl::StatusOr<std::vector<certs::CertificateRef>> list = certs::Certificate::ListFromPem(pem);
    if (!list.ok()) return absl::InvalidArgumentError(absl::StrCat(file, ": ", list.status().message()));
    all.insert(all.end(), list->begin(), list->end());
  }
  return all;
}

// Edit changes a trust store and returns the fields that it changed and a text about it; no field: nothing to do.
struct Edited {
  std::vector<std::string> fields;
  std::string text;
};
using Edit = std::function<absl::StatusOr<Edited>(v1::TrustStore&)>;

int Change(Context& context, const TrustStoreFlags& flags, const Edit& edit) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::Status conflict;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    absl::StatusOr<v1::Resource> resource = (*client)->Get(v1::TRUST_STORE, flags.name);
    if (!resource.ok()) return Fail(context, resource.status());
    absl::StatusOr<Edited> edited = edit(*resource->mutable_trust_store());
    if (!edited.ok()) return Fail(context, edited.status());
    if (edited->fields.empty()) {
      context.out() << "nothing to change: " << edited->text << "\n";
      return kOk;
    }
    absl::StatusOr<v1::ChangeResponse> response =
        (*client)->Update(*resource, edited->fields, flags.change.Options());
    if (response.ok()) {
      context.out() << edited->text;
      return FinishChange(context, *response, flags.change);
    }
    if (!absl::IsAborted(response.status())) return Fail(context, response.status());
    conflict = response.status();
  }
  return Fail(context, conflict);
}

bool HasAnchor(const v1::TrustStore& store, const std::string& sha256) {
  for (const v1::Pem& anchor : store.anchors()) {
    auto list = certs::Certificate::ListFromPem(anchor.pem());
    if (!list.ok()) continue;
    for (const auto& certificate : *list) {
      if (Sha256Of(*certificate) == sha256) return true;
    }
  }
  return false;
}

// The digest of the certificate that a pin names; empty for a pin of a key.
std::string PinnedCertificate(const v1::Pin& pin) {
  if (pin.kind_case() == v1::Pin::kCertificateSha256) return Normalized(pin.certificate_sha256());
  if (pin.kind_case() != v1::Pin::kPem) return "";
  auto list = certs::Certificate::ListFromPem(pin.pem());
  return list.ok() ? Sha256Of(*list->front()) : "";
}

}  // namespace

int AddCertificates(Context& context, const TrustStoreFlags& flags) {
  absl::StatusOr<std::vector<certs::CertificateRef>> certificates = Certificates(context, flags.files);
  if (!certificates.ok()) return Fail(context, certificates.status());
  const bool pin = flags.as == "pin";
  const Style style(context.color);
  const absl::Time now = absl::Now();
  return Change(context, flags, [&](v1::TrustStore& store) -> absl::StatusOr<Edited> {
    Edited edited;
    std::set<std::string> pinned;
    for (const v1::Pin& existing : store.pins()) pinned.insert(PinnedCertificate(existing));
    for (const certs::CertificateRef& certificate : *certificates) {
      const std::string sha256 = Sha256Of(*certificate);
      if (pin ? !pinned.insert(sha256).second : HasAnchor(store, sha256)) continue;
      const std::string pem = certs::ChainToPem({&certificate, 1});
      if (pin) {
        v1::Pin& added = *store.add_pins();
        added.set_pem(pem);
        added.set_comment(flags.comment);
      } else {
        store.add_anchors()->set_pem(pem);
      }
      absl::StrAppend(&edited.text, style.Green("+"), " trustStores/", EscapeText(flags.name), "   ", flags.as, " ",
                      EscapeText(certificate->subject()), "   ", ExpiryText(certificate->not_after(), now), "\n");
    }
    if (edited.text.empty()) {
      edited.text = absl::StrCat("every one of them is ", pin ? "pinned" : "an anchor", " already");
    } else {
      edited.fields = {pin ? "pins" : "anchors"};
    }
    return edited;
  });
}

int RemoveCertificates(Context& context, const TrustStoreFlags& flags) {
  absl::StatusOr<std::vector<certs::CertificateRef>> certificates = Certificates(context, flags.files);
  if (!certificates.ok()) return Fail(context, certificates.status());
  std::set<std::string> gone;
  for (const auto& certificate : *certificates) gone.insert(Sha256Of(*certificate));
  for (const std::string& digest : flags.sha256) {
    if (Normalized(digest).empty()) {
      Fail(context, absl::InvalidArgumentError(absl::StrCat("--sha256: not 64 hex digits: \"", digest, "\"")));
      return kUsage;
    }
    gone.insert(Normalized(digest));
  }
  const Style style(context.color);
  return Change(context, flags, [&](v1::TrustStore& store) -> absl::StatusOr<Edited> {
    Edited edited;
    std::set<std::string> missing = gone;
    std::set<std::string> fields;
    auto removed = [&](const char* as, const std::string& what, const std::string& sha256) {
      fields.insert(absl::StrCat(as, "s"));
      missing.erase(sha256);
      absl::StrAppend(&edited.text, style.Red("-"), " trustStores/", EscapeText(flags.name), "   ", as, " ", what,
                      "\n");
    };
    v1::TrustStore kept = store;
    kept.clear_anchors();
    kept.clear_pins();
    for (const v1::Pem& anchor : store.anchors()) {
      auto list = certs::Certificate::ListFromPem(anchor.pem());
      if (!list.ok()) return list.status();
      std::vector<certs::CertificateRef> rest;
      for (const auto& certificate : *list) {
        if (gone.count(Sha256Of(*certificate)) == 0) {
          rest.push_back(certificate);
        } else {
          removed("anchor", EscapeText(certificate->subject()), Sha256Of(*certificate));
        }
      }
      // An entry may be a bundle: only what was asked for goes.
      if (rest.size() == list->size()) {
        *kept.add_anchors() = anchor;
      } else if (!rest.empty()) {
        kept.add_anchors()->set_pem(certs::ChainToPem(rest));
      }
    }
    for (const v1::Pin& pin : store.pins()) {
      std::string sha256 = PinnedCertificate(pin);
      std::string key = pin.kind_case() == v1::Pin::kSpkiSha256 ? Normalized(pin.spki_sha256()) : "";
      if (!sha256.empty() && gone.count(sha256) > 0) {
        removed("pin", absl::StrCat("certificate ", ShortDigest(sha256, 8)), sha256);
      } else if (!key.empty() && gone.count(key) > 0) {
        removed("pin", absl::StrCat("key ", ShortDigest(key, 8)), key);
      } else {
        *kept.add_pins() = pin;
      }
    }
    if (!missing.empty()) {
      return absl::NotFoundError(absl::StrCat("trustStores/", flags.name, " has no certificate with SHA-256 ",
                                              *missing.begin()));
    }
    edited.fields.assign(fields.begin(), fields.end());
    store = std::move(kept);
    return edited;
  });
}

}  // namespace gatehouse::cli
