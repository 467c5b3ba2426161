#include "control/events/slots.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "gateway/events/wire.h"

namespace gatehouse::hub {
namespace {

events::Event Full() {
  events::Event event;
  event.outcome = events::Outcome::kAllowed;
  event.time = absl::FromUnixNanos(1'700'000'000'123'456'789);
  event.sampled = 7;
  events::Facts& facts = event.Own();
  facts.route = "orders";
  facts.principal = "CN=a";
  facts.schemes = {"clients", "people"};
  event.SetRequest({.method = "GET", .path = "/"});
  return event;
}

void ExpectAsRead(const events::Event& event, absl::string_view gateway) {
  std::string wire;
  events::AppendWire(event, gateway, &wire);
  Facts read;
  ASSERT_TRUE(ReadFacts(wire, &read));
  Facts facts;
  facts.route = facts.gateway = "of another";
  facts.schemes = {"of another"};
  facts.sampled = 99;
  SetFacts(event, gateway, &facts);
  EXPECT_EQ(facts.type, read.type);
  EXPECT_EQ(facts.outcome, read.outcome);
  EXPECT_EQ(facts.reason, read.reason);
  EXPECT_EQ(facts.sampled, read.sampled);
  EXPECT_EQ(facts.micros, read.micros);
  EXPECT_EQ(facts.gateway, read.gateway);
  EXPECT_EQ(facts.route, read.route);
  EXPECT_EQ(facts.schemes, read.schemes);
}

TEST(SlotsTest, TheFactsOfASlotAreThoseOfItsWireForm) {
  ExpectAsRead(Full(), "edge-1");
  ExpectAsRead(Full(), "");

  events::Event refused = Full();
  events::Facts& facts = refused.Own();
  facts.principal.clear();
  facts.schemes = {"clients"};
  refused.outcome = events::Outcome::kRefused;
  refused.reason = Reason::kUnknownIssuer;
  ExpectAsRead(refused, "edge-1");

  for (events::EventKind kind : {events::EventKind::kHandshake, events::EventKind::kCut, events::EventKind::kConfig,
                                 events::EventKind::kGateway, events::EventKind::kExpiry, events::EventKind::kGuessing,
                                 events::EventKind::kUpstream}) {
    events::Event other = Full();
    other.kind = kind;
    ExpectAsRead(other, "edge-1");
  }
}

TEST(SlotsTest, WhatIsPublishedFromSlotsIsWatchedAndCounted) {
  const SystemClock clock;
  Hub hub(clock);
  v1::WatchRequest from_now;
  auto watcher = hub.Watch(from_now, [] {});
  ASSERT_TRUE(watcher.ok());
  std::vector<events::Event> slots(3, Full());
  for (events::Event& slot : slots) slot.time = clock.Now();
  slots[1].dropped_before = 2;
  const events::Event* pointers[] = {&slots[0], &slots[1], &slots[2]};
  PublishSlots(events::Batch(pointers), "edge-1", &hub);

  std::vector<Watcher::Piece> pieces;
  EXPECT_EQ((*watcher)->Next(100, 1 << 20, &pieces).events, 3u);
  std::string bytes;
  for (const Watcher::Piece& piece : pieces) bytes.append(piece.bytes.data(), piece.bytes.size());
  v1::WatchResponse response;
  ASSERT_TRUE(response.ParseFromString(bytes));
  ASSERT_EQ(response.events_size(), 3);
  EXPECT_EQ(response.events(2).request().route(), "orders");
  EXPECT_EQ(response.events(2).gateway(), "edge-1");
  EXPECT_EQ(hub.stats().lost, 2u);
  v1::SummaryRequest by_route;
  by_route.add_by(v1::SummaryRequest::ROUTE);
  const auto summary = hub.summary().Count(by_route);
  ASSERT_TRUE(summary.ok()) << summary.status();
  ASSERT_EQ(summary->rows_size(), 1);
  EXPECT_EQ(summary->rows(0).route(), "orders");
  EXPECT_EQ(summary->rows(0).count(), 21u);
}

}  // namespace
}  // namespace gatehouse::hub
