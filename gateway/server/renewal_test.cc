#include "gateway/server/renewal.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>

#include "gateway/certs/mint.h"
#include "gateway/server/fake_gateway.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A clock whose next reader is made to do something else first.
class InterruptingClock final : public Clock {
 public:
  absl::Time Now() const override {
    std::function<void()> first;
    {
      MutexLock lock(&mutex_);
      first.swap(first_);
    }
    if (first) first();
    return absl::Now();
  }
  void Interrupt(std::function<void()> first) {
    MutexLock lock(&mutex_);
    first_ = std::move(first);
  }

 private:
  mutable Mutex mutex_;
  mutable std::function<void()> first_ ABSL_GUARDED_BY(mutex_);
};

class RenewalTest : public ::testing::Test {
 protected:
  RenewalTest() {
    std::string name = ::testing::TempDir() + "renewal-XXXXXX";
    folder_ = mkdtemp(name.data());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(R"pb(
      listeners { name: "edge" address: "127.0.0.1:0" server_certificates: "web" }
      server_certificates { name: "web" }
      routes { name: "open" match { path: "/o" } anonymous: true identity_response {} }
    )pb", &set_));
    auto* files = set_.mutable_server_certificates(0)->mutable_files();
    files->set_certificate_chain_path(folder_ + "/now/tls.crt");
    files->set_private_key_path(folder_ + "/now/tls.key");
  }
  ~RenewalTest() override {
    renewal_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Write(const std::string& name, absl::string_view content) {
    std::ofstream(folder_ + "/new") << content;
    std::filesystem::rename(folder_ + "/new", folder_ + "/now/" + name);
  }
  certs::CertificateRef Mint(const std::string& subject, const UniqueKey& key, const std::string& dns = "localhost") {
    certs::MintRequest request;
    request.subject = subject;
    request.sans.push_back({certs::SanKind::kDns, dns});
    request.not_before = absl::Now() - absl::Hours(1);
    request.not_after = absl::Now() + absl::Hours(24 * 60);
    return *certs::Mint(request, key.get());
  }
  // Both at once, as Kubernetes does: in a new directory, to which a link is swapped.
  void WritePair(const std::string& subject, const UniqueKey& key) {
    const std::string pair = std::to_string(++pairs_);
    std::filesystem::create_directory(folder_ + "/" + pair);
    std::ofstream(folder_ + "/" + pair + "/tls.key") << certs::KeyToPem(key.get())->Reveal();
    std::ofstream(folder_ + "/" + pair + "/tls.crt") << Mint(subject, key)->ToPem();
    std::filesystem::create_symlink(pair, folder_ + "/link");
    std::filesystem::rename(folder_ + "/link", folder_ + "/now");
  }
  // Builds and installs a revision, as a gateway's owner does.
  config::BuildResult Take(uint64_t revision = 1, const std::string& incarnation = "i") {
    config::BuildResult built = renewal_->Build(config::ResourceMap(set_), revision, incarnation);
    EXPECT_EQ(renewal_->Install(built, config::ResourceMap(set_)), built.violations);
    return built;
  }
  std::string Subject() const { return gateway_.current()->server_credentials.at(0)->leaf().subject(); }

  UniqueKey key_ = *certs::MintKey(certs::KeyType::kP256);
  UniqueKey other_ = *certs::MintKey(certs::KeyType::kP256);
  std::string folder_;
  int pairs_ = 0;
  v1::ConfigSet set_;
  FakeGateway gateway_;
  InterruptingClock clock_;
  std::unique_ptr<Renewal> renewal_ = std::make_unique<Renewal>(&gateway_, clock_, absl::Milliseconds(5));
};

TEST_F(RenewalTest, NewFilesComeIntoForceUnderTheSameRevision) {
  WritePair("CN=first", key_);
  ASSERT_TRUE(Take().ok());
  EXPECT_EQ(Subject(), "CN=first");
  WritePair("CN=second", other_);
  EXPECT_THAT(gateway_.Details(1).back(), HasSubstr("serverCertificates[\"web\"]: renewed from its files"));
  EXPECT_EQ(Subject(), "CN=second");
  EXPECT_EQ(gateway_.current()->revision, 1u);
}

TEST_F(RenewalTest, APairThatDoesNotFitLeavesTheOneBeforeAndIsToldOnce) {
  WritePair("CN=first", key_);
  ASSERT_TRUE(Take().ok());
  Write("tls.crt", Mint("CN=second", other_)->ToPem());
  EXPECT_THAT(gateway_.Details(1),
              ElementsAre("serverCertificates[\"web\"].files.private_key_path: " + folder_ +
                          "/now/tls.key: private key does not match the certificate; the pair before stays"));
  EXPECT_EQ(Subject(), "CN=first");
  Write("tls.key", "garbage");
  EXPECT_THAT(gateway_.Details(2).back(), HasSubstr("files.private_key_path: " + folder_ + "/now/tls.key: private key:"));
  Write("tls.crt", "garbage");
  EXPECT_THAT(gateway_.Details(3).back(), HasSubstr("files.certificate_chain_path: " + folder_ + "/now/tls.crt: "));
  std::filesystem::remove(folder_ + "/now/tls.crt");
  EXPECT_THAT(gateway_.Details(4).back(), HasSubstr("tls.crt: No such file or directory; the pair before stays"));
  EXPECT_EQ(Subject(), "CN=first");
  WritePair("CN=third", other_);
  EXPECT_THAT(gateway_.Details(5).back(), HasSubstr("renewed"));
  EXPECT_EQ(Subject(), "CN=third");
}

TEST_F(RenewalTest, WithoutAPairBeforeTheRevisionIsRefusedWithThePathOfTheField) {
  config::BuildResult built = Take();
  ASSERT_FALSE(built.ok());
  ASSERT_THAT(built.violations, SizeIs(1));
  EXPECT_EQ(built.violations[0].path, "serverCertificates[\"web\"].files.certificate_chain_path");
  WritePair("CN=first", key_);
  Write("tls.key", "garbage");
  built = Take();
  ASSERT_THAT(built.violations, SizeIs(1));
  EXPECT_EQ(built.violations[0].path, "serverCertificates[\"web\"].files.private_key_path");
  EXPECT_THAT(built.violations[0].message, ::testing::Not(HasSubstr("garbage"))) << "nothing of a file's content";
}

TEST_F(RenewalTest, WhoWasRefusedForFilesThatAreMissingHearsWhenTheyCome) {
  ASSERT_FALSE(Take().ok());
  Mutex mutex;
  CondVar taken;
  bool ok = false;
  int tries = 0;
  renewal_->Await(config::ResourceMap(set_), [&] {
    MutexLock lock(&mutex);
    ++tries;
    ok = Take().ok();
    taken.SignalAll();
  });
  WritePair("CN=first", key_);
  {
    MutexLock lock(&mutex);
    while (!ok) ASSERT_TRUE(taken.WaitFor(&mutex, absl::Seconds(20)));
    EXPECT_LE(tries, 3) << "nothing is tried while nothing changes";
  }
  EXPECT_EQ(Subject(), "CN=first");
  // From then on the files are followed as always, and nobody is called again.
  const int before = tries;
  WritePair("CN=second", other_);
  EXPECT_THAT(gateway_.Details(1).back(), HasSubstr("renewed from its files"));
  EXPECT_EQ(tries, before);
}

TEST_F(RenewalTest, WhatTheGatewayRefusedIsTriedAgainThoughNoFileChanges) {
  const config::ResourceMap without;
  gateway_.Refuse(3);
  std::promise<void> taken;
  std::function<void()> take = [&] {
    if (renewal_->Install(renewal_->Build(without, 1, "i"), without).empty()) return taken.set_value();
    renewal_->Await(without, take);
  };
  take();
  ASSERT_EQ(taken.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(gateway_.installs(), 4);
  EXPECT_EQ(gateway_.current()->revision, 1u);
}

TEST_F(RenewalTest, FilesThatAreWrittenAgainAsTheyWereChangeNothing) {
  WritePair("CN=first", key_);
  const std::string same = *ReadFile(folder_ + "/now/tls.crt", 1 << 20);
  ASSERT_TRUE(Take().ok());
  Write("tls.crt", same);
  Write("tls.key", "garbage");  // told of, so that the change before is known to be seen
  EXPECT_THAT(gateway_.Details(1), SizeIs(1));
  EXPECT_EQ(gateway_.installs(), 1);
}

TEST_F(RenewalTest, ARenewalNeverComesBackOverWhatCameIntoForceWhileItWasBuilt) {
  const std::pair<uint64_t, const char*> kNext[] = {
      {6, "A"},  // newer
      {5, "A"},  // other content under the number, as after a restore
      {1, "B"},  // of another store
  };
  for (const auto& [revision, incarnation] : kNext) {
    SCOPED_TRACE(incarnation + std::to_string(revision));
    FakeGateway gateway;
    InterruptingClock clock;
    Renewal renewal(&gateway, clock, absl::Milliseconds(5));
    const auto take = [&](uint64_t number, const std::string& store, const config::ResourceMap& resources) {
      renewal.Install(renewal.Build(resources, number, store), resources);
    };
    WritePair("CN=first", key_);
    const std::function<void()> renewing = [&, revision = revision, incarnation = incarnation] {
      WritePair("CN=second", other_);
      take(revision, incarnation, config::ResourceMap());
    };
    clock.Interrupt([&] { clock.Interrupt(renewing); });  // not the first build, the next
    take(5, "A", config::ResourceMap(set_));
    ASSERT_TRUE(gateway.Overtaken());
    EXPECT_EQ(gateway.current()->incarnation, incarnation);
    EXPECT_EQ(gateway.current()->revision, revision);
    EXPECT_THAT(gateway.current()->route_list(), IsEmpty());
  }
}

TEST_F(RenewalTest, FilesThatChangeWhileTheNextRevisionIsBuiltAreNotMissed) {
  WritePair("CN=first", key_);
  ASSERT_TRUE(Take().ok());
  const config::BuildResult next = renewal_->Build(config::ResourceMap(set_), 2, "i");  // has read the first pair
  WritePair("CN=second", other_);
  EXPECT_THAT(gateway_.Details(1).back(), HasSubstr("renewed"));
  renewal_->Install(next, config::ResourceMap(set_));
  EXPECT_THAT(gateway_.Details(2).back(), HasSubstr("renewed"));
  EXPECT_EQ(Subject(), "CN=second");
  EXPECT_EQ(gateway_.current()->revision, 2u);
}

TEST_F(RenewalTest, AConfigurationWithoutFilesIsNotFollowed) {
  WritePair("CN=first", key_);
  ASSERT_TRUE(Take().ok());
  const config::ResourceMap without;
  config::BuildResult built = renewal_->Build(without, 2, "i");
  ASSERT_TRUE(built.ok());
  EXPECT_THAT(built.snapshot->files, IsEmpty());
  EXPECT_THAT(renewal_->Install(built, without), IsEmpty());
  WritePair("CN=second", other_);
  WatchedFiles later(absl::Milliseconds(5));
  Mutex mutex;
  CondVar called;
  bool polled = false;
  later.Watch("x", {folder_ + "/now/tls.crt"}, [&] {
    MutexLock lock(&mutex);
    polled = true;
    called.SignalAll();
  });
  MutexLock lock(&mutex);
  while (!polled) called.Wait(&mutex);
  EXPECT_EQ(gateway_.installs(), 2);
}

}  // namespace
}  // namespace gatehouse::server
