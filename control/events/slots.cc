#include "control/events/slots.h"

#include "gateway/events/wire.h"

namespace gatehouse::hub {

void SetFacts(const events::Event& event, absl::string_view gateway, Facts* facts) {
  facts->type = events::TypeOf(event.kind);
  facts->outcome = events::OutcomeOf(event.outcome);
  facts->reason = static_cast<int>(event.reason);
  facts->sampled = event.sampled;
  facts->micros = absl::ToUnixMicros(event.time);
  facts->gateway = gateway;
  facts->route = event.kind == events::EventKind::kDecision ? absl::string_view(event.facts->route) : absl::string_view();
  facts->schemes.assign(event.facts->schemes.begin(), event.facts->schemes.end());
}

void PublishSlots(events::Batch batch, absl::string_view gateway, Hub* hub) {
  events::WireAppender appender(gateway);
  hub->Publish(batch.size(), [&](size_t i, std::string* out, Facts* facts) {
    appender.Append(*batch[i], out);
    SetFacts(*batch[i], gateway, facts);
    return batch[i]->dropped_before;
  });
}

}  // namespace gatehouse::hub
