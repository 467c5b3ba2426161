// Text that strangers wrote (names in certificates, users, labels, paths, events) never reaches a terminal as it is: what would
// move the cursor, clear the screen or turn the direction of text is escaped by every command that prints.
#include <gmock/gmock.h>

#include "client/cli/cli_fixture.h"

namespace gatehouse::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// ESC, a C1 control sequence introducer, a right-to-left override, an isolate, DEL.
constexpr char kHostile[] = "evil\x1b[2J\xc2\x9b" "2J\xe2\x80\xae\xe2\x81\xa6\x7f.";

class HostileTextTest : public CliTest {
 protected:
  HostileTextTest() {
    v1::Resource route;
    route.mutable_route()->set_name(kHostile);
    (*route.mutable_route()->mutable_labels())[kHostile] = kHostile;
    route.mutable_route()->mutable_match()->set_path(kHostile);
    route.mutable_route()->mutable_match()->add_hosts(kHostile);
    route.mutable_route()->set_upstream(kHostile);
    route.mutable_route()->mutable_require()->add_any_of(kHostile);
    server_.resources[std::string("routes/") + kHostile] = route;
    v1::Resource scheme;
    scheme.mutable_scheme()->set_name("s");
    scheme.mutable_scheme()->mutable_basic()->set_realm(kHostile);
    scheme.mutable_scheme()->mutable_basic()->set_user_store(kHostile);
    server_.resources["schemes/s"] = scheme;
    v1::Resource store;
    store.mutable_trust_store()->set_name("t");
    v1::Pin& pin = *store.mutable_trust_store()->add_pins();
    pin.set_spki_sha256(kHostile);
    pin.set_comment(kHostile);
    server_.resources["trustStores/t"] = store;

    v1::Change& change = *server_.apply_answer.add_changes();
    change.mutable_id()->set_kind(v1::ROUTE);
    change.mutable_id()->set_name(kHostile);
    change.add_details(kHostile);
    v1::Violation& warning = *server_.apply_answer.add_warnings();
    warning.set_path(kHostile);
    warning.set_message(kHostile);
    server_.force.set_gateways(2);
    server_.force.add_lagging(kHostile);
    *server_.compare_answer.add_changes() = change;
    v1::Revision& revision = *server_.history_answer.add_revisions();
    revision.set_revision(7);
    revision.set_actor(kHostile);
    revision.set_peer(kHostile);
    revision.set_method(kHostile);
    revision.set_message(kHostile);
    *revision.add_changes() = change;
    v1::Revision& entry = *server_.history_answer.add_revisions();
    entry = revision;
    entry.set_entry(1);
    entry.add_effects(kHostile);
    server_.history_answer.mutable_revisions()->SwapElements(0, 1);
    v1::Revision& refused = *server_.history_answer.add_revisions();
    refused = entry;
    refused.clear_effects();
    refused.set_refusal(kHostile);
    v1::ExportResponse& part = server_.export_parts.emplace_back();
    *part.mutable_resources()->add_routes() = route.route();
    part.set_digest(std::string(32, 'x'));
    v1::WatchResourcesResponse message;
    *message.add_resources() = route;
    message.set_synced(true);
    v1::WatchResourcesResponse gone;
    gone.add_removed(kHostile);
    server_.resource_streams = {{message, gone}};
    v1::GatewayStatus& gateway = *server_.status_answer.add_gateways();
    gateway.set_name(kHostile);
    gateway.set_version(kHostile);
    gateway.set_peer(kHostile);
    gateway.set_refused_revision(3);
    *gateway.add_violations() = warning;
    v1::Event event;
    event.set_detail(kHostile);
    event.set_principal(kHostile);
    event.mutable_request()->set_path(kHostile);
    event.mutable_request()->set_route(kHostile);
    server_.streams = {{event}};
    v1::StoredUser& user = server_.stored_users.emplace_back();
    user.mutable_user()->set_name(kHostile);
    v1::UserClaim& claim = *user.mutable_user()->add_claims();
    claim.set_type(kHostile);
    claim.set_value(kHostile);
    v1::Lockout& lockout = *server_.lockouts_answer.add_lockouts();
    lockout.set_user(kHostile);
  }

  void Clean(const std::vector<std::string>& arguments, const std::string& input = "") {
    server_.resource_watches.clear();
    server_.watches.clear();
    Ctl(arguments, input);
    const std::string shown = out_ + err_;
    EXPECT_FALSE(shown.empty());
    for (const char* raw : {"\x1b", "\xc2\x9b", "\xe2\x80\xae", "\xe2\x81\xa6", "\x7f"}) {
      EXPECT_THAT(shown, Not(HasSubstr(raw))) << ::testing::PrintToString(arguments);
    }
  }
};

constexpr char kSet[] = "kind: Route\nname: a\nmatch: {path: /}\nanonymous: true\nidentity_response: {}\n";

TEST_F(HostileTextTest, NoCommandPrintsItRaw) {
  for (const char* output : {"table", "yaml", "json", "name"}) {
    Clean({"get", "routes", "-o", output});
    Clean({"get", "all", "-o", output});
    Clean({"get", "routes", "-w", "-o", output});
  }
  Clean({"get", "routes", kHostile});
  Clean({"get", kHostile});
  Clean({"describe", "route", kHostile});
  Clean({"describe", "schemes"});
  Clean({"describe", "trust-store", "t"});
  Clean({"delete", "route", kHostile});
  Clean({"apply", "-f", "-"}, kSet);
  Clean({"apply", "-f", "-"}, std::string("kind: Route\nname: \"") + "\\u202e\\x9b\"\nnope: 1\n");
  Clean({"diff", "-f", "-"}, kSet);
  Clean({"diff", "--revision", "1"});
  Clean({"rollback", "1"});
  Clean({"history"});
  Clean({"history", "7"});
  Clean({"history", "7", "--json"});
  Clean({"history", "-o", "yaml"});
  Clean({"export"});
  Clean({"export", "-d", Path("out")});
  Clean({"status"});
  Clean({"status", "--json"});
  Clean({"events", "watch", "--count", "1", "--output", "text"});
  Clean({"events", "watch", "--count", "1", "--output", "json"});
  Clean({"user", "list", "staff"});
  Clean({"user", "list", "staff", "-o", "json"});
  Clean({"user", "show", "staff", kHostile});
  Clean({"lockouts", "list"});
  Clean({"lockouts", "list", "-o", "yaml"});
  Clean({"lockouts", "list", "-o", "json"});
  Clean({"context", "use", kHostile});
  Clean({"--context", kHostile, "status"});
  Clean({kHostile});
  Clean({"get", "routes", "-l", kHostile});
}

TEST_F(HostileTextTest, TheEscapedFormReadsBackAsTheSame) {
  EXPECT_EQ(Ctl({"get", "routes", "-o", "yaml"}), kOk);
  const std::string yaml = out_;
  Ctl({"apply", "-f", "-"}, yaml);
  ASSERT_FALSE(server_.applied.empty()) << err_;
  EXPECT_EQ(server_.applied[0].resources().routes(0).match().path(), kHostile);
  EXPECT_EQ(server_.applied[0].resources().routes(0).labels().at(kHostile), kHostile);
  EXPECT_EQ(Ctl({"get", "routes", "-o", "json"}), kOk);
  const std::string json = out_;
  Ctl({"apply", "-f", "-"}, json);
  EXPECT_EQ(server_.applied[0].resources().routes(0).match().path(), kHostile);
}

}  // namespace
}  // namespace gatehouse::cli
