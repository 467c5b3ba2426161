// trust-store …: read, change, write back under the etag; once more when somebody was faster.
#include <functional>
#include <map>
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
#include "gateway/certs/bundle.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/mint.h"

namespace gatehouse::cli {
namespace {

constexpr int kAttempts = 4;

using Pems = google::protobuf::RepeatedPtrField<v1::Pem>;

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

// What the files hold; private keys stay where they are.
absl::StatusOr<certs::Bundle> Read(Context& context, const std::vector<std::string>& files, bool password_stdin) {
  certs::Bundle all;
  for (const std::string& file : files) {
    GH_ASSIGN_OR_RETURN(certs::Bundle one, ReadBundleFile(context, file, password_stdin));
    if (one.private_keys > 0) {
      context.err() << EscapeText(file) << " holds a private key too, which is not read\n";
    }
    all.certificates.insert(all.certificates.end(), one.certificates.begin(), one.certificates.end());
    all.crls_der.insert(all.crls_der.end(), one.crls_der.begin(), one.crls_der.end());
  }
  return all;
}

absl::StatusOr<std::vector<certs::CertificateRef>> Certificates(Context& context, const TrustStoreFlags& flags,
                                                                const std::vector<std::string>& files) {
  GH_ASSIGN_OR_RETURN(certs::Bundle all, Read(context, files, flags.password_stdin));
  if (all.certificates.empty() && !files.empty()) {
    return absl::InvalidArgumentError("no certificate is in these files: CRLs are added by add-crl");
  }
  return std::move(all.certificates);
}

absl::StatusOr<std::vector<certs::CrlRef>> Crls(Context& context, const std::vector<std::string>& files) {
  std::vector<certs::CrlRef> out;
  for (const std::string& file : files) {
    GH_ASSIGN_OR_RETURN(std::string bytes, ReadInput(context, file));
    absl::StatusOr<std::vector<certs::CrlRef>> list = certs::Crl::ListFromBytes(bytes);
    if (!list.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(EscapeText(file), ": ", list.status().message()));
    }
    out.insert(out.end(), list->begin(), list->end());
  }
  return out;
}

std::string CrlPem(const certs::Crl& crl) { return certs::PemBlock("X509 CRL", crl.der()); }

// Edited is what an edit did: the fields that it changed and a text about it; no field: nothing to do.
struct Edited {
  std::set<std::string> fields;
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
    absl::StatusOr<v1::ChangeResponse> response = (*client)->Update(
        *resource, {edited->fields.begin(), edited->fields.end()}, flags.change.Options());
    if (response.ok()) {
      context.out() << edited->text;
      return FinishChange(context, *response, flags.change);
    }
    if (!absl::IsAborted(response.status())) return Fail(context, response.status());
    conflict = response.status();
  }
  return Fail(context, conflict);
}

// The digest of the certificate that a pin names; empty for a pin of a key.
std::string PinnedCertificate(const v1::Pin& pin) {
  if (pin.kind_case() == v1::Pin::kCertificateSha256) return Normalized(pin.certificate_sha256());
  if (pin.kind_case() != v1::Pin::kPem) return "";
  auto list = certs::Certificate::ListFromPem(pin.pem());
  return list.ok() ? Sha256Of(*list->front()) : "";
}

std::set<std::string> DigestsOf(const Pems& entries) {
  std::set<std::string> out;
  for (const v1::Pem& entry : entries) {
    auto list = certs::Certificate::ListFromPem(entry.pem());
    if (!list.ok()) continue;
    for (const auto& certificate : *list) out.insert(Sha256Of(*certificate));
  }
  return out;
}

// Editor changes one store and keeps the story.
class Editor {
 public:
  Editor(const Context& context, v1::TrustStore& store, absl::Time now)
      : style_(context.color), store_(store), now_(now) {}

  // False: it is there already, in that role.
  bool Add(const std::string& role, const certs::Certificate& certificate, const std::string& comment) {
    const std::string sha256 = Sha256Of(certificate);
    if (role == "pin") {
      for (const v1::Pin& pin : store_.pins()) {
        if (PinnedCertificate(pin) == sha256) return false;
      }
      v1::Pin& added = *store_.add_pins();
      added.set_pem(certificate.ToPem());
      added.set_comment(comment);
    } else {
      Pems* entries = role == "anchor" ? store_.mutable_anchors() : store_.mutable_intermediates();
      if (DigestsOf(*entries).count(sha256) > 0) return false;
      entries->Add()->set_pem(certificate.ToPem());
    }
    Tell('+', role, absl::StrCat(EscapeText(certificate.subject()), "   ", ExpiryText(certificate.not_after(), now_)));
    return true;
  }

  // Removes these certificates, and pins of these keys, in every role. Returns the roles in which each was found, pins'
  // comments with them.
  struct Found {
    std::set<std::string> roles;
    std::string comment;
  };
  absl::StatusOr<std::map<std::string, Found>> Remove(const std::set<std::string>& gone) {
    std::map<std::string, Found> found;
    for (const char* role : {"anchor", "intermediate"}) {
      Pems* entries = role == std::string("anchor") ? store_.mutable_anchors() : store_.mutable_intermediates();
      Pems kept;
      for (v1::Pem& entry : *entries) {
        auto list = certs::Certificate::ListFromPem(entry.pem());
        if (!list.ok()) return list.status();
        std::vector<certs::CertificateRef> rest;
        for (const auto& certificate : *list) {
          if (gone.count(Sha256Of(*certificate)) == 0) {
            rest.push_back(certificate);
          } else {
            found[Sha256Of(*certificate)].roles.insert(role);
            Tell('-', role, absl::StrCat(EscapeText(certificate->subject()), "   SHA-256 ",
                                         ShortDigest(Sha256Of(*certificate), 8)));
          }
        }
        // An entry may be a bundle: only what was asked for goes.
        if (rest.size() == list->size()) {
          kept.Add()->Swap(&entry);
        } else if (!rest.empty()) {
          kept.Add()->set_pem(certs::ChainToPem(rest));
        }
      }
      entries->Swap(&kept);
    }
    google::protobuf::RepeatedPtrField<v1::Pin> kept;
    for (v1::Pin& pin : *store_.mutable_pins()) {
      const std::string sha256 = PinnedCertificate(pin);
      const std::string key = pin.kind_case() == v1::Pin::kSpkiSha256 ? Normalized(pin.spki_sha256()) : "";
      const std::string& digest = sha256.empty() ? key : sha256;
      if (digest.empty() || gone.count(digest) == 0) {
        kept.Add()->Swap(&pin);
        continue;
      }
      found[digest].roles.insert("pin");
      found[digest].comment = pin.comment();
      Tell('-', "pin", absl::StrCat(sha256.empty() ? "key " : "certificate ", ShortDigest(digest, 8),
                                    pin.comment().empty() ? "" : "   ", EscapeText(pin.comment())));
    }
    store_.mutable_pins()->Swap(&kept);
    return found;
  }

  // One line of the story: what happened to what, in which list.
  void Tell(char sign, const std::string& role, const std::string& what) {
    edited_.fields.insert(role == "CRL" ? "crls" : absl::StrCat(role, "s"));
    const std::string mark(1, sign);
    absl::StrAppend(&edited_.text, sign == '+' ? style_.Green(mark) : style_.Red(mark), " trustStores/",
                    EscapeText(store_.name()), "   ", role, " ", what, "\n");
  }
  Edited& edited() { return edited_; }

 private:
  const Style style_;
  v1::TrustStore& store_;
  const absl::Time now_;
  Edited edited_;
};

std::string CrlText(const certs::Crl& crl) {
  return absl::StrCat(EscapeText(crl.issuer()), "   ", crl.size(), crl.size() == 1 ? " entry" : " entries", "   SHA-256 ",
                      ShortDigest(HexLower(AsView(crl.sha256())), 8),
                      crl.next_update().has_value() ? absl::StrCat("   ", ExpiryText(*crl.next_update(), absl::Now())) : "");
}

absl::Status RemoveCrlsFrom(v1::TrustStore& store, const std::set<std::string>& gone, Editor* editor) {
  Pems kept;
  for (v1::Pem& entry : *store.mutable_crls()) {
    GH_ASSIGN_OR_RETURN(auto list, certs::Crl::ListFromBytes(entry.pem()));
    std::string rest;
    size_t left = 0;
    for (const certs::CrlRef& crl : list) {
      if (gone.count(HexLower(AsView(crl->sha256()))) == 0) {
        rest += CrlPem(*crl);
        ++left;
      } else {
        editor->Tell('-', "CRL", CrlText(*crl));
      }
    }
    if (left == list.size()) {
      kept.Add()->Swap(&entry);
    } else if (left > 0) {
      kept.Add()->set_pem(rest);
    }
  }
  store.mutable_crls()->Swap(&kept);
  return absl::OkStatus();
}

// Of a file or a digest: what is to go.
absl::StatusOr<std::set<std::string>> Named(Context& context, const TrustStoreFlags& flags,
                                            const std::vector<std::string>& files,
                                            const std::vector<std::string>& digests) {
  GH_ASSIGN_OR_RETURN(std::vector<certs::CertificateRef> certificates, Certificates(context, flags, files));
  std::set<std::string> out;
  for (const auto& certificate : certificates) out.insert(Sha256Of(*certificate));
  for (const std::string& digest : digests) {
    if (Normalized(digest).empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--sha256: not 64 hex digits: \"", EscapeText(digest), "\""));
    }
    out.insert(Normalized(digest));
  }
  return out;
}

absl::Status Missing(const TrustStoreFlags& flags, absl::string_view what, absl::string_view sha256) {
  return absl::NotFoundError(
      absl::StrCat("trustStores/", EscapeText(flags.name), " has no ", what, " with SHA-256 ", sha256));
}

}  // namespace

int AddCertificates(Context& context, const TrustStoreFlags& flags) {
  auto certificates = Certificates(context, flags, flags.files);
  if (!certificates.ok()) return Fail(context, certificates.status());
  return Change(context, flags, [&](v1::TrustStore& store) -> absl::StatusOr<Edited> {
    Editor editor(context, store, absl::Now());
    for (const certs::CertificateRef& certificate : *certificates) editor.Add(flags.as, *certificate, flags.comment);
    if (editor.edited().fields.empty()) {
      editor.edited().text = absl::StrCat("every one of them is ", flags.as == "pin" ? "pinned" : absl::StrCat("an ", flags.as),
                                          " already");
    }
    return std::move(editor.edited());
  });
}

int RemoveCertificates(Context& context, const TrustStoreFlags& flags) {
  auto gone = Named(context, flags, flags.files, flags.sha256);
  if (!gone.ok()) return Fail(context, gone.status());
  return Change(context, flags, [&](v1::TrustStore& store) -> absl::StatusOr<Edited> {
    Editor editor(context, store, absl::Now());
    GH_ASSIGN_OR_RETURN(auto found, editor.Remove(*gone));
    for (const std::string& sha256 : *gone) {
      if (found.count(sha256) == 0) return Missing(flags, "certificate", sha256);
    }
    return std::move(editor.edited());
  });
}

int ReplaceCertificate(Context& context, const TrustStoreFlags& flags) {
  const bool digest = !Normalized(flags.replaced).empty();
  auto old = digest ? Named(context, flags, {}, {flags.replaced}) : Named(context, flags, {flags.replaced}, {});
  if (!old.ok()) return Fail(context, old.status());
  auto added = Certificates(context, flags, flags.files);
  if (!added.ok()) return Fail(context, added.status());
  if (old->size() != 1 || added->size() != 1) {
    return Fail(context, absl::InvalidArgumentError("one certificate is replaced by one: a file holds several"));
  }
  const std::string sha256 = *old->begin();
  if (Sha256Of(*added->front()) == sha256) {
    return Fail(context, absl::InvalidArgumentError("both are the same certificate"));
  }
  std::string hint;
  const int code = Change(context, flags, [&](v1::TrustStore& store) -> absl::StatusOr<Edited> {
    const v1::TrustStore before = store;
    Editor removal(context, store, absl::Now());
    GH_ASSIGN_OR_RETURN(auto found, removal.Remove(*old));
    if (found.empty()) return Missing(flags, "certificate", sha256);
    if (flags.keep_old) store = before;
    Editor addition(context, store, absl::Now());
    for (const std::string& role : found[sha256].roles) addition.Add(role, *added->front(), found[sha256].comment);
    Edited edited = std::move(addition.edited());
    if (flags.keep_old) {
      if (edited.fields.empty()) edited.text = "both are there already";
      hint = absl::StrCat("both are trusted until: gatehousectl trust-store remove-cert ", flags.name, " --sha256 ",
                          sha256, "\n");
    } else {
      edited.fields.insert(removal.edited().fields.begin(), removal.edited().fields.end());
      edited.text += removal.edited().text;
    }
    return edited;
  });
  if (code == kOk) context.out() << hint;
  return code;
}

int AddCrls(Context& context, const TrustStoreFlags& flags) {
  auto crls = Crls(context, flags.files);
  if (!crls.ok()) return Fail(context, crls.status());
  return Change(context, flags, [&](v1::TrustStore& store) -> absl::StatusOr<Edited> {
    Editor editor(context, store, absl::Now());
    std::vector<certs::CrlRef> held;
    for (const v1::Pem& entry : store.crls()) {
      GH_ASSIGN_OR_RETURN(auto list, certs::Crl::ListFromBytes(entry.pem()));
      held.insert(held.end(), list.begin(), list.end());
    }
    for (const certs::CrlRef& crl : *crls) {
      bool there = false;
      for (const certs::CrlRef& other : held) there = there || other->sha256() == crl->sha256();
      if (there) continue;
      // What it is the successor of makes room; an older one than what is there is refused.
      std::set<std::string> replaced;
      for (const certs::CrlRef& other : held) {
        if (other->MayBeReplacedBy(*crl)) {
          replaced.insert(HexLower(AsView(other->sha256())));
        } else if (crl->MayBeReplacedBy(*other)) {
          return absl::FailedPreconditionError(absl::StrCat("trustStores/", EscapeText(flags.name),
                                                            " has a newer list of ", EscapeText(crl->issuer())));
        }
      }
      GH_RETURN_IF_ERROR(RemoveCrlsFrom(store, replaced, &editor));
      held.push_back(crl);
      store.add_crls()->set_pem(CrlPem(*crl));
      editor.Tell('+', "CRL", CrlText(*crl));
    }
    if (editor.edited().fields.empty()) editor.edited().text = "every one of them is there already";
    return std::move(editor.edited());
  });
}

int RemoveCrls(Context& context, const TrustStoreFlags& flags) {
  auto crls = Crls(context, flags.files);
  if (!crls.ok()) return Fail(context, crls.status());
  auto gone = Named(context, flags, {}, flags.sha256);
  if (!gone.ok()) return Fail(context, gone.status());
  for (const certs::CrlRef& crl : *crls) gone->insert(HexLower(AsView(crl->sha256())));
  return Change(context, flags, [&](v1::TrustStore& store) -> absl::StatusOr<Edited> {
    Editor editor(context, store, absl::Now());
    std::set<std::string> missing = *gone;
    for (const v1::Pem& entry : store.crls()) {
      GH_ASSIGN_OR_RETURN(auto list, certs::Crl::ListFromBytes(entry.pem()));
      for (const certs::CrlRef& crl : list) missing.erase(HexLower(AsView(crl->sha256())));
    }
    if (!missing.empty()) return Missing(flags, "CRL", *missing.begin());
    GH_RETURN_IF_ERROR(RemoveCrlsFrom(store, *gone, &editor));
    return std::move(editor.edited());
  });
}

int SetSystemRoots(Context& context, const TrustStoreFlags& flags) {
  const bool on = flags.as == "on";
  const Style style(context.color);
  return Change(context, flags, [&](v1::TrustStore& store) -> absl::StatusOr<Edited> {
    if (store.system_roots() == on) return Edited{{}, absl::StrCat("system_roots is ", flags.as, " already")};
    store.set_system_roots(on);
    return Edited{{"system_roots"},
                  absl::StrCat(style.Yellow("~"), " trustStores/", EscapeText(flags.name), "   system_roots ", flags.as,
                               on ? ": every authority of the gateway's operating system may issue" : "", "\n")};
  });
}

}  // namespace gatehouse::cli
