// get with labels and watches, describe with what is related, diff, export, history and prune.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/cli/cli_fixture.h"
#include "client/cli/progress.h"
#include "client/cli/references.h"
#include "gateway/base/digest.h"
#include "google/protobuf/text_format.h"

namespace gatehouse::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kRoute[] = "kind: Route\nname: a\nmatch: {path: /}\nanonymous: true\nidentity_response: {}\n";

v1::Resource Parse(const std::string& text) {
  v1::Resource resource;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &resource)) << text;
  return resource;
}

class ConfigCommandsTest : public CliTest {
 protected:
  void Store(const std::string& text) {
    v1::Resource resource = Parse(text);
    server_.resources[client::IdText(client::KindOf(resource), client::NameOf(resource))] = resource;
  }
  void PlanOneChange() {
    server_.apply_answer.set_revision(41);
    v1::Change& change = *server_.apply_answer.add_changes();
    change.mutable_id()->set_kind(v1::ROUTE);
    change.mutable_id()->set_name("a");
    change.set_action(v1::Change::ADDED);
  }
};

TEST_F(ConfigCommandsTest, GetPrintsNamesThatOtherCommandsTake) {
  Store("route {name: 'a'}");
  Store("route {name: 'b'}");
  EXPECT_EQ(Ctl({"get", "routes", "-o", "name"}), kOk);
  EXPECT_EQ(out_, "routes/a\nroutes/b\n");
  EXPECT_EQ(Ctl({"get", "routes/a", "-o", "name"}), kOk);
  EXPECT_EQ(out_, "routes/a\n");
  EXPECT_EQ(Ctl({"get", "route", "b", "a", "-o", "name"}), kOk);
  EXPECT_EQ(out_, "routes/b\nroutes/a\n");
  EXPECT_EQ(Ctl({"get", "routes", "-l", "app=shop,tier=web", "-l", "x=y=z"}), kOk);
  EXPECT_THAT(server_.listed.labels(), SizeIs(3));
  EXPECT_EQ(server_.listed.labels().at("x"), "y=z");
  EXPECT_EQ(Ctl({"get", "routes", "-l", "app"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("is not KEY=VALUE"));
  EXPECT_EQ(Ctl({"get", "routes", "-l", "a=1,a=2"}), kUsage);
  EXPECT_EQ(Ctl({"get", "routes", "a", "-l", "a=1"}), kUsage);
  EXPECT_EQ(Ctl({"get", "all", "a"}), kUsage);
  EXPECT_EQ(Ctl({"delete", "route"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("say which one"));
}

TEST_F(ConfigCommandsTest, AWatchThatBreaksIsTakenUpAgainAndTellsNothingTwice) {
  const auto message = [](uint64_t revision, const std::vector<std::string>& routes, bool synced) {
    v1::WatchResourcesResponse response;
    response.set_revision(revision);
    for (const std::string& route : routes) {
      v1::Route& added = *response.add_resources()->mutable_route();
      added.set_name(route.substr(0, 1));
      added.set_etag(route.substr(1));
      added.mutable_match()->set_path("/" + route);
    }
    response.set_synced(synced);
    return response;
  };
  v1::WatchResourcesResponse removed;
  removed.add_removed("b");
  server_.resource_streams = {{message(1, {"a1", "b1", "c1"}, true), message(2, {"a2"}, false), removed},
                              {message(5, {"a2", "d1"}, true), message(6, {"d2"}, false)}};
  EXPECT_EQ(Ctl({"get", "routes", "-w", "-l", "app=shop"}), kPermissionDenied);
  std::vector<std::string> lines;
  std::istringstream text(out_);
  for (std::string line; std::getline(text, line);) lines.push_back(line.substr(0, 3) + line.substr(line.rfind(' ')));
  EXPECT_THAT(lines, ElementsAre("  a /a1", "  b /b1", "  c /c1", "~ a /a2", "- b b", "+ d /d1", "- c c", "~ d /d2"));
  EXPECT_THAT(err_, HasSubstr("interrupted: restart; trying again"));
  ASSERT_THAT(server_.resource_watches, SizeIs(3));
  EXPECT_EQ(server_.resource_watches[0].labels().at("app"), "shop");

  server_.resource_watches.clear();
  server_.resource_streams = {{message(1, {"a1"}, true), message(2, {"a2"}, false)}};
  EXPECT_EQ(Ctl({"get", "route", "a", "--watch-only", "-o", "json"}), kPermissionDenied);
  EXPECT_EQ(out_, R"({"kind":"Route","name":"a","match":{"path":"/a2"}})" "\n");
  EXPECT_EQ(server_.resource_watches[0].name(), "a");

  server_.resource_watches.clear();
  server_.resource_streams = {{message(1, {"z1"}, false)},
                              {message(2, {"a1", "b1"}, true), message(3, {"a2"}, false)},
                              {message(5, {"a2", "c1"}, true)}};
  EXPECT_EQ(Ctl({"get", "routes", "--watch-only", "-o", "name"}), kPermissionDenied);
  EXPECT_EQ(out_, "routes/a\nroutes/c\n-routes/b\n") << "what changed while the watch was broken, and nothing else";
  EXPECT_FALSE(server_.resource_watches[2].only_changes());
  EXPECT_EQ(Ctl({"get", "all", "-w"}), kUsage);
}

TEST_F(ConfigCommandsTest, DescribeTellsWhatIsRelatedAndWhatHappened) {
  Store("scheme {name: 'Basic' basic {user_store: 'staff'}}");
  Store("user_store {name: 'staff'}");
  Store("route {name: 'orders' require {any_of: 'Basic' policies: 'buyers'} upstream: 'backend' listeners: 'edge'}");
  Store("route {name: 'any' require {any_scheme: true}}");
  Store("policy {name: 'buyers' condition {claim {type: 'role' scheme: 'Basic'}}}");
  v1::Event event;
  event.set_type(v1::Event::DECISION);
  event.set_outcome(v1::Event::REFUSED);
  event.set_detail("no password");
  server_.streams = {{event}};
  EXPECT_EQ(Ctl({"describe", "scheme", "Basic"}), kOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("  refers to:   userStores/staff\n"), HasSubstr("  used by:     policies/buyers routes/orders\n"),
                          HasSubstr("  used by:     1 route with any_scheme\n"), HasSubstr("  events of the last hour:\n"),
                          HasSubstr("no password")));
  ASSERT_THAT(server_.watches, SizeIs(1));
  EXPECT_THAT(server_.watches[0].filter().schemes(), ElementsAre("Basic"));
  EXPECT_TRUE(server_.watches[0].from_oldest());
  EXPECT_GT(server_.watches[0].since().seconds(), 0);
  EXPECT_EQ(Ctl({"describe", "routes/orders"}), kOk) << err_;
  EXPECT_THAT(out_, HasSubstr("  refers to:   listeners/edge schemes/Basic policies/buyers upstreams/backend\n"));
  EXPECT_EQ(Ctl({"describe", "routes"}), kOk) << err_;
  EXPECT_THAT(out_, Not(HasSubstr("refers to"))) << "of a list each would be a listing of everything";
}

TEST(ReferencesTest, EveryKindThatRefersIsAmongTheReferrersOfWhatItRefersTo) {
  const char* const kAll[] = {
      "listener {server_certificates: 'c' verify_with: 's'}",
      "scheme {client_certificate {trust_store: 't'}}",
      "scheme {basic {user_store: 'u'}}",
      "policy {condition {none_of {conditions {policy: 'p'} conditions {certificate {scheme: 's'}} conditions {claim {scheme: 's2'}}}}}",
      "upstream {tls {trust_store: 't' client_certificate: 'c'}}",
      "route {listeners: 'l' require {all_of: 's' policies: 'p'} upstream: 'u'}"};
  size_t references = 0;
  for (const char* text : kAll) {
    const v1::Resource resource = Parse(text);
    for (const v1::ResourceId& id : References(resource)) {
      ++references;
      EXPECT_THAT(Referrers(id.kind()), testing::Contains(client::KindOf(resource))) << text;
    }
  }
  EXPECT_EQ(references, 13u);
}

TEST_F(ConfigCommandsTest, DiffTellsByItsExitCodeWhetherSomethingDiffers) {
  EXPECT_EQ(Ctl({"diff", "-f", "-"}, kRoute), 0) << err_;
  PlanOneChange();
  EXPECT_EQ(Ctl({"diff", "-f", "-"}, kRoute), 1);
  EXPECT_EQ(out_, "+ routes/a   added\n");
  EXPECT_TRUE(server_.applied[0].options().dry_run());
  EXPECT_EQ(Ctl({"diff", "-f", "-"}, "kind: Route\nnmae: a\n"), 2);
  server_.apply_status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no");
  server_.refuse_plan = true;
  EXPECT_EQ(Ctl({"diff", "-f", "-"}, kRoute), 2) << "1 would say that something differs";
  EXPECT_EQ(Ctl({"diff"}), 2);
  EXPECT_EQ(Ctl({"diff", "-f", "-", "--revision", "1"}, kRoute), 2);

  EXPECT_EQ(Ctl({"diff", "--revision", "3", "5"}), 0) << err_;
  EXPECT_EQ(server_.compared.from_revision(), 3u);
  EXPECT_EQ(server_.compared.to_revision(), 5u);
  server_.compare_answer.mutable_changes()->CopyFrom(server_.apply_answer.changes());
  EXPECT_EQ(Ctl({"diff", "--revision", "3"}), 1);
  EXPECT_FALSE(server_.compared.has_to_revision());
  EXPECT_EQ(out_, "+ routes/a   added\n");
  EXPECT_EQ(Ctl({"diff", "--revision", "x"}), 2);
}

TEST_F(ConfigCommandsTest, PruneNeedsALabelAndSendsIt) {
  PlanOneChange();
  EXPECT_EQ(Ctl({"apply", "-f", "-", "--prune", "-l", "app=shop"}, kRoute), kOk) << err_;
  EXPECT_EQ(server_.applied[0].options().prune_labels().at("app"), "shop");
  EXPECT_EQ(Ctl({"apply", "-f", "-", "--prune"}, kRoute), kUsage);
  EXPECT_THAT(err_, HasSubstr("--prune needs --label"));
  EXPECT_EQ(Ctl({"apply", "-f", "-", "-l", "app=shop"}, kRoute), kUsage);
  EXPECT_EQ(Ctl({"apply", "-f", "-", "--prune", "--replace-all", "-l", "app=shop"}, kRoute), kUsage);
  server_.applied.clear();
  EXPECT_EQ(Ctl({"apply", "-f", "-", "--prune", "-l", "app=shop"}, ""), kRefused);
  EXPECT_THAT(err_, HasSubstr("would delete everything that bears the label"));
  EXPECT_THAT(server_.applied, IsEmpty());
}

TEST_F(ConfigCommandsTest, ExportWritesAFileForEachResourceThatApplyTakesBack) {
  v1::ExportResponse& part = server_.export_parts.emplace_back();
  part.set_revision(9);
  *part.mutable_resources()->add_routes() = Parse("route {name: 'a' match {path: '/a'}}").route();
  *part.mutable_resources()->add_policies() = Parse("policy {name: 'p'}").policy();
  part.set_digest(std::string(32, '\x2a'));
  EXPECT_EQ(Ctl({"export", "route", "policy", "-l", "app=shop", "--revision", "9"}), kOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("kind: Route\nname: a"), HasSubstr("---\n"), EndsWith(absl::StrCat("# revision 9, SHA-256 ", HexLower(std::string(32, '\x2a')), "\n"))));
  EXPECT_THAT(server_.export_asked.kinds(), ElementsAre(v1::ROUTE, v1::POLICY));
  EXPECT_EQ(server_.export_asked.labels().at("app"), "shop");
  EXPECT_EQ(server_.export_asked.revision(), 9u);

  ASSERT_EQ(mkdir(Path("git").c_str(), 0700), 0);
  ASSERT_EQ(mkdir(Path("git/routes").c_str(), 0700), 0);
  Write("git/routes/gone.yaml", "x");
  Write("git/routes/notes.txt", "x");
  EXPECT_EQ(Ctl({"export", "-d", Path("git")}), kOk) << err_;
  EXPECT_THAT(out_, HasSubstr("revision 9: 2 resources, 2 changed, 0 removed"));
  EXPECT_EQ(Ctl({"export", "-d", Path("git"), "--prune"}), kOk) << err_;
  EXPECT_THAT(out_, HasSubstr("revision 9: 2 resources, 0 changed, 1 removed"));
  EXPECT_EQ(ReadBack("git/routes/gone.yaml"), "");
  EXPECT_EQ(ReadBack("git/routes/notes.txt"), "x");
  EXPECT_THAT(ReadBack("git/policies/p.yaml"), HasSubstr("kind: Policy\nname: p"));
  EXPECT_EQ(Ctl({"apply", "-f", Path("git"), "--dry-run"}), kOk) << err_;
  EXPECT_EQ(server_.applied[0].resources().routes_size() + server_.applied[0].resources().policies_size(), 2);
  EXPECT_EQ(Ctl({"export", "--prune"}), kUsage);
  EXPECT_EQ(Ctl({"export", "-d", Path("git"), "--prune", "-l", "a=b"}), kUsage);
}

TEST_F(ConfigCommandsTest, AnExportThatBreaksOffOrNamesAPathIsAnError) {
  v1::ExportResponse& part = server_.export_parts.emplace_back();
  *part.mutable_resources()->add_routes() = Parse("route {name: 'a'}").route();
  EXPECT_EQ(Ctl({"export"}), kUnavailable);
  EXPECT_THAT(err_, HasSubstr("before its last part"));
  server_.export_parts[0].set_digest("x");
  for (const char* name : {"../../escaped", "a/b", ".."}) {
    server_.export_parts[0].mutable_resources()->mutable_routes(0)->set_name(name);
    EXPECT_EQ(Ctl({"export", "-d", Path("git")}), kRefused) << name;
    EXPECT_THAT(err_, HasSubstr("nothing more is written"));
  }
  server_.export_status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no");
  server_.export_parts.clear();
  EXPECT_EQ(Ctl({"export", "routes"}), kPermissionDenied);
}

TEST_F(ConfigCommandsTest, ReadsADirectoryOfFilesAndNoLinkedOnes) {
  PlanOneChange();
  for (const char* folder : {"set", "set/deep", "set/.git"}) ASSERT_EQ(mkdir(Path(folder).c_str(), 0700), 0);
  Write("set/a.yaml", "kind: Route\nname: a\n");
  Write("set/deep/b.json", R"({"kind": "Route", "name": "b"})");
  Write("set/.git/c.yaml", "kind: Route\nname: c\n");
  Write("set/readme.md", "not ours");
  ASSERT_EQ(symlink(".", Path("set/loop").c_str()), 0);
  EXPECT_EQ(Ctl({"apply", "-f", Path("set"), "--dry-run"}), kOk) << err_;
  EXPECT_EQ(server_.applied[0].resources().routes_size(), 2);
  EXPECT_EQ(Ctl({"apply", "-f", Path("set/.git/c.yaml"), "--dry-run"}), kOk) << err_;
  ASSERT_EQ(mkdir(Path("empty").c_str(), 0700), 0);
  EXPECT_EQ(Ctl({"apply", "-f", Path("empty")}), kNotFound);
}

TEST_F(ConfigCommandsTest, AFileThatIsTooLargeIsToBeSplit) {
  const std::string file = Write("all.yaml", "");
  std::filesystem::resize_file(file, (size_t{64} << 20) + 1);
  EXPECT_EQ(Ctl({"apply", "-f", file}), kRefused);
  EXPECT_THAT(err_, HasSubstr("all.yaml has more than 67108864 bytes: split it; several files, or a folder of them"));
  EXPECT_EQ(Ctl({"diff", "-f", "-"}, std::string((size_t{64} << 20) + 1, '\n')), kUsage);
  EXPECT_THAT(err_, HasSubstr("standard input has more than 67108864 bytes: split it"));
  EXPECT_THAT(server_.applied, IsEmpty());
}

TEST_F(ConfigCommandsTest, HistoryTellsAllAboutOneRevision) {
  for (uint64_t number : {9, 8, 7}) {
    v1::Revision& revision = *server_.history_answer.add_revisions();
    revision.set_revision(number);
    revision.set_parent(number - 1);
    revision.set_actor("uid:0");
    revision.set_peer("unix");
    revision.set_method("ConfigService/Apply");
    revision.set_message("why");
    v1::Change& change = *revision.add_changes();
    change.mutable_id()->set_kind(v1::ROUTE);
    change.mutable_id()->set_name("a");
    change.set_action(v1::Change::CHANGED);
    change.add_details("upstream: \"x\" -> \"y\"");
  }
  // Above revision 8, which was in force.
  v1::Revision& join = *server_.history_answer.add_revisions();
  join.set_revision(8);
  join.set_parent(8);
  join.set_entry(4);
  join.set_actor("token:3f");
  join.set_peer("192.0.2.1:5");
  join.set_method("GatewayService/Join");
  join.add_effects("gateway edge-1 joined by token 3f of uid:0");
  join.set_times(2);
  server_.history_answer.mutable_revisions()->SwapElements(1, 3);
  server_.history_answer.mutable_revisions()->SwapElements(2, 3);
  EXPECT_EQ(Ctl({"history", "8"}), kOk) << err_;
  EXPECT_THAT(out_, HasSubstr("\nwhile it was in force\n"));
  EXPECT_THAT(out_, HasSubstr("token:3f from 192.0.2.1:5 by GatewayService/Join\n  gateway edge-1 joined by token 3f of uid:0\n"));
  EXPECT_THAT(out_, AllOf(HasSubstr("revision 8   "), HasSubstr("uid:0 from unix by ConfigService/Apply\n  why\n"),
                          HasSubstr("~ routes/a   upstream: \"x\" -> \"y\"\n")));
  EXPECT_EQ(server_.histories.back().show(), v1::HistoryRequest::WRITES);
  EXPECT_EQ(Ctl({"history", "--config"}), kOk);
  EXPECT_EQ(server_.histories.back().show(), v1::HistoryRequest::CONFIGURATION);
  EXPECT_EQ(Ctl({"history", "--all"}), kOk);
  EXPECT_EQ(server_.histories.back().show(), v1::HistoryRequest::EVERYTHING);
  EXPECT_THAT(out_, AllOf(HasSubstr("\nat 8 "), HasSubstr("gateway edge-1 joined by token 3f of uid:0 (2 times since "), HasSubstr("\n8 ")));
  EXPECT_EQ(Ctl({"history", "--all", "--config"}), kUsage);
  EXPECT_EQ(Ctl({"history", "--refused", "8"}), kUsage);
  join.clear_effects();
  join.set_refusal("the token is used up");
  join.set_left_out(5);
  *server_.history_answer.mutable_revisions(1) = join;
  EXPECT_EQ(Ctl({"history", "--refused"}), kOk);
  EXPECT_EQ(server_.histories.back().show(), v1::HistoryRequest::REFUSALS);
  EXPECT_THAT(out_, AllOf(HasSubstr("refused GatewayService/Join: the token is used up (2 times since "),
                          HasSubstr("(5 more before it, of any callers, are not listed)")));
  EXPECT_EQ(Ctl({"history", "8", "--all"}), kOk);
  EXPECT_THAT(out_, HasSubstr("by GatewayService/Join\n  refused: the token is used up (2 times since "));
  EXPECT_EQ(Ctl({"history", "8", "-o", "yaml"}), kOk);
  EXPECT_THAT(out_, HasSubstr("entry: 4\n"));
  EXPECT_EQ(Ctl({"history", "-o", "json"}), kOk);
  EXPECT_THAT(out_, HasSubstr("\"entry\":\"4\""));
  EXPECT_EQ(Ctl({"history", "3"}), kNotFound);
  EXPECT_THAT(err_, HasSubstr("there is no revision 3"));
}

TEST_F(ConfigCommandsTest, ProgressIsToldOnATerminalOnlyAndIsGoneInTheEnd) {
  for (const bool terminal : {false, true}) {
    std::ostringstream err;
    Context context;
    context.streams.err = &err;
    context.streams.err_is_terminal = terminal;
    Mutex mutex;
    CondVar changed;
    int asked = 0;
    Progress progress(context, [&](Progress& told) {
      told.Say("waiting for edge-2");
      MutexLock lock(&mutex);
      ++asked;
      changed.SignalAll();
    });
    progress.Say("sending 1 of 2 MiB");
    if (terminal) {
      MutexLock lock(&mutex);
      while (asked < 2) changed.Wait(&mutex);
    }
    progress.Stop();
    if (terminal) {
      EXPECT_THAT(err.str(), AllOf(HasSubstr("waiting for edge-2"), EndsWith("\r\033[K")));
    } else {
      EXPECT_EQ(err.str(), "");
    }
  }
}

TEST(WaitingTextTest, NamesTheFirstOfThoseWhoLag) {
  v1::Status status;
  for (int i = 1; i <= 5; ++i) {
    v1::GatewayStatus& gateway = *status.add_gateways();
    gateway.set_name(absl::StrCat("edge-", i));
    gateway.set_connected(i != 2);
    gateway.set_acknowledged_revision(i == 1 ? 7 : 6);
  }
  EXPECT_EQ(WaitingText(status, 7), "waiting for edge-3, edge-4, edge-5");
  status.mutable_gateways(0)->set_acknowledged_revision(6);
  EXPECT_EQ(WaitingText(status, 7), "waiting for edge-1, edge-3, edge-4 and 1 more");
}

}  // namespace
}  // namespace gatehouse::cli
