// cert explain.
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/mint.h"

namespace gatehouse::cli {
namespace {

// What can be told here, without a gateway: whether there is a key, and whether it fits.
struct KeyFinding {
  std::string text;
  bool fits = true;
};

absl::StatusOr<KeyFinding> CheckKey(Context& context, const ExplainFlags& flags, const certs::Bundle& bundle,
                                    const certs::Certificate& leaf) {
  if (flags.key.empty()) {
    if (bundle.form != certs::Bundle::Form::kPfx || bundle.private_keys > 0) return KeyFinding();
    return KeyFinding{absl::StrCat(EscapeText(flags.chain), " holds no private key: no client can present what is in it"),
                      false};
  }
  GH_ASSIGN_OR_RETURN(std::string text, ReadInput(context, flags.key));
  const Secret pem(std::move(text));
  absl::StatusOr<UniqueKey> key = certs::KeyFromPem(pem.Reveal());
  if (!key.ok()) {
    return KeyFinding{absl::StrCat(EscapeText(flags.key), ": ", key.status().message()), false};
  }
  const bool fits = leaf.key() != nullptr && EVP_PKEY_eq(leaf.key(), key->get()) == 1;
  TakeOpenSslError();
  return KeyFinding{absl::StrCat(EscapeText(flags.key), fits ? " is the certificate's key"
                                                             : " is the key of another certificate: the handshake would fail"),
                    fits};
}

absl::StatusOr<v1::ExplainRequest> RequestOf(const ExplainFlags& flags) {
  v1::ExplainRequest request;
  if (!flags.scheme.empty()) request.set_scheme(flags.scheme);
  if (!flags.route.empty()) request.set_route(flags.route);
  if (!flags.listener.empty()) request.set_listener(flags.listener);
  request.set_gateway(flags.gateway);
  request.set_address(flags.address);
  request.set_offline(flags.offline);
  request.set_event(flags.event);
  if (!flags.at.empty()) {
    GH_ASSIGN_OR_RETURN(absl::Time at, ParseTimeFlag("--at", flags.at));
    request.mutable_at()->set_seconds(absl::ToUnixSeconds(at));
  }
  return request;
}

// Accepted by one of the asked schemes; without a certificate, whether one is asked for anywhere.
bool Good(const v1::ExplainResponse& response) {
  if (response.presented().empty()) {
    // Of a scheme that a service decides: whether anybody is asked now.
    for (const v1::DelegatedScheme& scheme : response.delegated()) {
      for (const v1::DelegatedScheme::Endpoint& endpoint : scheme.endpoints()) {
        if (endpoint.asked()) return true;
      }
    }
    for (const v1::AskedName& asked : response.asks()) {
      if (asked.client_certificate() != v1::Listener::NONE) return true;
    }
    return false;
  }
  // Accepted, and kept out by a policy all the same.
  if (response.access().status() == 403) return false;
  for (const v1::SchemeVerdict& verdict : response.verdicts()) {
    if (verdict.accepted()) return true;
  }
  return false;
}

}  // namespace

int Explain(Context& context, const ExplainFlags& flags) {
  absl::StatusOr<v1::ExplainRequest> request = RequestOf(flags);
  if (!request.ok()) {
    Fail(context, request.status());
    return kUsage;
  }
  if (flags.chain.empty() && flags.event.empty() && flags.route.empty() && flags.listener.empty() &&
      flags.scheme.empty()) {
    Fail(context, absl::InvalidArgumentError("say what to explain: --chain, --from-event, --route or --listener; or --scheme, of one that a service decides"));
    return kUsage;
  }
  KeyFinding key;
  if (!flags.chain.empty()) {
    absl::StatusOr<certs::Bundle> bundle = ReadBundleFile(context, flags.chain, flags.password_stdin);
    if (!bundle.ok()) return Fail(context, bundle.status());
    if (bundle->certificates.empty()) {
      return Fail(context, absl::InvalidArgumentError(absl::StrCat(EscapeText(flags.chain), " holds no certificate")));
    }
    // A client that is given PEM sends the first as its own; other forms have no order.
    const bool ordered = bundle->form == certs::Bundle::Form::kPem;
    const std::vector<certs::CertificateRef> chain =
        ordered ? bundle->certificates : certs::LeafFirst(bundle->certificates);
    absl::StatusOr<KeyFinding> found = CheckKey(context, flags, *bundle, *chain.front());
    if (!found.ok()) return Fail(context, found.status());
    key = *std::move(found);
    request->set_chain_pem(certs::ChainToPem(chain));
  } else if (!flags.key.empty()) {
    Fail(context, absl::InvalidArgumentError("--key: is looked at together with --chain"));
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::ExplainResponse> response = (*client)->Explain(*request);
  if (!response.ok()) return Fail(context, response.status());
  const bool good = Good(*response) && key.fits;
  if (flags.output == Output::kJson) {
    const int code = PrintJson(context, *response);
    if (!key.fits) context.err() << key.text << "\n";
    return code == kOk && !good ? kRefused : code;
  }
  const absl::Time now = request->has_at() ? absl::FromUnixSeconds(request->at().seconds()) : absl::Now();
  const Style style(context.color);
  if (!key.text.empty()) {
    context.out() << style.Bold(Padded("key", kExplainIndent)) << (key.fits ? key.text : style.Red(key.text)) << "\n";
  }
  context.out() << ExplainText(*request, *response, now, style);
  if (!key.fits) context.out() << style.Red("No client can present it: see key.") << "\n";
  return good ? kOk : kRefused;
}

}  // namespace gatehouse::cli
