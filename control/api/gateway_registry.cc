#include "control/api/gateway_registry.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "control/api/callers.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/names.h"
#include "gateway/base/secret_box.h"
#include "gateway/base/status.h"
#include "gateway/certs/mint.h"
#include "gateway/certs/signing_request.h"

namespace gatehouse::api {
namespace {

using nlohmann::json;

constexpr char kPlace[] = "gatehouse gateways 1";
constexpr absl::Duration kDefaultTokenLife = absl::Hours(1);
constexpr absl::Duration kMostTokenLife = absl::Hours(24 * 7);
constexpr absl::Duration kAuthorityLife = absl::Hours(24 * 365 * 20);
constexpr absl::Duration kClockSkew = absl::Minutes(5);

void SetTime(absl::Time time, google::protobuf::Timestamp* out) { out->set_seconds(absl::ToUnixSeconds(time)); }

absl::Status NotGood() {
  return absl::PermissionDeniedError("the join token is unknown, used, expired, or another gateway's");
}

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayRegistry>> GatewayRegistry::Open(const std::string& folder, Secret key, const Clock& clock) {
  std::unique_ptr<GatewayRegistry> registry(new GatewayRegistry(
      SealedFile(absl::StrCat(folder, "/gateways.sealed"), kPlace, SecretBox(std::move(key))), clock));
  absl::StatusOr<std::string> text = registry->file_.Load();
  if (absl::IsNotFound(text.status())) {
    GH_RETURN_IF_ERROR(registry->Found());
  } else {
    GH_RETURN_IF_ERROR(text.status());
    GH_RETURN_IF_ERROR(registry->Read(*text));
  }
  return registry;
}

absl::Status GatewayRegistry::Found() {
  GH_ASSIGN_OR_RETURN(key_, certs::MintKey(certs::KeyType::kP256));
  certs::MintRequest request;
  request.profile = certs::Profile::kCa;
  request.subject = absl::StrCat("CN=Gatehouse gateways ", HexLower(RandomBytes(8)));
  request.path_length = 0;
  request.not_before = clock_.Now() - kClockSkew;
  request.not_after = clock_.Now() + kAuthorityLife;
  GH_ASSIGN_OR_RETURN(authority_, certs::Mint(request, key_.get()));
  MutexLock lock(&mutex_);
  return Commit({});
}

absl::Status GatewayRegistry::Read(const std::string& text) {
  const absl::Status bad = absl::DataLossError(absl::StrCat(file_.path(), ": is not of this version"));
  const json all = json::parse(text, nullptr, false);
  if (!all.is_object() || !all.contains("key") || !all.contains("certificate") || !all.contains("tokens") ||
      !all.contains("gateways")) {
    return bad;
  }
  GH_ASSIGN_OR_RETURN(key_, certs::KeyFromPem(all["key"].get<std::string>()));
  GH_ASSIGN_OR_RETURN(auto list, certs::Certificate::ListFromPem(all["certificate"].get<std::string>()));
  authority_ = list.front();
  State state;
  for (const auto& [id, token] : all["tokens"].items()) {
    state.tokens[id] = {token.value("hash", ""), token.value("gateway", ""),
                        absl::FromUnixSeconds(token.value("expires", int64_t{0})), token.value("created_by", "")};
  }
  for (const auto& [name, certificates] : all["gateways"].items()) {
    std::vector<Good>& good = state.gateways[name];
    for (const json& one : certificates) {
      good.push_back({one.value("sha256", ""), absl::FromUnixSeconds(one.value("not_after", int64_t{0}))});
    }
  }
  MutexLock lock(&mutex_);
  state_ = std::move(state);
  return absl::OkStatus();
}

absl::Status GatewayRegistry::Commit(State next) {
  const absl::Time now = clock_.Now();
  for (auto it = next.tokens.begin(); it != next.tokens.end();) {
    it = it->second.expires <= now ? next.tokens.erase(it) : std::next(it);
  }
  GH_ASSIGN_OR_RETURN(const Secret key, certs::KeyToPem(key_.get()));
  json all = {{"key", std::string(key.Reveal())}, {"certificate", authority_->ToPem()}};
  json& tokens = all["tokens"] = json::object();
  for (const auto& [id, token] : next.tokens) {
    tokens[id] = {{"hash", token.hash}, {"gateway", token.gateway}, {"expires", absl::ToUnixSeconds(token.expires)},
                  {"created_by", token.created_by}};
  }
  json& gateways = all["gateways"] = json::object();
  for (const auto& [name, good] : next.gateways) {
    json& list = gateways[name] = json::array();
    for (const Good& one : good) list.push_back({{"sha256", one.sha256}, {"not_after", absl::ToUnixSeconds(one.not_after)}});
  }
  GH_RETURN_IF_ERROR(file_.Save(all.dump(-1, ' ', false, json::error_handler_t::replace)));
  state_ = std::move(next);
  return absl::OkStatus();
}

absl::StatusOr<v1::CreateJoinTokenResponse> GatewayRegistry::CreateToken(const v1::CreateJoinTokenRequest& request,
                                                                         const Sha256Digest& anchor,
                                                                         const std::string& created_by) {
  if (!request.gateway().empty() && !IsGatewayName(request.gateway())) {
    return absl::InvalidArgumentError("gateway: a name is [A-Za-z0-9][A-Za-z0-9._-]{0,62}");
  }
  absl::Duration lifetime = kDefaultTokenLife;
  if (request.has_lifetime()) {
    lifetime = absl::Seconds(request.lifetime().seconds()) + absl::Nanoseconds(request.lifetime().nanos());
    if (lifetime < absl::Seconds(1) || lifetime > kMostTokenLife) {
      return absl::InvalidArgumentError("lifetime: 1 s to 7 days");
    }
  }
  JoinToken token;
  token.id = HexLower(RandomBytes(6));
  token.secret = HexLower(RandomBytes(32));
  token.anchor = anchor;
  const absl::Time expires = clock_.Now() + lifetime;
  MutexLock lock(&mutex_);
  State next = state_;
  next.tokens[token.id] = {HexLower(AsView(Sha256(token.secret))), request.gateway(), expires, created_by};
  if (next.tokens.size() > kMostTokens) return absl::ResourceExhaustedError("there are 1,000 tokens; delete some");
  GH_RETURN_IF_ERROR(Commit(std::move(next)));
  v1::CreateJoinTokenResponse response;
  response.set_token(token.ToString());
  response.mutable_info()->set_id(token.id);
  response.mutable_info()->set_gateway(request.gateway());
  SetTime(expires, response.mutable_info()->mutable_expires());
  response.mutable_info()->set_created_by(created_by);
  return response;
}

std::vector<v1::JoinToken> GatewayRegistry::Tokens() const {
  const absl::Time now = clock_.Now();
  std::vector<v1::JoinToken> list;
  MutexLock lock(&mutex_);
  for (const auto& [id, token] : state_.tokens) {
    if (token.expires <= now) continue;
    v1::JoinToken& one = list.emplace_back();
    one.set_id(id);
    one.set_gateway(token.gateway);
    SetTime(token.expires, one.mutable_expires());
    one.set_created_by(token.created_by);
  }
  std::stable_sort(list.begin(), list.end(), [](const v1::JoinToken& a, const v1::JoinToken& b) {
    return a.expires().seconds() < b.expires().seconds();
  });
  return list;
}

absl::Status GatewayRegistry::DeleteToken(const std::string& id) {
  MutexLock lock(&mutex_);
  State next = state_;
  if (next.tokens.erase(id) == 0) return absl::NotFoundError("id: there is no such token");
  return Commit(std::move(next));
}

absl::StatusOr<v1::JoinResponse> GatewayRegistry::Issue(const std::string& gateway, EVP_PKEY* key, absl::string_view kept,
                                                        State* next) const {
  const absl::Time now = clock_.Now();
  certs::MintRequest request;
  request.profile = certs::Profile::kLeaf;
  request.subject = absl::StrCat("CN=", gateway);
  request.sans = {{certs::SanKind::kUri, absl::StrCat(kGatewayNames, gateway)}};
  request.not_before = now - kClockSkew;
  request.not_after = std::min(now + kLifetime, authority_->not_after());
  GH_ASSIGN_OR_RETURN(certs::CertificateRef leaf, certs::Mint(request, key, certs::Signer{authority_.get(), key_.get()}));
  std::vector<Good>& good = next->gateways[gateway];
  good.erase(std::remove_if(good.begin(), good.end(), [now](const Good& one) { return one.not_after <= now; }), good.end());
  if (good.size() >= kMostCertificates) good.erase(good.end() - (good.back().sha256 == kept ? 2 : 1));
  good.push_back({HexLower(AsView(leaf->sha256())), leaf->not_after()});
  v1::JoinResponse response;
  response.set_certificate_chain(absl::StrCat(leaf->ToPem(), authority_->ToPem()));
  SetTime(leaf->not_after(), response.mutable_not_after());
  return response;
}

absl::StatusOr<GatewayRegistry::Joined> GatewayRegistry::Join(const v1::JoinRequest& request,
                                                              const std::function<bool(const std::string&)>& taken,
                                                              std::string* why) {
  // Before the token: what is told of these says nothing about it.
  if (!IsGatewayName(request.gateway())) {
    return absl::InvalidArgumentError("gateway: a name is [A-Za-z0-9][A-Za-z0-9._-]{0,62}");
  }
  GH_ASSIGN_OR_RETURN(UniqueKey key, certs::KeyOfSigningRequest(request.signing_request()));
  const absl::StatusOr<JoinToken> given = JoinToken::Parse(request.token());
  const auto no = [why](auto... text) {
    *why = absl::StrCat(text...);
    return NotGood();
  };
  if (!given.ok()) return no("what was given is no join token");
  const std::string hash = HexLower(AsView(Sha256(given->secret)));
  MutexLock lock(&mutex_);
  auto it = state_.tokens.find(given->id);
  const std::string id = absl::StrCat("join token ", EscapeText(absl::string_view(given->id).substr(0, 64)));
  if (it == state_.tokens.end()) return no(id, " was used, deleted or never made, or has expired");
  if (!ConstantTimeEquals(it->second.hash, hash)) return no(id, " came with a secret that is not its own");
  if (it->second.expires <= clock_.Now()) return no(id, " has expired");
  const std::string& bound = it->second.gateway;
  if (!bound.empty() && bound != request.gateway()) return no(id, " is for ", bound);
  if (bound.empty() && (state_.gateways.count(request.gateway()) != 0 || taken(request.gateway()))) {
    return no(id, " is for a new name, and there is a gateway of this one");
  }
  Joined joined;
  joined.token = given->id;
  joined.created_by = it->second.created_by;
  State next = state_;
  next.tokens.erase(given->id);
  std::vector<Good>& good = next.gateways[request.gateway()];
  joined.anew = !good.empty();
  good.clear();  // a token of its name makes it anew: what it had before is refused
  GH_ASSIGN_OR_RETURN(joined.response, Issue(request.gateway(), key.get(), "", &next));
  GH_RETURN_IF_ERROR(Commit(std::move(next)));
  return joined;
}

absl::StatusOr<v1::JoinResponse> GatewayRegistry::Renew(const std::string& gateway, const std::string& chain_pem,
                                                        const std::string& signing_request) {
  GH_ASSIGN_OR_RETURN(UniqueKey key, certs::KeyOfSigningRequest(signing_request));
  MutexLock lock(&mutex_);
  if (gateway.empty() || state_.gateways.count(gateway) == 0) {
    return absl::FailedPreconditionError("the caller's certificate is not of this control plane's authority for gateways");
  }
  GH_ASSIGN_OR_RETURN(const std::string kept, Find(gateway, chain_pem));
  State next = state_;
  GH_ASSIGN_OR_RETURN(v1::JoinResponse response, Issue(gateway, key.get(), kept, &next));
  GH_RETURN_IF_ERROR(Commit(std::move(next)));
  return response;
}

absl::Status GatewayRegistry::Remove(const std::string& gateway) {
  MutexLock lock(&mutex_);
  State next = state_;
  if (next.gateways.erase(gateway) == 0) return absl::NotFoundError("gateway: no such gateway was let in");
  for (auto it = next.tokens.begin(); it != next.tokens.end();) {
    it = it->second.gateway == gateway ? next.tokens.erase(it) : std::next(it);
  }
  return Commit(std::move(next));
}

absl::Status GatewayRegistry::Check(const std::string& gateway, const std::string& chain_pem) const {
  MutexLock lock(&mutex_);
  return Find(gateway, chain_pem).status();
}

absl::StatusOr<std::string> GatewayRegistry::Find(const std::string& gateway, const std::string& chain_pem) const {
  const absl::StatusOr<std::vector<certs::CertificateRef>> chain = certs::Certificate::ListFromPem(chain_pem);
  if (!chain.ok() || chain->empty()) return absl::PermissionDeniedError("the caller's certificate cannot be read");
  const certs::Certificate& leaf = *chain->front();
  std::string sha256 = HexLower(AsView(leaf.sha256()));
  const auto it = state_.gateways.find(gateway);
  const auto good = it == state_.gateways.end() ? absl::Span<const Good>() : absl::MakeConstSpan(it->second);
  if (std::any_of(good.begin(), good.end(), [&](const Good& one) { return one.sha256 == sha256; })) return sha256;
  // One that is younger than all we know is of a time that we lost. It is refused all the same: the gateway may have been removed
  // in that time.
  const bool younger =
      std::all_of(good.begin(), good.end(), [&](const Good& one) { return one.not_after < leaf.not_after(); });
  absl::string_view why = "its certificate was replaced";
  if (it == state_.gateways.end()) why = "it was removed, or joined after the backup that the control plane was restored from";
  else if (younger) why = "its certificate was issued after the backup that the control plane was restored from";
  return absl::PermissionDeniedError(absl::StrCat(
      "gateway ", gateway, ": ", why, "; to let it in, make a token for its name (gatehousectl gateway token create --gateway ",
      gateway, "), delete gateway.pem in its state directory and start it with --join"));
}

}  // namespace gatehouse::api
