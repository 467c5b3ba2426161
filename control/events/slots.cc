#include "control/events/slots.h"

#include "gateway/events/wire.h"

namespace gatehouse::hub {

Facts FactsOf(const events::Event& event, absl::string_view gateway) {
  Facts facts;
  facts.type = events::TypeOf(event.kind);
  facts.outcome = events::OutcomeOf(event.outcome);
  facts.reason = static_cast<int>(event.reason);
  facts.sampled = event.sampled;
  facts.micros = absl::ToUnixMicros(event.time);
  facts.gateway = gateway;
  if (event.kind == events::EventKind::kDecision && event.route != nullptr) facts.route = *event.route;
  if (event.identity != nullptr) {
    facts.schemes.assign(event.identity->schemes.begin(), event.identity->schemes.end());
  } else if (event.scheme != nullptr) {
    facts.schemes.push_back(*event.scheme);
  }
  return facts;
}

void PublishSlots(events::Batch batch, absl::string_view gateway, Hub* hub) {
  hub->Publish(batch.size(), [&](size_t i, std::string* out, Facts* facts) {
    events::AppendWire(*batch[i], gateway, out);
    *facts = FactsOf(*batch[i], gateway);
    return batch[i]->dropped_before;
  });
}

}  // namespace gatehouse::hub
