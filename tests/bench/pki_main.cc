// bench_pki: mints what the benchmark needs: a root, an intermediate, a server certificate and many client leaves, all
// ECDSA P-256.
//
//   bench_pki DIRECTORY LEAVES
//
// Writes root.pem, intermediate.pem, server.pem (with the intermediate), server.key, server-all.pem (the two together,
// for HAProxy) and leaves.pem: certificate, key, certificate, key …
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/base/status.h"
#include "gateway/certs/mint.h"

namespace gatehouse::bench {
namespace {

using certs::CertificateRef;
using certs::MintRequest;
using certs::Profile;

MintRequest RequestOf(Profile profile, std::string subject, int days) {
  MintRequest request;
  request.profile = profile;
  request.subject = std::move(subject);
  const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  request.not_before = now - absl::Minutes(5);
  request.not_after = now + absl::Hours(24) * days;
  return request;
}

absl::Status Write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file.good() ? absl::OkStatus() : absl::InternalError(absl::StrCat(path, ": cannot be written"));
}

absl::Status MintAll(const std::string& directory, int leaves) {
  struct Party {
    UniqueKey key;
    CertificateRef certificate;
    certs::Signer signer() const { return {certificate.get(), key.get()}; }
  };
  auto make = [](const MintRequest& request, std::optional<certs::Signer> signer) -> absl::StatusOr<Party> {
    Party party;
    GH_ASSIGN_OR_RETURN(party.key, certs::MintKey(certs::KeyType::kP256));
    GH_ASSIGN_OR_RETURN(party.certificate, certs::Mint(request, party.key.get(), signer));
    return party;
  };
  GH_ASSIGN_OR_RETURN(Party root, make(RequestOf(Profile::kCa, "CN=Bench Root,O=Gatehouse Bench", 3650), std::nullopt));
  GH_ASSIGN_OR_RETURN(Party intermediate,
                      make(RequestOf(Profile::kIntermediate, "CN=Bench Intermediate,O=Gatehouse Bench", 1825),
                           root.signer()));
  MintRequest request = RequestOf(Profile::kLeaf, "CN=localhost,O=Gatehouse Bench", 365);
  request.client_use = false;
  request.server_use = true;
  request.sans = {{certs::SanKind::kDns, "localhost"}, {certs::SanKind::kIp, "127.0.0.1"}};
  GH_ASSIGN_OR_RETURN(Party server, make(request, intermediate.signer()));
  GH_ASSIGN_OR_RETURN(Secret server_key, certs::KeyToPem(server.key.get()));
  const std::string server_chain = certs::ChainToPem({server.certificate, intermediate.certificate});
  const std::string server_key_pem(server_key.Reveal());
  GH_RETURN_IF_ERROR(Write(directory + "/root.pem", certs::ChainToPem({root.certificate})));
  GH_RETURN_IF_ERROR(Write(directory + "/intermediate.pem", certs::ChainToPem({intermediate.certificate})));
  GH_RETURN_IF_ERROR(Write(directory + "/server.pem", server_chain));
  GH_RETURN_IF_ERROR(Write(directory + "/server.key", server_key_pem));
  GH_RETURN_IF_ERROR(Write(directory + "/server-all.pem", server_chain + server_key_pem));
  std::string bundle;
  for (int i = 0; i < leaves; ++i) {
    MintRequest leaf = RequestOf(Profile::kLeaf, absl::StrCat("CN=client-", i, ",OU=Clients,O=Gatehouse Bench"), 365);
    leaf.sans = {{certs::SanKind::kEmail, absl::StrCat("client-", i, "@example.test")}};
    GH_ASSIGN_OR_RETURN(Party client, make(leaf, intermediate.signer()));
    GH_ASSIGN_OR_RETURN(Secret key, certs::KeyToPem(client.key.get()));
    absl::StrAppend(&bundle, certs::ChainToPem({client.certificate}), key.Reveal());
  }
  return Write(directory + "/leaves.pem", bundle);
}

int Run(int argc, char** argv) {
  const int leaves = argc == 3 ? std::atoi(argv[2]) : 0;
  if (leaves < 1 || leaves > 1'000'000) {
    std::fprintf(stderr, "usage: bench_pki DIRECTORY LEAVES\n");
    return 2;
  }
  absl::Status status = MintAll(argv[1], leaves);
  if (!status.ok()) {
    std::fprintf(stderr, "bench_pki: error: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) { return gatehouse::bench::Run(argc, argv); }
