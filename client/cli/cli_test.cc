// gatehousectl's commands against real services on a real Unix socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "client/cli/cli_fixture.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::cli {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kRoute[] = "kind: Route\nname: a\nmatch: {path: /}\nanonymous: true\nidentity_response: {}\n";

TEST_F(CliTest, ListsAndClearsLockouts) {
  v1::Lockout& lockout = *server_.lockouts_answer.add_lockouts();
  lockout.set_user("ann");
  lockout.set_address("192.0.2.7");
  EXPECT_EQ(Ctl({"lockouts", "list", "--user", "ann", "--address", "192.0.2.7", "--scheme", "Basic", "--gateway", "g", "--all"}),
            kOk);
  EXPECT_EQ(server_.lockouts_asked.ShortDebugString(),
            R"(filter { scheme: "Basic" user: "ann" address: "192.0.2.7" } all: true gateway: "g")");
  EXPECT_THAT(out_, HasSubstr("ann   192.0.2.7"));
  EXPECT_EQ(Ctl({"lockouts", "list", "-o", "json"}), kOk);
  EXPECT_THAT(out_, HasSubstr(R"("user":"ann")"));
  EXPECT_EQ(Ctl({"lockouts", "list", "-o", "yaml"}), kOk);
  EXPECT_THAT(out_, HasSubstr("lockouts:\n  - user: ann\n    address: 192.0.2.7\n"));
  v1::LockoutGateway& lost = *server_.lockouts_answer.add_gateways();
  lost.set_gateway("edge-2");
  lost.set_error("gone");
  EXPECT_EQ(Ctl({"lockouts", "list"}), kUnavailable) << "what is printed is not all";
  EXPECT_THAT(err_, HasSubstr("gateway edge-2 did not answer: gone"));

  EXPECT_EQ(Ctl({"lockouts", "clear", "--user", "ann"}), kOk);
  EXPECT_EQ(server_.cleared.ShortDebugString(), R"(filter { user: "ann" })");
  EXPECT_EQ(out_, "3 entries cleared on 1 gateway\n");
  EXPECT_EQ(Ctl({"lockouts", "clear", "--all"}), kOk);
  EXPECT_TRUE(server_.cleared.all());
  EXPECT_EQ(Ctl({"lockouts", "clear"}), kUsage);
  EXPECT_EQ(Ctl({"lockouts", "clear", "--all", "--user", "ann"}), kUsage) << "one of them is meant";
}

TEST_F(CliTest, TellsHowTheEndpointsOfUpstreamsDo) {
  EXPECT_EQ(Ctl({"upstream", "status"}), kOk);
  EXPECT_EQ(out_, "no upstream is configured\n");
  v1::EndpointStatus& one = *server_.endpoints_answer.add_endpoints();
  one.set_upstream("orders");
  one.set_endpoint("app.test:80");
  one.set_address("192.0.2.7:80");
  one.set_state(v1::EndpointStatus::EJECTED);
  one.set_requests(12);
  one.set_detail("\x1b[31mred");
  EXPECT_EQ(Ctl({"upstream", "status", "orders", "--gateway", "g"}), kOk);
  EXPECT_EQ(server_.endpoints_asked.ShortDebugString(), R"(gateway: "g" upstream: "orders")");
  EXPECT_THAT(out_, HasSubstr("orders    app.test:80  192.0.2.7:80  EJECTED"));
  EXPECT_THAT(out_, ::testing::Not(HasSubstr("\x1b")));
  EXPECT_EQ(Ctl({"upstream", "status", "-o", "json"}), kOk);
  EXPECT_THAT(out_, HasSubstr(R"("state":"EJECTED")"));
  EXPECT_EQ(Ctl({"upstream", "status", "-o", "yaml"}), kOk);
  EXPECT_THAT(out_, HasSubstr("upstream: orders"));
}

TEST_F(CliTest, AWordThatIsNoCommandIsNamedWithWhatWasMeant) {
  EXPECT_EQ(Raw({"appl", "-f", "x"}), 2);
  EXPECT_THAT(err_, HasSubstr("error: no command named \"appl\"; did you mean \"apply\"?"));
  EXPECT_EQ(Raw({"user", "ad", "staff"}), 2);
  EXPECT_THAT(err_, HasSubstr("error: no command named \"ad\"; did you mean \"add\"?"));
  EXPECT_EQ(Raw({}), 2);
  EXPECT_THAT(err_, HasSubstr("error: A subcommand is required"));
  EXPECT_EQ(Raw({"apply"}), 2);
  EXPECT_THAT(err_, HasSubstr("error: --file is required"));
  EXPECT_EQ(Raw({"--help"}), 0);
  EXPECT_EQ(err_, "");
}

TEST_F(CliTest, AppliesWhatItShowedAndSaysWhenItIsInForce) {
  PlanAndForce();
  EXPECT_EQ(Ctl({"apply", "-f", "-", "-m", "note"}, kRoute), kOk) << err_;
  EXPECT_EQ(out_,
            "~ trustStores/partners   anchors: +1 (CN=Partners\\x1B[31m Root) -0\n"
            "revision 42 in force on 3 of 3 gateways after 7 ms\n");
  EXPECT_EQ(err_, "warning: schemes[\"C\"]: look twice\n");
  ASSERT_THAT(server_.applied, SizeIs(1));
  EXPECT_EQ(server_.applied[0].options().expected_revision(), 41u);
  EXPECT_EQ(server_.applied[0].options().message(), "note");
  EXPECT_TRUE(server_.applied[0].options().wait().wait());
  EXPECT_EQ(server_.applied[0].resources().routes(0).name(), "a");
}

TEST_F(CliTest, ChangesNothingInADryRun) {
  PlanAndForce();
  EXPECT_EQ(Ctl({"apply", "--dry-run", "-f", Write("a.yaml", kRoute)}), kOk) << err_;
  EXPECT_TRUE(server_.applied[0].options().dry_run());
  EXPECT_THAT(out_, EndsWith("dry run: nothing was changed at revision 41\n"));
}

TEST_F(CliTest, SaysWhenThereIsNothingToChange) {
  server_.apply_answer.set_revision(5);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, kRoute), kOk);
  EXPECT_EQ(out_, "nothing to change at revision 5\n");
}

TEST_F(CliTest, FailsWhenThereIsNothingToChangeAndAGatewayLags) {
  server_.apply_answer.set_revision(5);
  server_.force.set_gateways(2);
  server_.force.set_in_force(1);
  server_.force.add_lagging("gw-2: refused");
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, kRoute), kNotInForce);
  EXPECT_THAT(out_, AllOf(HasSubstr("nothing to change at revision 5\n"), HasSubstr("in force on 1 of 2 gateways\n  gw-2: refused\n")));
  EXPECT_EQ(Ctl({"apply", "--no-wait", "-f", "-"}, kRoute), kOk);
  EXPECT_EQ(Ctl({"apply", "--dry-run", "-f", "-"}, kRoute), kOk);
  EXPECT_EQ(Ctl({"rollback", "3"}), kNotInForce);
}

TEST_F(CliTest, TellsWhichGatewayLagsAndFailsThen) {
  PlanAndForce();
  server_.force.set_in_force(2);
  server_.force.add_lagging("gw-3: timeout");
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, kRoute), kNotInForce);
  EXPECT_THAT(out_, HasSubstr("revision 42 in force on 2 of 3 gateways\n  gw-3: timeout\n"));
  EXPECT_EQ(Ctl({"apply", "--no-wait", "-f", "-"}, kRoute), kOk);
  EXPECT_THAT(out_, HasSubstr("revision 42 stored; not waited for"));
}

TEST_F(CliTest, NamesEveryViolationWithItsPlace) {
  v1::Violations violations;
  v1::Violation& violation = *violations.add_violations();
  violation.set_path("routes[\"a\"].require.any_of[1]");
  violation.set_message("no scheme named \"Basci\"; did you mean \"Basic\"?");
  server_.apply_status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "invalid", violations.SerializeAsString());
  server_.refuse_plan = true;
  std::string file = Write("a.yaml", std::string("\n") + kRoute);
  EXPECT_EQ(Ctl({"apply", "-f", file}), kRefused);
  EXPECT_EQ(err_, absl::StrCat("error: nothing was changed\n  routes[\"a\"].require.any_of[1]: no scheme named "
                               "\"Basci\"; did you mean \"Basic\"?  (", file, ":2)\n"));
}

TEST_F(CliTest, SendsNothingWhenAFileIsWrong) {
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, "kind: Route\nnmae: a\n"), kRefused);
  EXPECT_THAT(err_, AllOf(HasSubstr("error: nothing was changed\n"), HasSubstr("-:2: ")));
  EXPECT_THAT(server_.applied, IsEmpty());
  EXPECT_EQ(Ctl({"apply", "--replace-all", "-f", "-"}, ""), kRefused);
  EXPECT_THAT(server_.applied, IsEmpty());
}

TEST_F(CliTest, HasAnExitCodeForEachKindOfFailure) {
  server_.apply_answer.set_revision(1);
  server_.refuse_plan = true;
  const std::pair<grpc::StatusCode, int> kCodes[] = {{grpc::StatusCode::INVALID_ARGUMENT, kRefused},
                                                     {grpc::StatusCode::NOT_FOUND, kNotFound},
                                                     {grpc::StatusCode::ABORTED, kConflict},
                                                     {grpc::StatusCode::ALREADY_EXISTS, kConflict},
                                                     {grpc::StatusCode::UNAVAILABLE, kUnavailable},
                                                     {grpc::StatusCode::PERMISSION_DENIED, kPermissionDenied},
                                                     {grpc::StatusCode::UNAUTHENTICATED, kPermissionDenied}};
  for (const auto& [code, exit_code] : kCodes) {
    server_.apply_status = grpc::Status(code, "text \x1b[2J");
    EXPECT_EQ(Ctl({"apply", "-f", "-"}, kRoute), exit_code);
    EXPECT_THAT(err_, Not(HasSubstr("\x1b")));
  }
  EXPECT_EQ(Ctl({"aply"}), kUsage);
  EXPECT_EQ(Ctl({"get", "rout"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean \"route\"?"));
  EXPECT_EQ(Ctl({"get", "routes", "-o", "wide"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("error: --output: no value \"wide\"; there are json, name, table, yaml\n"));
  EXPECT_EQ(Ctl({"history", "yesterday"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("error: revision: \"yesterday\" is no revision as `history` lists them\n"));
  EXPECT_EQ(Ctl({"history", "0"}), kUsage);
  EXPECT_EQ(Ctl({"rollback", "-1"}), kUsage);
  EXPECT_EQ(Raw({"--help"}), kOk);
  EXPECT_THAT(out_, HasSubstr("Exit codes:"));
}

TEST_F(CliTest, SaysThatAChangeMayHaveBeenMadeAllTheSame) {
  PlanAndForce();
  const auto hint = HasSubstr("the control plane may have acted all the same: `gatehousectl history` tells");
  for (grpc::StatusCode code : {grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::CANCELLED, grpc::StatusCode::DEADLINE_EXCEEDED}) {
    server_.refuse_plan = false;
    server_.apply_status = grpc::Status(code, "Socket closed");
    EXPECT_NE(Ctl({"apply", "-f", "-"}, kRoute), kOk);
    EXPECT_THAT(err_, hint) << code;
    EXPECT_NE(Ctl({"rollback", "3"}), kOk);
    server_.refuse_plan = true;
    EXPECT_NE(Ctl({"apply", "-f", "-"}, kRoute), kOk);
    EXPECT_THAT(err_, Not(hint)) << code << ": it was a dry run";
  }
  server_.refuse_plan = false;
  server_.apply_status = grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "too late: nothing was changed");
  EXPECT_NE(Ctl({"apply", "-f", "-"}, kRoute), kOk);
  EXPECT_THAT(err_, Not(hint));
}

TEST_F(CliTest, SaysThatNobodyListens) {
  EXPECT_EQ(Raw({"--server", "unix:/nonexistent/control.sock", "status"}), kUnavailable);
  EXPECT_THAT(err_, HasSubstr("no control plane at /nonexistent/control.sock: is gatehouse running?"));
  EXPECT_EQ(Raw({"--server", "192.0.2.1:7000", "status"}), kRefused);
  EXPECT_THAT(err_, HasSubstr("mutual TLS"));
  EXPECT_EQ(Raw({"--server", "192.0.2.1:7000", "--insecure-loopback", "status"}), kRefused);
  EXPECT_THAT(err_, HasSubstr("only this machine"));
}

TEST_F(CliTest, ListsAllPagesAndExportsWhatCanBeApplied) {
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    v1::Resource resource;
    resource.mutable_route()->set_name(name);
    resource.mutable_route()->mutable_match()->set_path("/x");
    resource.mutable_route()->set_etag("7");
    server_.resources[absl::StrCat("routes/", name)] = resource;
  }
  EXPECT_EQ(Ctl({"get", "routes", "-o", "yaml"}), kOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("name: e"), Not(HasSubstr("etag"))));
  server_.apply_answer.set_revision(1);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, out_), kOk) << err_;
  EXPECT_EQ(server_.applied[0].resources().routes_size(), 5);
  EXPECT_EQ(Ctl({"get", "all", "-o", "json"}), kOk);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, out_), kOk) << err_ << out_;
  EXPECT_EQ(server_.applied[0].resources().routes_size(), 5);
  EXPECT_EQ(Ctl({"get", "route", "a"}), kOk);
  EXPECT_THAT(out_, HasSubstr("/x"));
  EXPECT_EQ(Ctl({"describe", "route", "zzz"}), kNotFound);
}

TEST_F(CliTest, CutsALargeSetIntoSmallMessages) {
  std::string text;
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&text, "kind: Route\nname: r", i, "\nfixed_response: {body: \"", std::string(60'000, 'x'),
                    "\"}\n---\n");
  }
  server_.apply_answer.set_revision(1);
  EXPECT_EQ(Ctl({"apply", "-f", "-"}, text), kOk) << err_;
  EXPECT_GT(server_.applied.size(), 3u);
  int routes = 0;
  for (const v1::ApplyRequest& request : server_.applied) {
    EXPECT_LE(request.ByteSizeLong(), 1u << 20);
    routes += request.resources().routes_size();
  }
  EXPECT_EQ(routes, 60);
}

TEST_F(CliTest, MintsAndPinsAndRemovesACertificate) {
  ASSERT_EQ(Raw({"cert", "new", "ca", "--subject", "CN=Root", "--out", Path("ca.pem"), "--key-out", Path("ca.key")}),
            kOk) << err_;
  ASSERT_EQ(Raw({"cert", "new", "leaf", "--subject", "CN=alice", "--san", "dns:a.example", "--ca", Path("ca.pem"),
                 "--ca-key", Path("ca.key"), "--out", Path("alice.pem"), "--key-out", Path("alice.key"), "--pfx",
                 Path("alice.pfx"), "--pfx-password-stdin"}, "secret\n"),
            kOk) << err_;
  struct stat info = {};
  ASSERT_EQ(stat(Path("alice.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(Path("alice.pfx").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(Raw({"cert", "show", Path("alice.pem")}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("CN=alice"), HasSubstr("a.example")));
  // An existing file is not overwritten.
  std::string before = ReadBack("ca.key");
  EXPECT_EQ(Raw({"cert", "new", "ca", "--subject", "CN=X", "--out", Path("x.pem"), "--key-out", Path("ca.key")}),
            kConflict);
  EXPECT_EQ(ReadBack("ca.key"), before);

  server_.force.set_gateways(1);
  server_.force.set_in_force(1);
  v1::Resource store;
  store.mutable_trust_store()->set_name("partners");
  store.mutable_trust_store()->set_etag("e1");
  server_.resources["trustStores/partners"] = store;
  server_.conflicts = 2;
  EXPECT_EQ(Ctl({"trust-store", "add-cert", "partners", Path("ca.pem"), "--as", "anchor"}), kOk) << err_;
  ASSERT_THAT(server_.updates, SizeIs(1));
  EXPECT_THAT(server_.updates[0].update_mask().paths(), ElementsAre("anchors"));
  EXPECT_EQ(server_.updates[0].resource().trust_store().etag(), "e1");
  EXPECT_THAT(out_, HasSubstr("+ trustStores/partners   anchor CN=Root"));
  server_.resources["trustStores/partners"] = server_.updates[0].resource();
  EXPECT_EQ(Ctl({"trust-store", "add-cert", "partners", Path("ca.pem"), "--as", "anchor"}), kOk);
  EXPECT_THAT(server_.updates, SizeIs(1)) << "added twice";
  EXPECT_EQ(Ctl({"trust-store", "add-cert", "partners", Path("ca.key"), "--as", "anchor"}), kRefused);
  EXPECT_EQ(Ctl({"trust-store", "add-cert", "partners", Path("ca.pem")}), kUsage) << "--as must be said";
  EXPECT_EQ(Ctl({"trust-store", "remove-cert", "partners", Path("alice.pem")}), kNotFound);
  EXPECT_EQ(Ctl({"trust-store", "remove-cert", "partners", Path("ca.pem")}), kOk) << err_;
  EXPECT_EQ(server_.updates[1].resource().trust_store().anchors_size(), 0);
  server_.conflicts = 100;
  EXPECT_EQ(Ctl({"trust-store", "remove-cert", "partners", Path("ca.pem")}), kConflict);
}

TEST_F(CliTest, TakesPasswordsFromPromptOrStdinOnly) {
  server_.force.set_gateways(1);
  server_.force.set_in_force(1);
  EXPECT_EQ(Ctl({"user", "add", "staff", "alice", "--password-stdin", "--claim", "team=7"}, "hunter2\nrest"), kOk)
      << err_;
  EXPECT_EQ(server_.users[0].password(), "hunter2");
  EXPECT_TRUE(server_.users[0].create_only());
  EXPECT_EQ(server_.users[0].user().claims(0).value(), "7");
  EXPECT_THAT(out_ + err_, Not(HasSubstr("hunter2")));
  typed_ = {"one", "two"};
  EXPECT_EQ(Ctl({"user", "add", "staff", "bob"}), kRefused);
  typed_ = {"one", "one"};
  EXPECT_EQ(Ctl({"user", "add", "staff", "bob"}), kOk) << err_;
  EXPECT_EQ(server_.users[1].password(), "one");
  EXPECT_EQ(Ctl({"user", "add", "staff", "bob", "--password-stdin"}, "\n"), kRefused);
  EXPECT_EQ(Ctl({"user", "add", "staff", "bob", "--password", "x"}), kUsage) << "a password in argv";
  EXPECT_EQ(Ctl({"user", "add", "staff", "bob", "secret"}), kUsage);
}

class UserCliTest : public CliTest {
 protected:
  UserCliTest() {
    server_.force.set_gateways(1);
    server_.force.set_in_force(1);
    for (const char* name : {"ann", "bob", "c\x1b[2J"}) {
      v1::StoredUser& stored = server_.stored_users.emplace_back();
      stored.mutable_user()->set_name(name);
      stored.set_etag(absl::StrCat("etag of ", name));
      v1::StoredPassword& password = *stored.add_passwords();
      password.set_algorithm("bcrypt");
      password.set_cost("cost 10");
    }
    v1::UserClaim& claim = *server_.stored_users[0].mutable_user()->add_claims();
    claim.set_type("team");
    claim.set_value("7");
    server_.stored_users[0].mutable_user()->mutable_expire_time()->set_seconds(1'800'000'000);
    server_.stored_users[1].mutable_user()->set_disabled(true);
    server_.stored_users[1].mutable_passwords(0)->set_weaker(true);
    *server_.stored_users[1].add_passwords() = server_.stored_users[0].passwords(0);
  }
  const v1::SetUserRequest& Last() { return server_.users.back(); }
};

TEST_F(UserCliTest, EachVerbChangesOneThing) {
  EXPECT_EQ(Ctl({"user", "disable", "staff", "ann"}), kOk) << err_;
  EXPECT_TRUE(Last().user().disabled());
  EXPECT_THAT(Last().update_mask().paths(), ElementsAre("disabled"));
  EXPECT_EQ(Ctl({"user", "enable", "staff", "ann", "-m", "back from leave"}), kOk);
  EXPECT_FALSE(Last().user().disabled());
  EXPECT_THAT(Last().update_mask().paths(), ElementsAre("disabled"));
  EXPECT_EQ(Last().message(), "back from leave");
  EXPECT_EQ(Ctl({"user", "expire", "staff", "ann", "2027-01-31T12:00:00Z"}), kOk);
  EXPECT_EQ(Last().user().expire_time().seconds(), 1'801'396'800);
  EXPECT_THAT(Last().update_mask().paths(), ElementsAre("expire_time"));
  EXPECT_EQ(Ctl({"user", "expire", "staff", "ann", "never"}), kOk);
  EXPECT_FALSE(Last().user().has_expire_time());
  EXPECT_EQ(Ctl({"user", "expire", "staff", "ann", "soon"}), kRefused);
  EXPECT_EQ(Ctl({"user", "set-password", "staff", "ann", "--password-stdin", "--keep-old"}, "hunter2\n"), kOk);
  EXPECT_TRUE(Last().keep_old_password());
  EXPECT_EQ(Last().password(), "hunter2");
  EXPECT_THAT(Last().update_mask().paths(), ElementsAre("password"));
  EXPECT_EQ(Ctl({"user", "retire-old-password", "staff", "ann"}), kOk);
  EXPECT_TRUE(Last().retire_old_password());
  EXPECT_EQ(Ctl({"user", "remove", "staff", "ann"}), kOk) << "an old name of delete";
  EXPECT_EQ(Ctl({"user", "delete", "staff", "ann"}), kOk);
  EXPECT_THAT(server_.deleted_users, SizeIs(2));
}

TEST_F(UserCliTest, ClaimsAreEditedAgainstWhatIsStored) {
  EXPECT_EQ(Ctl({"user", "claims", "staff", "ann"}), kOk);
  EXPECT_EQ(out_, "team=7\n");
  server_.conflicts = 2;
  EXPECT_EQ(Ctl({"user", "claims", "staff", "ann", "--add", "role=admin", "--add", "team=7"}), kOk) << err_;
  EXPECT_EQ(Last().user().claims_size(), 2) << "what is there is not added twice";
  EXPECT_EQ(Last().etag(), "etag of ann");
  EXPECT_EQ(Ctl({"user", "claims", "staff", "ann", "--remove", "team"}), kOk);
  EXPECT_EQ(Last().user().claims_size(), 0);
  EXPECT_EQ(Ctl({"user", "claims", "staff", "ann", "--remove", "team=8"}), kNotFound);
  EXPECT_EQ(Ctl({"user", "claims", "staff", "ann", "--clear", "--add", "a=b"}), kOk);
  EXPECT_EQ(Last().user().claims_size(), 1);
  EXPECT_EQ(Ctl({"user", "claims", "staff", "ann", "--add", "nonsense"}), kRefused);
  server_.conflicts = 100;
  EXPECT_EQ(Ctl({"user", "claims", "staff", "ann", "--add", "x=y"}), kConflict);
}

TEST_F(UserCliTest, ListsAndShowsWithoutHashesAndWithoutEscapes) {
  EXPECT_EQ(Ctl({"user", "list", "staff"}), kOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("ann"), HasSubstr("until 2027-01-15T08:00:00Z"), HasSubstr("disabled"),
                          HasSubstr("bcrypt (cost 10) weaker than new ones, bcrypt (cost 10)"), HasSubstr("team=7")));
  EXPECT_THAT(out_, Not(HasSubstr("\x1b")));
  EXPECT_EQ(Ctl({"user", "list", "--store", "staff", "-o", "json"}), kOk);
  EXPECT_THAT(out_, HasSubstr("\"name\""));
  EXPECT_EQ(Ctl({"user", "show", "staff", "bob"}), kOk);
  EXPECT_THAT(out_, HasSubstr("and        bcrypt (cost 10)"));
  EXPECT_EQ(Ctl({"user", "show", "staff", "eve"}), kNotFound);
}

TEST_F(UserCliTest, AnImportIsTriedFirstAndMadeAtTheRevisionThatItWasTriedAt) {
  server_.import_answer.set_revision(41);
  server_.import_answer.set_added(2);
  *server_.import_answer.mutable_force() = server_.force;
  const std::string file = Write("htpasswd", "ann:x\nbob:y\n");
  EXPECT_EQ(Ctl({"user", "import", "-f", file, "--store", "staff", "--replace", "--allow-weak-hashes"}), kOk) << err_;
  ASSERT_THAT(server_.imported, SizeIs(1));
  const v1::ImportOptions& options = server_.imported[0].options();
  EXPECT_EQ(server_.imported[0].htpasswd(), "ann:x\nbob:y\n");
  EXPECT_EQ(options.expected_revision(), 41u);
  EXPECT_EQ(options.messages(), 1u);
  EXPECT_TRUE(options.replace());
  EXPECT_TRUE(options.allow_weak_hashes());
  EXPECT_FALSE(options.dry_run());
  EXPECT_THAT(out_, HasSubstr("users: 2 added, 0 changed, 0 unchanged, 0 removed"));
  EXPECT_EQ(Ctl({"user", "import", "staff", "-f", "-", "--dry-run"}, std::string(3 << 20, 'x')), kOk);
  EXPECT_THAT(server_.imported, SizeIs(4)) << "in pieces";
  EXPECT_TRUE(server_.imported[0].options().dry_run());
  EXPECT_EQ(server_.imported[0].options().messages(), 4u);
  EXPECT_THAT(out_, HasSubstr("nothing was changed"));
}

TEST_F(UserCliTest, AnImportNamesEveryBadLineAndIsNotMade) {
  for (int i = 1; i <= 300; ++i) {
    v1::Violation& line = *server_.import_answer.add_bad_lines();
    line.set_path(absl::StrCat("line ", i));
    line.set_message("is \x1b bad");
  }
  server_.import_answer.set_bad_line_count(301);
  EXPECT_EQ(Ctl({"user", "import", "staff", "-f", Write("htpasswd", "x")}), kRefused);
  EXPECT_THAT(err_, AllOf(HasSubstr("nothing was changed"), HasSubstr("line 300: is \\x1B bad"), HasSubstr("and 1 more")));
  EXPECT_TRUE(server_.imported[0].options().dry_run()) << "only tried";
}

TEST_F(UserCliTest, AnExportGoesToAFileThatNobodyElseReads) {
  v1::ExportUsersResponse piece;
  piece.set_htpasswd("ann:$2y$");
  server_.exported.push_back(piece);
  piece.set_htpasswd("x\n");
  piece.mutable_summary()->set_users(1);
  piece.mutable_summary()->set_argon2id(1);
  piece.mutable_summary()->set_revision(9);
  server_.exported.push_back(piece);
  EXPECT_EQ(Ctl({"user", "export", "staff", "-f", Path("out")}), kOk) << err_;
  EXPECT_EQ(ReadBack("out"), "ann:$2y$x\n");
  struct stat info;
  ASSERT_EQ(stat(Path("out").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_THAT(err_, AllOf(HasSubstr("of revision 9; the history tells of it"), HasSubstr("Apache and nginx cannot read")));
  EXPECT_EQ(Ctl({"user", "export", "staff", "-f", Path("out")}), kConflict) << "never over a file";
  EXPECT_EQ(Ctl({"user", "export", "staff", "-f", Path("out"), "--force"}), kOk);
  EXPECT_EQ(Ctl({"user", "export", "staff", "-f", "-"}), kOk);
  EXPECT_EQ(out_, "ann:$2y$x\n");
  server_.exported.pop_back();
  EXPECT_EQ(Ctl({"user", "export", "staff", "-f", Path("broken")}), kUnavailable) << "half a file is none";
  EXPECT_EQ(ReadBack("broken"), "");
}

v1::Event Decision(uint64_t sequence, const std::string& path) {
  v1::Event event;
  event.mutable_cursor()->set_incarnation("hub");
  event.mutable_cursor()->set_sequence(sequence);
  event.set_type(v1::Event::DECISION);
  event.set_outcome(v1::Event::REFUSED);
  event.set_reason(v1::EXPIRED);
  event.mutable_request()->set_path(path);
  return event;
}

TEST_F(CliTest, WatchesEventsAcrossABrokenStream) {
  server_.streams = {{Decision(1, "/one"), Decision(2, "/two")}, {Decision(3, "/three")}};
  EXPECT_EQ(Ctl({"events", "watch", "--count", "3", "--outcome", "refused", "--reason", "expired"}), kOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("\"/one\""), HasSubstr("\"/three\""), HasSubstr("\"reason\":\"EXPIRED\"")));
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 3);
  EXPECT_THAT(err_, HasSubstr("trying again"));
  ASSERT_THAT(server_.watches, SizeIs(2));
  EXPECT_EQ(server_.watches[0].filter().outcomes(0), v1::Event::REFUSED);
  EXPECT_FALSE(server_.watches[0].has_after());
  EXPECT_EQ(server_.watches[1].after().sequence(), 2u);
}

TEST_F(CliTest, RefusesAWatchAtOnce) {
  server_.watch_status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "viewers only");
  EXPECT_EQ(Ctl({"events", "watch"}), kPermissionDenied);
  EXPECT_EQ(err_, "error: viewers only\n");
  server_.watch_status = grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "too old");
  EXPECT_EQ(Ctl({"events", "watch", "--after", "hub:7"}), kRefused);
  EXPECT_EQ(Ctl({"events", "watch", "--outcome", "refusd"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean \"refused\"?"));
  EXPECT_EQ(Ctl({"events", "watch", "--after", "7"}), kUsage);
  EXPECT_EQ(Ctl({"events", "watch", "--since", "yesterday"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("--since: neither an age such as 10m"));
  EXPECT_EQ(Ctl({"events", "watch", "--since", "10m", "--after", "hub:7"}), kUsage);
}

TEST_F(CliTest, WatchesFromThePast) {
  server_.streams = {{Decision(1, "/one")}};
  const absl::Time before = absl::Now();
  EXPECT_EQ(Ctl({"events", "watch", "--count", "1", "--since", "10m", "--from-oldest", "--output", "text"}), kOk) << err_;
  EXPECT_THAT(out_, Not(HasSubstr("{")));
  ASSERT_THAT(server_.watches, SizeIs(1));
  EXPECT_TRUE(server_.watches[0].from_oldest());
  EXPECT_NEAR(static_cast<double>(server_.watches[0].since().seconds()), absl::ToDoubleSeconds(before - absl::UnixEpoch()) - 600, 5);
  server_.watches.clear();
  EXPECT_EQ(Ctl({"events", "watch", "--count", "1", "--since", "2026-01-31T12:00:00Z"}), kOk) << err_;
  EXPECT_EQ(server_.watches[0].since().seconds(), 1769860800);
  EXPECT_FALSE(server_.watches[0].from_oldest());
}

TEST_F(CliTest, SummarizesEvents) {
  v1::SummaryRow* row = server_.summary_answer.add_rows();
  row->mutable_time()->set_seconds(1769860800);
  row->set_reason(v1::EXPIRED);
  row->set_route("orders");
  row->set_count(42);
  server_.summary_answer.mutable_known_from()->set_seconds(1769860000);
  EXPECT_EQ(Ctl({"events", "summary", "--by", "reason,route", "--since", "2h", "--step", "10m", "--outcome", "refused"}), kOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("TIME"), HasSubstr("REASON"), HasSubstr("ROUTE"), HasSubstr("EXPIRED"), HasSubstr("orders"), HasSubstr("42")));
  EXPECT_THAT(out_, Not(HasSubstr("SCHEME")));
  EXPECT_THAT(server_.summary_asked.by(), ElementsAre(v1::SummaryRequest::REASON, v1::SummaryRequest::ROUTE));
  EXPECT_EQ(server_.summary_asked.step().seconds(), 600);
  EXPECT_EQ(server_.summary_asked.filter().outcomes(0), v1::Event::REFUSED);
  EXPECT_EQ(Ctl({"events", "summary", "--by", "gateway", "-o", "json"}), kOk) << err_;
  EXPECT_THAT(out_, HasSubstr("\"count\":\"42\""));
  EXPECT_EQ(Ctl({"events", "summary", "--by", "rout"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean \"route\"?"));
  EXPECT_EQ(Ctl({"events", "summary", "--step", "90s"}), kUsage);
}

TEST_F(CliTest, ExplainsWithoutEverSendingAKey) {
  ASSERT_EQ(Raw({"cert", "new", "self-signed", "--subject", "CN=x", "--out", Path("x.pem"), "--key-out",
                 Path("x.key")}), kOk);
  server_.explain_answer.mutable_certificate()->set_subject("CN=x");
  *server_.explain_answer.add_presented() = server_.explain_answer.certificate();
  v1::SchemeVerdict& verdict = *server_.explain_answer.add_verdicts();
  verdict.set_scheme("Certificate");
  verdict.set_reason(v1::NOT_PINNED);
  EXPECT_EQ(Ctl({"cert", "explain", "--chain", Path("x.pem"), "--route", "orders", "--at", "2027-01-01T00:00:00Z"}),
            kRefused);
  EXPECT_THAT(out_, HasSubstr("verdict: REFUSED, NOT_PINNED."));
  EXPECT_EQ(server_.explained.route(), "orders");
  EXPECT_EQ(server_.explained.at().seconds(), 1798761600);
  server_.explained.Clear();
  Write("both.pem", ReadBack("x.pem") + ReadBack("x.key"));
  EXPECT_EQ(Ctl({"cert", "explain", "--chain", Path("both.pem"), "--key", Path("both.pem")}), kRefused);
  EXPECT_EQ(server_.explained.chain_pem(), ReadBack("x.pem")) << "the certificate and nothing else";
  EXPECT_THAT(out_, HasSubstr("is the certificate's key"));
  server_.explained.Clear();
  EXPECT_EQ(Ctl({"cert", "explain", "--chain", Path("x.key")}), kRefused);
  EXPECT_TRUE(server_.explained.chain_pem().empty());
}

TEST_F(CliTest, ExplainTakesAnEventARouteOrAListenerInstead) {
  server_.explain_answer.add_asks()->set_client_certificate(v1::Listener::ALLOW);
  EXPECT_EQ(Ctl({"cert", "explain", "--from-event", "hub:7", "--offline", "--gateway", "edge-1"}), kOk) << err_;
  EXPECT_EQ(server_.explained.event(), "hub:7");
  EXPECT_TRUE(server_.explained.offline());
  EXPECT_EQ(server_.explained.gateway(), "edge-1");
  server_.explain_answer.mutable_asks(0)->set_client_certificate(v1::Listener::NONE);
  EXPECT_EQ(Ctl({"cert", "explain", "--listener", "edge"}), kRefused) << "never asked for";
  EXPECT_EQ(server_.explained.listener(), "edge");
  EXPECT_EQ(Ctl({"cert", "explain"}), kUsage);
  EXPECT_EQ(Ctl({"cert", "explain", "--route", "r", "--listener", "l"}), kUsage);
  EXPECT_EQ(Ctl({"cert", "explain", "--route", "r", "--key", "k"}), kUsage);
}

TEST_F(CliTest, TestsAPolicyAndTellsByTheExitCode) {
  v1::PolicyVerdict& verdict = *server_.policy_answer.mutable_verdict();
  verdict.set_policy("buyers");
  verdict.set_outcome(v1::NOT_MET);
  v1::PolicyStep& step = *verdict.add_steps();
  step.set_text("claim group is \"buyers\"");
  step.set_outcome(v1::NOT_MET);
  step.set_evidence("\"x\x1b[1m\"");
  Write("claims.yaml", "- {type: group, value: staff, scheme: Basic}\n- type: name\n  value: \"7\"\n  issuer: people\n");
  EXPECT_EQ(Ctl({"policy", "test", "buyers", "--claims", Path("claims.yaml"), "--address", "10.1.2.3", "--time",
                 "2027-01-01T00:00:00Z"}),
            kRefused);
  EXPECT_THAT(out_, AllOf(HasSubstr("buyers   NOT MET"), HasSubstr("claim group is \"buyers\""), HasSubstr("x\\x1B[1m"),
                          Not(HasSubstr("\x1b"))));
  EXPECT_EQ(server_.policy_tested.policy(), "buyers");
  EXPECT_EQ(server_.policy_tested.address(), "10.1.2.3");
  EXPECT_EQ(server_.policy_tested.at().seconds(), 1798761600);
  ASSERT_EQ(server_.policy_tested.claims_size(), 2);
  EXPECT_EQ(server_.policy_tested.claims(0).scheme(), "Basic");
  EXPECT_EQ(server_.policy_tested.claims(1).value(), "7");
  EXPECT_EQ(server_.policy_tested.claims(1).issuer(), "people");

  verdict.set_outcome(v1::MET);
  Write("policies.yaml", "kind: Policy\nname: night\ncondition: {time: {from: \"22:00\", to: \"06:00\"}}\n");
  Write("answer.json", R"({"message": "Hello, ann", "claims": [{"type": "group", "value": "x", "issuer": "i", "scheme": "s"}]})");
  EXPECT_EQ(Ctl({"policy", "test", "-f", Path("policies.yaml"), "--claims", Path("answer.json")}), kOk) << err_;
  EXPECT_EQ(server_.policy_tested.policy(), "night");
  EXPECT_EQ(server_.policy_tested.policies(0).condition().time().from(), "22:00");
  EXPECT_EQ(server_.policy_tested.claims(0).value(), "x");
}

TEST_F(CliTest, NamesWhatIsWrongInAClaimsFile) {
  const auto refused = [this](const std::string& text) {
    Write("claims.yaml", text);
    EXPECT_EQ(Ctl({"policy", "test", "p", "--claims", Path("claims.yaml")}), kUsage) << text;
    return err_;
  };
  EXPECT_THAT(refused("- {type: a, value: b, x: c}"), HasSubstr("claims.yaml:1:23: unknown field \"x\""));
  EXPECT_THAT(refused("- {value: b}"), HasSubstr("`type` is required"));
  EXPECT_THAT(refused("- {type: [a]}"), HasSubstr("must be a single value"));
  EXPECT_THAT(refused("hello"), HasSubstr("expected a list of claims"));
  EXPECT_THAT(refused("- hello"), HasSubstr("expected a claim"));
  EXPECT_EQ(Ctl({"policy", "test"}), kUsage);
  Write("two.yaml", "{kind: Policy, name: a}\n---\n{kind: Policy, name: b}\n");
  EXPECT_EQ(Ctl({"policy", "test", "-f", Path("two.yaml")}), kUsage);
  EXPECT_THAT(err_, HasSubstr("holds several policies"));
  Write("none.yaml", "{kind: UserStore, name: a}\n");
  EXPECT_EQ(Ctl({"policy", "test", "-f", Path("none.yaml")}), kUsage);
  EXPECT_THAT(err_, HasSubstr("holds no policy"));
}

TEST_F(CliTest, ExplainsAUser) {
  v1::AccessVerdict& access = *server_.explain_answer.mutable_access();
  access.set_route("orders");
  access.set_require("any_of");
  access.set_status(200);
  access.set_if_password_right(true);
  v1::SchemeAnswer& answer = *access.add_schemes();
  answer.set_scheme("Basic");
  answer.set_asked(true);
  answer.set_accepted(true);
  EXPECT_EQ(Ctl({"user", "explain", "staff/ann/x", "--route", "orders", "--address", "::1"}), kOk) << err_;
  EXPECT_EQ(server_.explained.user_store(), "staff");
  EXPECT_EQ(server_.explained.user(), "ann/x");
  EXPECT_EQ(server_.explained.route(), "orders");
  EXPECT_EQ(server_.explained.address(), "::1");
  EXPECT_THAT(out_, HasSubstr("verdict: LET IN, if the password is right and the user is not locked out."));
  access.set_status(403);
  access.set_reason(v1::POLICY_NOT_MET);
  v1::PolicyVerdict& policy = *access.add_policies();
  policy.set_policy("buyers");
  policy.set_outcome(v1::UNKNOWN);
  EXPECT_EQ(Ctl({"user", "explain", "staff/ann", "--route", "orders"}), kRefused);
  EXPECT_THAT(out_, HasSubstr("verdict: REFUSED, 403 POLICY_NOT_MET: policy buyers cannot be told."));
  EXPECT_EQ(Ctl({"user", "explain", "ann", "--route", "orders"}), kUsage);
  EXPECT_EQ(Ctl({"user", "explain", "staff/ann"}), kUsage);
}

TEST_F(CliTest, TellsTheStatus) {
  server_.status_answer.set_revision(9);
  v1::GatewayStatus& gateway = *server_.status_answer.add_gateways();
  gateway.set_name("gw\x1b[1m");
  gateway.set_acknowledged_revision(8);
  gateway.set_refused_revision(9);
  EXPECT_EQ(Ctl({"status"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("8 (behind)"), HasSubstr("gw\\x1B[1m could not take revision 9"),
                          Not(HasSubstr("\x1b"))));
}

TEST_F(CliTest, TellsHowBusyEachGatewayIsAndWhatIsWrongWithIt) {
  server_.status_answer.set_revision(9);
  v1::GatewayStatus& gateway = *server_.status_answer.add_gateways();
  gateway.set_name("edge");
  gateway.set_connected(true);
  gateway.set_acknowledged_revision(9);
  gateway.mutable_load()->set_connections(120);
  gateway.mutable_load()->set_requests_per_second(3141.4);
  gateway.mutable_load()->set_cpu(0.5);
  gateway.mutable_load()->set_resident_bytes(64 << 20);
  gateway.mutable_load()->mutable_snapshot_age()->set_seconds(600);
  v1::GatewayStatus& gone = *server_.status_answer.add_gateways();
  gone.set_name("away");
  gone.mutable_last_seen()->set_seconds(1'800'000'000);
  EXPECT_EQ(Ctl({"status"}), kOk);
  EXPECT_THAT(out_, ContainsRegex("edge +ok +9 +120 +3141 +0\\.50 +64 MiB"));
  EXPECT_THAT(out_, ContainsRegex("away +gone +0 \\(behind\\) +- "));
  EXPECT_THAT(out_, HasSubstr("gone: away was last heard of at "));
  EXPECT_THAT(out_, HasSubstr("old: edge does not know since 10m whether"));
}

TEST_F(CliTest, WatchesTheStatusAndGoesOnAfterAnInterruption) {
  EXPECT_EQ(Ctl({"status", "--watch", "--json", "--count", "4"}), kOk);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 4);
  EXPECT_THAT(err_, HasSubstr("restart; trying again"));
  EXPECT_EQ(Ctl({"status", "--count", "4"}), kUsage);
}

TEST_F(CliTest, RollsBackToWhatItShowed) {
  PlanAndForce();
  EXPECT_EQ(Ctl({"rollback", "7", "--dry-run"}), kOk);
  ASSERT_THAT(server_.rollbacks, SizeIs(1));
  EXPECT_THAT(out_, HasSubstr("dry run: nothing was changed at revision 41"));
  EXPECT_EQ(Ctl({"rollback", "7", "--restore-trust", "-m", "bad deploy"}), kOk);
  ASSERT_THAT(server_.rollbacks, SizeIs(3));
  EXPECT_TRUE(server_.rollbacks[1].dry_run());
  EXPECT_FALSE(server_.rollbacks[2].dry_run());
  EXPECT_EQ(server_.rollbacks[2].expected_revision(), 41u);
  EXPECT_EQ(server_.rollbacks[2].revision(), 7u);
  EXPECT_TRUE(server_.rollbacks[2].restore_trust());
  EXPECT_EQ(server_.rollbacks[2].message(), "bad deploy");
  EXPECT_THAT(out_, HasSubstr("in force on 3 of 3 gateways"));
  EXPECT_THAT(err_, HasSubstr("look twice"));
  EXPECT_EQ(Ctl({"rollback"}), kUsage);
  EXPECT_EQ(Ctl({"rollback", "-1"}), kUsage);
}

TEST_F(CliTest, ExplainsKindsAndFieldsWithoutAServer) {
  EXPECT_EQ(Raw({"explain"}), kOk);
  EXPECT_THAT(out_, HasSubstr("TrustStore"));
  EXPECT_THAT(out_, HasSubstr("trust-store"));
  EXPECT_EQ(Raw({"explain", "routes"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("KIND:   Route"), HasSubstr("require  <Requirement>"), HasSubstr("(one of action)")));
  EXPECT_EQ(Raw({"explain", "scheme.client_certificate.allowed_certificate_types"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("<one of ALL, CHAINED, SELF_SIGNED>"), HasSubstr("VALUES:"), HasSubstr("Default ALL.")));
  EXPECT_EQ(Raw({"explain", "scheme.clientCertificate.revocation.maxAge"}), kOk) << "as JSON spells it";
  EXPECT_THAT(out_, HasSubstr("<duration, such as 30s or 12h>"));
  EXPECT_EQ(Raw({"explain", "policy", "--recursive"}), kOk) << "conditions hold conditions";
  EXPECT_THAT(out_, HasSubstr("      type  <text>"));
  EXPECT_EQ(Raw({"explain", "ServerCertificate.private_key_pem"}), kOk);
  EXPECT_THAT(out_, HasSubstr("Configuration files may have `private_key_file: PATH` instead."));
  EXPECT_EQ(Raw({"explain", "route.requires"}), kRefused);
  EXPECT_THAT(err_, HasSubstr("no field of Route named \"requires\"; did you mean \"require\"?"));
  EXPECT_EQ(Raw({"explain", "rout"}), kRefused);
  EXPECT_THAT(err_, HasSubstr("did you mean \"route\"?"));
  EXPECT_EQ(Raw({"explain", "route.name.length"}), kRefused);
  EXPECT_THAT(err_, HasSubstr("name holds no fields"));
}

TEST_F(CliTest, PrintsTheApiReference) {
  EXPECT_EQ(Raw({"explain", "--markdown"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("### ConfigService"), HasSubstr("| `Apply(stream ApplyRequest)` returns `ApplyResponse` |")));
}

}  // namespace
}  // namespace gatehouse::cli
