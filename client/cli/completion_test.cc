// What the shells are told, and the manual pages.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "client/cli/cli_fixture.h"
#include "client/cli/man.h"

namespace gatehouse::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class CompletionTest : public CliTest {
 protected:
  std::string Offered(std::vector<std::string> words) {
    words.insert(words.begin(), "__complete");
    EXPECT_EQ(Raw(words), kOk);
    std::string offered;
    std::istringstream lines(out_);
    for (std::string line; std::getline(lines, line);) absl::StrAppend(&offered, offered.empty() ? "" : " ", line.substr(0, line.find('\t')));
    return offered;
  }
  void Store(const std::string& name, v1::Resource resource) { server_.resources[name] = std::move(resource); }
};

TEST_F(CompletionTest, OffersCommandsFlagsKindsAndValues) {
  EXPECT_THAT(Offered({""}), AllOf(HasSubstr("apply"), HasSubstr("trust-store"), HasSubstr("context")));
  EXPECT_EQ(Offered({"exp"}), "export explain");
  EXPECT_THAT(Offered({"user", ""}), AllOf(HasSubstr("set-password"), Not(HasSubstr("apply"))));
  EXPECT_EQ(Offered({"apply", "--dry"}), "--dry-run");
  EXPECT_THAT(Offered({"apply", "--ser"}), "--server");
  EXPECT_EQ(Offered({"get", "rou"}), "route");
  EXPECT_EQ(Offered({"get", "a"}), "all");
  EXPECT_EQ(Offered({"get", "routes", "-o", ""}), "table yaml json name");
  EXPECT_EQ(Offered({"trust-store", "add-cert", "x", "f", "--as", ""}), "anchor pin intermediate");
  EXPECT_EQ(Offered({"apply", "-f", ""}), ":files");
  EXPECT_EQ(Offered({"completion", "z"}), "zsh");
}

TEST_F(CompletionTest, OffersNamesThatTheControlPlaneKnowsAndNoHostileOnes) {
  for (const char* name : {"orders", "other", "x; rm -rf ~", "\x1b[2J", "$(id)"}) {
    v1::Resource resource;
    resource.mutable_route()->set_name(name);
    Store(absl::StrCat("routes/", name), resource);
  }
  v1::Resource store;
  store.mutable_trust_store()->set_name("partners");
  Store("trustStores/partners", store);
  EXPECT_EQ(Offered({"--server", server_.target(), "get", "route", ""}), "orders other");
  EXPECT_EQ(Offered({"--server=" + server_.target(), "describe", "routes", "ord"}), "orders");
  EXPECT_EQ(Offered({"--server", server_.target(), "get", "route", "orders", "ot"}), "other");
  EXPECT_EQ(Offered({"--server", server_.target(), "trust-store", "remove-cert", ""}), "partners");
  EXPECT_EQ(Offered({"--server", server_.target(), "cert", "explain", "--route", "o"}), "orders other");
  EXPECT_EQ(Offered({"--server", "unix:/nonexistent/x.sock", "get", "route", ""}), "");
}

TEST_F(CompletionTest, OffersContexts) {
  ASSERT_EQ(Raw({"context", "set", "production", "--server", server_.target()}), kOk);
  EXPECT_EQ(Offered({"context", "use", "p"}), "production");
  EXPECT_EQ(Offered({"--context", ""}), "production");
}

TEST_F(CompletionTest, HasAScriptForEachShell) {
  EXPECT_EQ(Raw({"completion"}), kOk);
  EXPECT_THAT(out_, HasSubstr("complete -F _gatehousectl gatehousectl"));
  EXPECT_EQ(Raw({"completion", "zsh"}), kOk);
  EXPECT_THAT(out_, StartsWith("#compdef gatehousectl"));
  EXPECT_EQ(Raw({"completion", "fish"}), kOk);
  EXPECT_THAT(out_, HasSubstr("complete -c gatehousectl"));
  EXPECT_EQ(Raw({"completion", "csh"}), kUsage);
}

TEST_F(CompletionTest, InBashWhatIsCutAtColonsIsOneWord) {
  ASSERT_EQ(Raw({"completion", "bash"}), kOk);
  const std::string script = Write("completion", out_ + R"(
gatehousectl() { printf '<%s>' "$@"; echo; }
COMP_LINE='gatehousectl  --server unix:/x.sock --context=a get user-store '
COMP_WORDS=(gatehousectl --server unix : /x.sock --context = a get user-store '')
COMP_CWORD=10
_gatehousectl
echo "${COMPREPLY[0]}" >offered
)");
  ASSERT_EQ(std::system(absl::StrCat("cd ", server_.folder(), " && bash completion").c_str()), 0);
  EXPECT_EQ(ReadBack("offered"), "<__complete><--server><unix:/x.sock><--context=a><get><user-store><>\n");
}

TEST_F(CompletionTest, ManualPagesTellCommandsAndFields) {
  EXPECT_EQ(Raw({"man", server_.folder(), "--date", "2027-01-31"}), kOk) << err_;
  EXPECT_THAT(ReadBack("gatehousectl.1"), AllOf(StartsWith(".TH GATEHOUSECTL 1 \"2027-01-31\""), HasSubstr(".BR gatehousectl\\-trust\\-store (1)")));
  EXPECT_THAT(ReadBack("gatehousectl-user.1"), AllOf(HasSubstr(".SS gatehousectl user set\\-password"), HasSubstr("\\fB\\-\\-keep\\-old\\fR")));
  EXPECT_THAT(ReadBack("gatehouse-trust-store.5"), AllOf(HasSubstr("\\fBanchors\\fR"), HasSubstr("Certificate authorities that may issue")));
  EXPECT_EQ(Raw({"man", "/nonexistent"}), kUsage);
}

TEST(ManTextTest, EscapesWhatTroffWouldTakeForItsOwn) {
  EXPECT_EQ(ManText(".so /etc/passwd\n'x a\\b c-d …"), "\\&.so /etc/passwd\n\\&'x a\\eb c\\-d \\[u2026]");
}

}  // namespace
}  // namespace gatehouse::cli
