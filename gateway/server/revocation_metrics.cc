#include "gateway/server/revocation_metrics.h"

#include <string>

namespace gatehouse::server {

void AddRevocationMetrics(const RevocationDesk& desk, metrics::Registry* registry) {
  using metrics::SourceType;
  using Kind = certs::Inquiry::Kind;
  for (const Kind kind : {Kind::kOcsp, Kind::kCrl}) {
    for (size_t i = 0; i < RevocationDesk::kOutcomes; ++i) {
      const auto outcome = static_cast<RevocationDesk::Outcome>(i);
      registry->AddSource(SourceType::kCounter, "gatehouse_revocation_fetches_total",
                          "Fetches of CRLs and OCSP answers, by what became of them.",
                          {{"kind", kind == Kind::kOcsp ? "ocsp" : "crl"},
                           {"outcome", std::string(RevocationDesk::OutcomeName(outcome))}},
                          [&desk, kind, outcome] { return static_cast<double>(desk.fetches(kind, outcome)); });
    }
  }
  registry->AddSource(SourceType::kCounter, "gatehouse_revocation_fetch_seconds_total",
                      "Time that all these fetches took together.", {},
                      [&desk] { return desk.fetch_seconds(); });
  const auto gauge = [&desk, registry](const char* family, const char* help, size_t RevocationDesk::Sizes::*size) {
    registry->AddSource(SourceType::kGauge, family, help, {},
                        [&desk, size] { return static_cast<double>(desk.sizes().*size); });
  };
  gauge("gatehouse_revocation_fetches_running", "Fetches that are under way.", &RevocationDesk::Sizes::flights);
  gauge("gatehouse_revocation_ocsp_answers", "OCSP answers in memory.", &RevocationDesk::Sizes::answers);
  gauge("gatehouse_revocation_lists", "CRLs in memory, fetched and watched.", &RevocationDesk::Sizes::lists);
  gauge("gatehouse_revocation_list_bytes", "Memory of fetched CRLs.", &RevocationDesk::Sizes::list_bytes);
  gauge("gatehouse_revocation_cache_bytes", "Size of the cache on disk.", &RevocationDesk::Sizes::file_bytes);
}

}  // namespace gatehouse::server
