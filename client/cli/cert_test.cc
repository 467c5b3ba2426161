// The files that cert new makes: all of them, or none.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "client/cli/cli_fixture.h"

namespace gatehouse::cli {
namespace {

using ::testing::HasSubstr;

class CertTest : public CliTest {
 protected:
  CertTest() { std::filesystem::create_directory(Path("pki")); }
  int New(const std::string& out, const std::string& key, bool force) {
    std::vector<std::string> command = {"cert", "new", "ca", "--subject", "CN=Root", "--out", Path(out), "--key-out", Path(key)};
    if (force) command.push_back("--force");
    return Raw(command);
  }
  size_t Files() { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(Path("pki")), {})); }
};

TEST_F(CertTest, AKeyIsNotLostWhenItsCertificateCannotBeWritten) {
  ASSERT_EQ(New("pki/ca.pem", "pki/ca.key", false), kOk) << err_;
  const std::string key = ReadBack("pki/ca.key"), certificate = ReadBack("pki/ca.pem");
  EXPECT_EQ(New("not-there/ca.pem", "pki/ca.key", true), kRefused);
  EXPECT_THAT(err_, HasSubstr("No such file or directory"));
  EXPECT_EQ(New("pki", "pki/ca.key", true), kRefused) << "a folder is in its place";
  EXPECT_EQ(New("pki/ca.pem", "pki", true), kRefused);
  EXPECT_EQ(New("pki/ca.pem", "pki/ca.pem", true), kRefused) << "two of one name";
  EXPECT_EQ(ReadBack("pki/ca.key"), key);
  EXPECT_EQ(ReadBack("pki/ca.pem"), certificate);
  EXPECT_EQ(Files(), 2u);
  EXPECT_EQ(New("pki/ca.pem", "pki/ca.key", true), kOk) << err_;
  EXPECT_NE(ReadBack("pki/ca.key"), key);
  EXPECT_EQ(Files(), 2u);
  struct stat info = {};
  ASSERT_EQ(stat(Path("pki/ca.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(CertTest, NoKeyIsLeftWithoutItsCertificate) {
  Write("pki/ca.pem", "another's");
  EXPECT_EQ(New("pki/ca.pem", "pki/ca.key", false), kConflict);
  EXPECT_THAT(err_, HasSubstr("ca.pem exists already; --force replaces it"));
  EXPECT_EQ(ReadBack("pki/ca.pem"), "another's");
  EXPECT_EQ(Files(), 1u);
}

}  // namespace
}  // namespace gatehouse::cli
