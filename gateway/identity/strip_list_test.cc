#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "gateway/identity/headers.h"

namespace gatehouse::identity {
namespace {

constexpr absl::string_view kIdentityHeaders[] = {"X-Forwarded-Client-Cert",
                                                  "Client-Cert",
                                                  "Client-Cert-Chain",
                                                  "X-Auth-User",
                                                  "X-Auth-",
                                                  "X-Client-Cert",
                                                  "X-Client-Cert-Hash",
                                                  "X-Client-Certificate",
                                                  "X-SSL-Client-S-DN",
                                                  "X-SSL-",
                                                  "Ssl-Client-Verify",
                                                  "X-Forwarded-Tls-Client-Cert",
                                                  "X-Forwarded-Tls-Client-Cert-Info",
                                                  "X-ARR-ClientCert",
                                                  "Remote-User",
                                                  "X-Remote-User",
                                                  "X-Forwarded-User",
                                                  "X-Original-URL",
                                                  "X-Rewrite-URL",
                                                  "Proxy"};

TEST(StripListTest, RemovesEveryFixedNameInAnySpelling) {
  const StripList list;
  for (absl::string_view name : kIdentityHeaders) {
    EXPECT_TRUE(list.Removes(name)) << name;
    EXPECT_TRUE(list.Removes(absl::AsciiStrToLower(name))) << name;
    EXPECT_TRUE(list.Removes(absl::AsciiStrToUpper(name))) << name;
    EXPECT_TRUE(list.Removes(absl::StrReplaceAll(name, {{"-", "_"}}))) << name;
    EXPECT_TRUE(list.Removes(absl::StrReplaceAll(name, {{"-", "."}}))) << name;
  }
  EXPECT_TRUE(list.Removes("x-auth_user"));
  EXPECT_TRUE(list.Removes("x-auth-" + std::string(500, 'a')));
}

TEST(StripListTest, LeavesOrdinaryFieldsAlone) {
  const StripList list;
  for (absl::string_view name :
       {"host", "authorization", "cookie", "x-forwarded-for", "x-request-id", "client-certs",
        "client-cert-chains", "remote-users", "x-authority", "x-sslx", "user-agent", "", "-",
        "x-remote-user-agent", "accept"}) {
    EXPECT_FALSE(list.Removes(name)) << name;
  }
}

TEST(StripListTest, RemovesOtherSpellingsOfWhatTheGatewaySays) {
  const StripList list;
  for (absl::string_view name :
       {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-IP",
        "X-Request-Id", "Content-Length", "Transfer-Encoding", "Proxy-Authorization", "Proxy-Connection", "Keep-Alive"}) {
    EXPECT_FALSE(list.Removes(name)) << name;
    EXPECT_FALSE(list.Removes(absl::AsciiStrToLower(name))) << name;
    EXPECT_TRUE(list.Removes(absl::StrReplaceAll(name, {{"-", "_"}}))) << name;
    EXPECT_TRUE(list.Removes(absl::AsciiStrToLower(absl::StrReplaceAll(name, {{"-", "."}})))) << name;
  }
  EXPECT_TRUE(list.Removes("x-forwarded_for"));
  EXPECT_TRUE(list.Removes("x_forwarded-" + std::string(100, 'a')));
  EXPECT_FALSE(list.Removes("x-forwarded-" + std::string(100, 'a')));
}

TEST(StripListTest, RemovesWhatAnyRouteInjects) {
  const std::string names[] = {"x-user", "Team"};
  const StripList list(names);
  for (absl::string_view name : {"X-User", "x_user", "X_USER", "team", "TEAM"}) {
    EXPECT_TRUE(list.Removes(name)) << name;
  }
  EXPECT_FALSE(list.Removes("x-users"));
  EXPECT_FALSE(list.Removes("xuser"));
  EXPECT_FALSE(list.Removes("x-user" + std::string(100, 'a')));
}

TEST(StripListTest, RemovesALongInjectedNameOnly) {
  const std::string longest(64, 'y');
  const StripList list({longest});
  EXPECT_TRUE(list.Removes(longest));
  EXPECT_FALSE(list.Removes(longest + "y"));
}

}  // namespace
}  // namespace gatehouse::identity
