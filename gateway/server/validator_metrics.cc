#include "gateway/server/validator_metrics.h"

#include <functional>
#include <string>
#include <utility>

namespace gatehouse::server {

void AddValidatorMetrics(const delegate::Desk& desk, metrics::Registry* registry) {
  using delegate::Desk;
  using metrics::SourceType;
  const auto add = [&desk, registry](SourceType type, const char* family, const char* help,
                                     std::function<double(const Desk&)> read, metrics::Registry::Labels labels = {}) {
    registry->AddSource(type, family, help, std::move(labels), [&desk, read = std::move(read)] { return read(desk); });
  };
  for (size_t i = 0; i < Desk::kOutcomes; ++i) {
    const auto outcome = static_cast<Desk::Outcome>(i);
    add(SourceType::kCounter, "gatehouse_validator_calls_total",
        "Calls to users' own validation services, by what became of them.",
        [outcome](const Desk& d) { return static_cast<double>(d.calls(outcome)); },
        {{"outcome", std::string(Desk::OutcomeName(outcome))}});
  }
  add(SourceType::kCounter, "gatehouse_validator_call_seconds_total", "Time that all these calls took together.",
      [](const Desk& d) { return d.call_seconds(); });
  add(SourceType::kCounter, "gatehouse_validator_memory_hits_total", "Requests whose answer was remembered.",
      [](const Desk& d) { return static_cast<double>(d.memory_hits()); });
  add(SourceType::kCounter, "gatehouse_validator_breakers_opened_total",
      "How often an endpoint ceased to answer and was left alone.",
      [](const Desk& d) { return static_cast<double>(d.breakers_opened()); });
  add(SourceType::kGauge, "gatehouse_validator_calls_running", "Calls that are under way.",
      [](const Desk& d) { return static_cast<double>(d.sizes().running); });
  add(SourceType::kGauge, "gatehouse_validator_answers", "Answers that are remembered.",
      [](const Desk& d) { return static_cast<double>(d.sizes().answers); });
  add(SourceType::kGauge, "gatehouse_validator_breakers_open", "Endpoints that are left alone now.",
      [](const Desk& d) { return static_cast<double>(d.sizes().open_breakers); });
}

}  // namespace gatehouse::server
