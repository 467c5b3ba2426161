// What a snapshot shares with the one before, and what epochs say.
#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

class SharingTest : public BuildTest {
 protected:
  static std::string All() {
    return Base() + R"(policies { name: "p" condition { claim { type: "group" exact: "a" scheme: "Basic" } } })" +
           Good("a", "require { any_of: \"Certificate\" any_of: \"Basic\" policies: \"p\" }");
  }
  static std::string Replaced(absl::string_view from, absl::string_view to) {
    return absl::StrReplaceAll(All(), {{from, to}});
  }
};

TEST_F(SharingTest, NothingChangedMeansEverythingIsShared) {
  const auto first = BuildGood(All());
  const auto second = BuildGood(All(), first.get());
  EXPECT_EQ(first->digest, second->digest);
  EXPECT_TRUE(first->routes.SharesWith(second->routes));
  EXPECT_EQ(first->FindScheme("Certificate")->certificate(), second->FindScheme("Certificate")->certificate());
  EXPECT_EQ(first->FindScheme("Basic")->basic(), second->FindScheme("Basic")->basic());
  EXPECT_EQ(first->listeners[0].names[0].credentials[0], second->listeners[0].names[0].credentials[0]);
  EXPECT_EQ(first->listeners[0].names[0].session_context, second->listeners[0].names[0].session_context);
}

TEST_F(SharingTest, AChangedTrustStoreChangesItsSchemesAndNothingElse) {
  const auto first = BuildGood(All());
  const auto second = BuildGood(Replaced("@ca@", "@other-ca@"), first.get());
  EXPECT_NE(first->digest, second->digest);
  EXPECT_NE(first->FindScheme("Certificate")->epoch, second->FindScheme("Certificate")->epoch);
  EXPECT_FALSE(second->HasSchemeEpoch(first->FindScheme("Certificate")->epoch));
  EXPECT_EQ(second->FindScheme("Certificate")->certificate()->trust_store->anchors()[0]->subject(), "CN=Other CA");
  EXPECT_TRUE(first->routes.SharesWith(second->routes));
  EXPECT_EQ(first->FindScheme("Basic")->basic(), second->FindScheme("Basic")->basic());
  EXPECT_NE(first->listeners[0].names[0].ca_hints, second->listeners[0].names[0].ca_hints);
}

TEST_F(SharingTest, AChangedUserChangesTheSchemeThatReadsTheStore) {
  const auto first = BuildGood(All());
  const auto second = BuildGood(Replaced("name: \"ann\"", "name: \"ann\" disabled: true"), first.get());
  EXPECT_NE(first->FindScheme("Basic")->epoch, second->FindScheme("Basic")->epoch);
  EXPECT_TRUE(second->FindScheme("Basic")->basic()->users->Find("ann")->disabled);
  EXPECT_EQ(first->FindScheme("Certificate")->epoch, second->FindScheme("Certificate")->epoch);
  EXPECT_TRUE(first->routes.SharesWith(second->routes));
}

TEST_F(SharingTest, EpochsDependOnContentAlone) {
  const auto one = BuildGood(All());
  const auto two = BuildGood(Good("z", "anonymous: true") + All() + R"(schemes { name: "A" basic { user_store: "staff" } })");
  for (const char* name : {"Certificate", "Basic"}) EXPECT_EQ(one->FindScheme(name)->epoch, two->FindScheme(name)->epoch);
  // How claims are printed is part of what a verdict says.
  const auto dotnet = BuildGood(Replaced("CHAINED", "CHAINED name_format: DOTNET"));
  EXPECT_NE(one->FindScheme("Certificate")->epoch, dotnet->FindScheme("Certificate")->epoch);
}

TEST_F(SharingTest, ATableIsNotSharedWhenWhatItWasResolvedAgainstChanged) {
  const auto first = BuildGood(All());
  const auto shared = [&](const std::string& text) {
    const auto second = BuildGood(text, first.get());
    return first->routes.SharesWith(second->routes);
  };
  EXPECT_TRUE(shared(All()));
  EXPECT_FALSE(shared(Replaced("exact: \"a\"", "exact: \"b\"")));
  EXPECT_FALSE(shared(Replaced("realm: \"our staff\"", "realm: \"x\"")));
  EXPECT_FALSE(shared(All() + Good("b", "anonymous: true")));
  EXPECT_FALSE(shared(All() + R"(schemes { name: "A" basic { user_store: "staff" } })"));
  EXPECT_FALSE(shared(All() + R"(upstreams { name: "a" endpoints: "127.0.0.1:1" })"));
  EXPECT_FALSE(shared(All() + R"(listeners { name: "a" address: "127.0.0.1:1" server_certificates: "localhost" })"));
  // A policy that is gone is missed by the route that asks for it, shared or not.
  EXPECT_FALSE(BuildText(Replaced("policies { name: \"p\"", "policies { name: \"q\""), first.get()).ok());
}

TEST_F(SharingTest, AnUnchangedPolicyStillNeedsItsScheme) {
  const std::string policy = R"(policies { name: "p" condition { claim { type: "g" exact: "a" scheme: "X" } } })";
  const auto first = BuildGood(Base() + policy + R"(schemes { name: "X" basic { user_store: "staff" } })");
  const BuildResult second = BuildText(Base() + policy, first.get());
  ASSERT_EQ(second.violations.size(), 1u);
  EXPECT_EQ(second.violations[0].path, R"(policies["p"].condition.claim.scheme)");
}

TEST_F(SharingTest, WarningsOfASharedTableStay) {
  const std::string text = All() + RouteText("open", R"(match { path: "/{r...}" } anonymous: true fixed_response {})");
  const BuildResult first = BuildText(text);
  const BuildResult second = BuildText(text, first.snapshot.get());
  EXPECT_EQ(Lines(first.warnings), Lines(second.warnings));
}

TEST_F(SharingTest, OneTrustChangeDoesNotRebuildTwentyThousandRoutes) {
  std::string routes;
  for (int i = 0; i < 20'000; ++i) {
    absl::StrAppend(&routes, Good(absl::StrCat("r", i), "require { any_of: \"Certificate\" }"));
  }
  const auto first = BuildGood(Base() + routes);
  const auto second = BuildGood(absl::StrReplaceAll(Base(), {{"@ca@", "@other-ca@"}}) + routes, first.get());
  EXPECT_TRUE(first->routes.SharesWith(second->routes));
  EXPECT_EQ(second->route_list().size(), 20'000u);
}

}  // namespace
}  // namespace gatehouse::config
