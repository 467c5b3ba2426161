// Named control planes.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "client/cli/cli_fixture.h"

namespace gatehouse::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ContextsTest : public CliTest {
 protected:
  std::string File() { return Path("config/gatehouse/config.yaml"); }
};

TEST_F(ContextsTest, TheFirstOneMadeIsUsedAndOthersWhenAskedFor) {
  EXPECT_EQ(Raw({"context", "list"}), kOk);
  EXPECT_THAT(err_, HasSubstr("there are none"));
  ASSERT_EQ(Raw({"context", "set", "here", "--server", server_.target()}), kOk) << err_;
  EXPECT_EQ(out_, "context here made, and used\n");
  struct stat info = {};
  ASSERT_EQ(stat(File().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(Path("config/gatehouse").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(Raw({"get", "routes"}), kOk) << err_;

  ASSERT_EQ(Raw({"context", "set", "far", "--server", "far.example:7000", "--ca", "/pki/ca.pem", "--cert", "me.pem", "--key", "/pki/me.key"}),
            kOk) << err_;
  EXPECT_EQ(Raw({"context", "show"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("context          here"), HasSubstr(server_.target())));
  EXPECT_EQ(Raw({"--context", "far", "context", "show"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("far.example:7000"), HasSubstr("cert             /"), HasSubstr("/me.pem\n")));
  EXPECT_EQ(Raw({"context", "use", "far"}), kOk);
  EXPECT_EQ(Raw({"context", "list"}), kOk);
  EXPECT_THAT(out_, HasSubstr("*  far   far.example:7000"));
  EXPECT_EQ(Raw({"get", "routes", "--context", "here"}), kOk) << "flags may stand anywhere " << err_;
  EXPECT_EQ(Raw({"context", "delete", "far"}), kOk);
  EXPECT_THAT(out_, HasSubstr("none is used now"));
  EXPECT_EQ(Raw({"--context", "far", "get", "routes"}), kNotFound);
}

TEST_F(ContextsTest, ServerAndEnvironmentCountBeforeTheCurrentOne) {
  ASSERT_EQ(Raw({"context", "set", "nowhere", "--server", "unix:/nonexistent/control.sock"}), kOk) << err_;
  EXPECT_EQ(Raw({"get", "routes"}), kUnavailable);
  EXPECT_EQ(Ctl({"get", "routes"}), kOk) << err_;
  setenv("GATEHOUSE_SERVER", server_.target().c_str(), 1);
  EXPECT_EQ(Raw({"get", "routes"}), kOk) << err_;
  EXPECT_EQ(Raw({"--context", "nowhere", "get", "routes"}), kUnavailable);
  unsetenv("GATEHOUSE_SERVER");
  EXPECT_EQ(Ctl({"--context", "nowhere", "get", "routes"}), kRefused);
  EXPECT_THAT(err_, HasSubstr("exclude each other"));
}

TEST_F(ContextsTest, WhatIsNoGoodIsRefusedWhenItIsSet) {
  EXPECT_EQ(Raw({"context", "set", "x", "--server", "far.example:7000"}), kRefused);
  EXPECT_THAT(err_, HasSubstr("mutual TLS"));
  EXPECT_EQ(Raw({"context", "set", "../x", "--server", server_.target()}), kUsage);
  EXPECT_THAT(err_, HasSubstr("is no name of a context"));
  EXPECT_EQ(Raw({"context", "set", "x", "--server", "unix:/tmp/\x1b[2J"}), kRefused);
  EXPECT_THAT(err_, Not(HasSubstr("\x1b")));
  ASSERT_EQ(Raw({"context", "set", "production", "--server", server_.target()}), kOk);
  EXPECT_EQ(Raw({"context", "use", "prodction"}), kNotFound);
  EXPECT_THAT(err_, HasSubstr("did you mean \"production\"?"));
}

TEST_F(ContextsTest, AnyNameIsReadBack) {
  for (const char* name : {"null", "true", "no"}) {
    ASSERT_EQ(Raw({"context", "set", name, "--server", server_.target(), "--use"}), kOk) << err_;
    EXPECT_EQ(Raw({"get", "routes"}), kOk) << name << ": " << err_;
  }
}

TEST_F(ContextsTest, AFileThatOthersMayWriteIsNotUsed) {
  ASSERT_EQ(Raw({"context", "set", "here", "--server", server_.target()}), kOk);
  ASSERT_EQ(chmod(File().c_str(), 0666), 0);
  EXPECT_EQ(Raw({"get", "routes"}), kRefused);
  EXPECT_THAT(err_, AllOf(HasSubstr("may be written by others"), HasSubstr("chmod 600")));
  EXPECT_EQ(Ctl({"get", "routes"}), kOk) << "it is not even looked at";
}

TEST_F(ContextsTest, ABrokenFileIsToldWithItsLine) {
  ASSERT_EQ(Raw({"context", "set", "here", "--server", server_.target()}), kOk);
  for (const auto& [text, told] : std::vector<std::pair<std::string, std::string>>{
           {"current: here\ncontexts:\n  here: {server: a, colour: red}\n", ":3: no field \"colour\""},
           {"contexts:\n  here: {ca: x}\n", ":2: server: required"},
           {"contexts:\n  \"../x\": {server: x}\n", "is no name of a context"},
           {"context: x\n", ":1: \"context\": current (a name) and contexts are expected"},
           {"[1, 2]\n", "one document"},
           {"a: [\n", "config.yaml:"}}) {
    std::ofstream(File()) << text;
    EXPECT_EQ(Raw({"get", "routes"}), kRefused) << text;
    EXPECT_THAT(err_, HasSubstr(told));
  }
}

}  // namespace
}  // namespace gatehouse::cli
