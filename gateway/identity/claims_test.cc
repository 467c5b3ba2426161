#include "gateway/identity/claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gatehouse::identity {
namespace {

using ::testing::ElementsAre;

TEST(BasicClaimsTest, IssuesNameIdentifierNameAndTheUsersOwn) {
  const credentials::User user{.name = "ann", .claims = {{"role", "admin"}, {"team", "x"}}};
  EXPECT_THAT(
      BasicClaims(user, "Basic", "people"),
      ElementsAre(Claim{kNameIdentifier, "ann", "people", "Basic"},
                  Claim{kName, "ann", "people", "Basic"}, Claim{"role", "admin", "people", "Basic"},
                  Claim{"team", "x", "people", "Basic"}));
}

TEST(BasicClaimsTest, NeverLetsAUserStoreMintACertificatesClaim) {
  const credentials::User user{
      .name = "ann",
      .claims = {{"thumbprint", "AB"}, {kName, "root"}, {"DNS", "x"}, {"role", "a"}}};
  EXPECT_EQ(BasicClaims(user, "Basic", "people").size(), 3u);
}

TEST(IsReservedClaimTypeTest, CoversEveryTypeOfTheCertificateScheme) {
  for (absl::string_view type :
       {"thumbprint", "issuer", "serialnumber", "thumbprint_sha256", "notbefore", "notafter", "dns",
        "email", "uri", "ip", "upn", "Thumbprint", "ISSUER", "name", "nameidentifier",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"}) {
    EXPECT_TRUE(IsReservedClaimType(type)) << type;
  }
  for (absl::string_view type : {"role", "dnsx", "", "email_verified"}) {
    EXPECT_FALSE(IsReservedClaimType(type)) << type;
  }
}

TEST(CanIssueTest, TellsWhichSchemesCouldIssueAType) {
  for (PartKind kind : {PartKind::kBasic, PartKind::kCertificate}) {
    EXPECT_TRUE(CanIssue(kind, "name"));
    EXPECT_TRUE(CanIssue(kind, kNameIdentifier));
  }
  EXPECT_TRUE(CanIssue(PartKind::kCertificate, "thumbprint"));
  EXPECT_FALSE(CanIssue(PartKind::kBasic, "thumbprint"));
  EXPECT_TRUE(CanIssue(PartKind::kBasic, "role"));
  EXPECT_FALSE(CanIssue(PartKind::kCertificate, "role"));
}

TEST(IdentityTest, MergesPartsInOrderAndSkipsNothingness) {
  const IdentityRef ann = BasicIdentity({.name = "ann"}, "Basic", "people");
  const IdentityRef bob = BasicIdentity({.name = "bob"}, "Other", "people");
  const IdentityRef both = Identity::Merge({ann, nullptr, bob});
  EXPECT_EQ(both->parts().size(), 2u);
  EXPECT_EQ(both->principal(), "ann");
  EXPECT_EQ(both->scheme(), "Basic");
  EXPECT_EQ(both->certificate(), nullptr);
  EXPECT_EQ(Identity::Merge({})->principal(), "");
  int claims = 0;
  both->ForEachClaim([&](const Claim&) { ++claims; });
  EXPECT_EQ(claims, 4);
}

TEST(IdentityTest, HasNoCertificateWithoutTheCertificateItself) {
  Part part;
  part.kind = PartKind::kCertificate;
  EXPECT_EQ(Identity::Of(part)->certificate(), nullptr);
}

}  // namespace
}  // namespace gatehouse::identity
