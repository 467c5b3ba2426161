// Trust stores, user stores, server certificates and upstreams: the leaves of a configuration.
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/strip.h"
#include <algorithm>

#include "gateway/base/escape.h"
#include "gateway/certs/path.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

constexpr absl::Duration kExpiresSoon = absl::Hours(30 * 24);
constexpr size_t kMaxPem = size_t{8} << 20;
constexpr size_t kMaxCrlPem = size_t{128} << 20;  // more than two lists of a million entries
constexpr size_t kMaxComment = 256;

void ReadPems(Draft& draft, const std::string& path, const google::protobuf::RepeatedPtrField<v1::Pem>& pems,
              size_t limit, std::vector<std::string>* out) {
  size_t total = 0;
  for (int i = 0; i < pems.size(); ++i) {
    if (pems[i].pem().empty()) draft.Violate(absl::StrCat(path, "[", i, "].pem"), "is required");
    total += pems[i].pem().size();
    out->push_back(pems[i].pem());
  }
  if (total > limit) draft.Violate(path, total, " bytes together, at most ", limit);
}

void ReadPins(Draft& draft, const std::string& path, const v1::TrustStore& store, std::vector<certs::Pin>* out) {
  for (int i = 0; i < store.pins_size(); ++i) {
    const v1::Pin& pin = store.pins(i);
    const std::string here = absl::StrCat(path, ".pins[", i, "]");
    if (pin.comment().size() > kMaxComment) draft.Violate(here + ".comment", "is over ", kMaxComment, " bytes");
    absl::StatusOr<certs::Pin> parsed = absl::InvalidArgumentError("");
    std::string field;
    switch (pin.kind_case()) {
      case v1::Pin::kPem:
        field = ".pem";
        parsed = certs::PinFromPem(pin.pem());
        break;
      case v1::Pin::kCertificateSha256:
        field = ".certificate_sha256";
        parsed = certs::ParsePinDigest(certs::Pin::Kind::kCertificate, pin.certificate_sha256());
        break;
      case v1::Pin::kSpkiSha256:
        field = ".spki_sha256";
        parsed = certs::ParsePinDigest(certs::Pin::Kind::kSpki, pin.spki_sha256());
        break;
      case v1::Pin::KIND_NOT_SET:
        draft.Violate(here, "needs one of pem, certificate_sha256 and spki_sha256");
        continue;
    }
    if (!parsed.ok()) {
      draft.Violate(here + field, parsed.status().message());
    } else {
      out->push_back(*parsed);
    }
  }
}

// Paths of the gateway's machine: what they lead to is found out there.
void ReadPaths(Draft& draft, const std::string& path, const google::protobuf::RepeatedPtrField<std::string>& texts,
               std::vector<std::string>* out) {
  constexpr int kMaxPaths = 64;
  constexpr size_t kMaxPath = 4096;
  if (texts.size() > kMaxPaths) draft.Violate(path, texts.size(), " paths, at most ", kMaxPaths);
  for (int i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i];
    const std::string here = absl::StrCat(path, "[", i, "]");
    if (text.empty() || text[0] != '/' || text.size() > kMaxPath || text.find('\0') != std::string::npos) {
      draft.Violate(here, "must be an absolute path of at most ", kMaxPath, " bytes");
    } else if (std::find(out->begin(), out->end(), text) != out->end()) {
      draft.Violate(here, "\"", EscapeText(text), "\" is there twice");
    } else {
      out->push_back(text);
    }
  }
}

std::string InDays(absl::Duration d) { return absl::StrCat(absl::ToInt64Hours(d) / 24, " d"); }

void WarnOfExpiry(Draft& draft, const std::string& path, const certs::Certificate& certificate) {
  const absl::Time now = draft.options.now;
  if (now == absl::InfinitePast() || certificate.not_after() > now + kExpiresSoon) return;
  const std::string who = EscapeText(certificate.subject());
  if (certificate.not_after() < now) {
    draft.Warn(path, who, " expired ", InDays(now - certificate.not_after()), " ago");
  } else {
    draft.Warn(path, who, " expires in ", InDays(certificate.not_after() - now));
  }
}

certs::TrustStoreRef BuildTrustStore(Draft& draft, const v1::TrustStore& store,
                                     certs::TrustStoreRef previous) {
  const std::string path = PathOf("trustStores", store.name());
  const size_t before = draft.violations.size();
  certs::TrustStoreInput input;
  input.name = store.name();
  input.previous = std::move(previous);
  input.system_roots = store.system_roots();
  ReadPems(draft, path + ".anchors", store.anchors(), kMaxPem, &input.anchors_pem);
  ReadPems(draft, path + ".intermediates", store.intermediates(), kMaxPem, &input.intermediates_pem);
  ReadPems(draft, path + ".crls", store.crls(), kMaxCrlPem, &input.crls_pem);
  ReadPins(draft, path, store, &input.pins);
  ReadPaths(draft, path + ".crl_paths", store.crl_paths(), &input.crl_paths);
  if (draft.violations.size() != before) return nullptr;
  std::vector<certs::FieldError> errors;
  certs::TrustStoreRef built = certs::TrustStore::Create(input, &errors);
  for (const certs::FieldError& error : errors) {
    draft.Violate(error.field.empty() ? path : absl::StrCat(path, ".", error.field), error.message);
  }
  return errors.empty() ? built : nullptr;
}

constexpr size_t kMaxPath = 4096;

bool IsPath(absl::string_view path) {
  return !path.empty() && path.size() <= kMaxPath && path[0] == '/' &&
         absl::c_none_of(path, [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

// The message of ServerCredential without the name, which the path of the violation says already.
std::string CauseOf(const std::string& name, const absl::Status& status) {
  absl::string_view message = status.message();
  absl::ConsumePrefix(&message, absl::StrCat("server certificate \"", EscapeText(name), "\": "));
  return std::string(message);
}

// What is wrong with the files: the field at fault, and the cause.
struct FileFault {
  std::string field;
  std::string cause;
};

// The pair in the files of this machine.
certs::ServerCredentialRef ReadPair(const Draft& draft, const std::string& name, const v1::ServerCertificateFiles& files,
                                    FileFault* fault) {
  fault->field = "certificate_chain_path";
  absl::StatusOr<Secret> chain = draft.options.read_file(files.certificate_chain_path());
  if (!chain.ok()) return fault->cause = std::string(chain.status().message()), nullptr;
  const absl::StatusOr<std::vector<certs::CertificateRef>> list = certs::Certificate::ListFromPem(chain->Reveal());
  if (!list.ok()) {
    fault->cause = absl::StrCat(EscapeText(files.certificate_chain_path()), ": ", list.status().message());
    return nullptr;
  }
  fault->field = "private_key_path";
  absl::StatusOr<Secret> key = draft.options.read_file(files.private_key_path());
  if (!key.ok()) return fault->cause = std::string(key.status().message()), nullptr;
  absl::StatusOr<certs::ServerCredentialRef> pair =
      certs::ServerCredential::FromPem(name, chain->Reveal(), key->Reveal());
  if (pair.ok()) return *std::move(pair);
  fault->cause = absl::StrCat(EscapeText(files.private_key_path()), ": ", CauseOf(name, pair.status()));
  return nullptr;
}

// Null: refused, or not to be seen here.
certs::ServerCredentialRef BuildFromFiles(Draft& draft, const std::string& path, const v1::ServerCertificate& certificate,
                                          const certs::ServerCredentialRef& known) {
  const v1::ServerCertificateFiles& files = certificate.files();
  const size_t before = draft.violations.size();
  if (!certificate.certificate_chain_pem().empty() || !certificate.private_key_pem().empty()) {
    draft.Violate(path + ".files", "excludes certificate_chain_pem and private_key_pem");
  }
  for (const auto& [field, value] : {std::pair("certificate_chain_path", &files.certificate_chain_path()),
                                     std::pair("private_key_path", &files.private_key_path())}) {
    if (!IsPath(*value)) {
      draft.Violate(absl::StrCat(path, ".files.", field), value->empty() ? "is required" : "\"", EscapeText(*value),
                    value->empty() ? "" : "\" is no absolute path without control characters");
    }
  }
  if (draft.violations.size() != before) return nullptr;
  draft.snapshot->files.push_back(files.certificate_chain_path());
  draft.snapshot->files.push_back(files.private_key_path());
  if (!draft.options.read_file) {
    draft.snapshot->complete = false;
    draft.unseen_certificates.insert(certificate.name());
    return nullptr;
  }
  FileFault fault;
  certs::ServerCredentialRef pair = ReadPair(draft, certificate.name(), files, &fault);
  if (pair != nullptr) return known != nullptr && known->version() == pair->version() ? known : pair;
  // The last good one goes on: a writer that is half done must not take the listener down.
  if (known != nullptr) {
    draft.Warn(absl::StrCat(path, ".files.", fault.field), fault.cause, "; the pair before stays");
  } else {
    draft.Violate(absl::StrCat(path, ".files.", fault.field), fault.cause);
  }
  return known;
}

}  // namespace

void BuildTrustStores(Draft& draft) {
  for (const v1::TrustStore* store : draft.trust_stores) {
    certs::TrustStoreRef known;
    if (draft.previous != nullptr) {
      auto it = draft.previous->parts->trust_stores.find(store->name());
      if (it != draft.previous->parts->trust_stores.end()) known = it->second;
    }
    certs::TrustStoreRef built;
    // The system's roots are a file that may have changed since.
    if (known != nullptr && !store->system_roots() && draft.Unchanged(v1::TRUST_STORE, store->name())) {
      built = known;
    } else {
      built = BuildTrustStore(draft, *store, known);
      if (built == nullptr) continue;
      if (known != nullptr && known->version() == built->version()) built = known;
    }
    const std::string path = PathOf("trustStores", store->name());
    if (!store->system_roots()) {
      for (size_t i = 0; i < built->anchors().size(); ++i) {
        WarnOfExpiry(draft, absl::StrCat(path, ".anchors"), *built->anchors()[i]);
        if (!certs::AnchorMayIssue(*built->anchors()[i])) {
          draft.Warn(path + ".anchors", EscapeText(built->anchors()[i]->subject()),
                     " is no certificate authority: as an anchor it vouches for nobody, not even for itself; "
                     "a client's certificate is pinned");
        }
      }
    }
    draft.snapshot->trust_stores.push_back(built);
    draft.parts->trust_stores[store->name()] = std::move(built);
  }
}

certs::TrustStoreRef WithSystemRoots(Draft& draft, const std::string& path, const certs::TrustStoreRef& named,
                                     const std::string& key) {
  certs::TrustStoreInput input;
  input.system_roots = true;
  if (named != nullptr) {
    input.name = named->name();
    input.pins = named->pins();
    input.crls = named->crls();
    input.crl_paths = named->crl_paths();
    for (const certs::CertificateRef& c : named->anchors()) input.anchors_pem.push_back(c->ToPem());
    for (const certs::CertificateRef& c : named->intermediates()) input.intermediates_pem.push_back(c->ToPem());
  }
  std::vector<certs::FieldError> errors;
  certs::TrustStoreRef joined = certs::TrustStore::Create(input, &errors);
  for (const certs::FieldError& error : errors) draft.Violate(path, error.message);
  if (!errors.empty()) return nullptr;
  if (draft.previous != nullptr) {
    auto it = draft.previous->parts->joined_stores.find(key);
    if (it != draft.previous->parts->joined_stores.end() && it->second->version() == joined->version()) joined = it->second;
  }
  draft.parts->joined_stores[key] = joined;
  return joined;
}

void BuildServerCertificates(Draft& draft) {
  for (const v1::ServerCertificate* certificate : draft.server_certificates) {
    const std::string path = PathOf("serverCertificates", certificate->name());
    certs::ServerCredentialRef known, built;
    if (draft.Unchanged(v1::SERVER_CERTIFICATE, certificate->name())) {
      auto it = draft.previous->parts->credentials.find(certificate->name());
      if (it != draft.previous->parts->credentials.end()) known = it->second;
    }
    if (certificate->has_files()) {
      built = BuildFromFiles(draft, path, *certificate, known);
      if (built == nullptr) continue;
    } else if (known != nullptr) {
      built = known;
    } else {
      if (certificate->certificate_chain_pem().empty()) draft.Violate(path + ".certificate_chain_pem", "is required");
      if (certificate->private_key_pem().empty()) draft.Violate(path + ".private_key_pem", "is required");
      if (certificate->certificate_chain_pem().empty() || certificate->private_key_pem().empty()) continue;
      absl::StatusOr<certs::ServerCredentialRef> parsed = certs::ServerCredential::FromPem(
          certificate->name(), certificate->certificate_chain_pem(), certificate->private_key_pem());
      if (!parsed.ok()) {
        draft.Violate(path, CauseOf(certificate->name(), parsed.status()));
        continue;
      }
      built = *std::move(parsed);
    }
    WarnOfExpiry(draft, path, built->leaf());
    draft.snapshot->server_credentials.push_back(built);
    draft.parts->credentials[certificate->name()] = std::move(built);
  }
}

}  // namespace gatehouse::config
