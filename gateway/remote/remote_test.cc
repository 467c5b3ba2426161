#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gateway/remote/snapshot_file.h"
#include "gateway/remote/uplink.h"

namespace gatehouse::remote {
namespace {

using ::testing::HasSubstr;

class SnapshotFileTest : public ::testing::Test {
 protected:
  SnapshotFileTest() {
    char name[] = "/tmp/gatehouse-remote-XXXXXX";
    folder_ = absl::StrCat(mkdtemp(name), "/state");
  }
  std::string path() const { return folder_ + "/snapshot.sealed"; }
  std::string Content(const std::string& file) const {
    std::ostringstream out;
    out << std::ifstream(file, std::ios::binary).rdbuf();
    return out.str();
  }
  void Overwrite(const std::string& file, const std::string& content) const {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
  }
  SavedSnapshot Sample() const {
    SavedSnapshot saved;
    saved.revision = 7;
    saved.incarnation = "one";
    v1::ConfigSet set;
    set.add_server_certificates()->set_private_key_pem("-----BEGIN PRIVATE KEY-----");
    saved.resources = config::ResourceMap(set);
    return saved;
  }
  // Adds an upstream, and returns the delta that does.
  static v1::Delta Grow(SavedSnapshot* snapshot, int i) {
    v1::Delta delta;
    delta.set_from_revision(snapshot->revision);
    delta.set_to_revision(++snapshot->revision);
    delta.set_incarnation(snapshot->incarnation);
    delta.mutable_changed()->add_upstreams()->set_name(absl::StrCat("u", i));
    auto resource = std::make_shared<v1::Resource>();
    *resource->mutable_upstream() = delta.changed().upstreams(0);
    snapshot->resources[config::KeyOf(*resource)] = resource;
    delta.set_digest(std::string(AsView(snapshot->resources.digest())));
    return delta;
  }
  std::string folder_;
};

TEST_F(SnapshotFileTest, GivesBackWhatWasSavedAndShowsNothingOfItOnDisk) {
  auto file = SnapshotFile::Open(folder_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->Load().status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(file->Save(Sample()).ok());
  auto loaded = SnapshotFile::Open(folder_)->Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->revision, 7u);
  EXPECT_EQ(loaded->incarnation, "one");
  EXPECT_EQ(loaded->resources.digest(), Sample().resources.digest());
  EXPECT_EQ(Content(path()).find("PRIVATE KEY"), std::string::npos);
  struct stat info;
  ASSERT_EQ(stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
}

TEST_F(SnapshotFileTest, NothingOfADamagedOrShortenedFileIsUsed) {
  auto file = SnapshotFile::Open(folder_);
  ASSERT_TRUE(file->Save(Sample()).ok());
  const std::string good = Content(path());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    Overwrite(path(), bad);
    EXPECT_EQ(file->Load().status().code(), absl::StatusCode::kDataLoss) << "octet " << i;
    Overwrite(path(), good.substr(0, i));
    EXPECT_EQ(file->Load().status().code(), absl::StatusCode::kDataLoss) << "first " << i << " octets";
  }
}

TEST_F(SnapshotFileTest, AnotherKeyDoesNotOpenIt) {
  ASSERT_TRUE(SnapshotFile::Open(folder_)->Save(Sample()).ok());
  ASSERT_EQ(unlink((folder_ + "/snapshot.key").c_str()), 0);
  EXPECT_EQ(SnapshotFile::Open(folder_)->Load().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotFileTest, AKeyThatOthersMayReadAndAFolderThatOthersMayWriteAreRefused) {
  ASSERT_TRUE(SnapshotFile::Open(folder_).ok());
  ASSERT_EQ(chmod((folder_ + "/snapshot.key").c_str(), 0644), 0);
  EXPECT_THAT(std::string(SnapshotFile::Open(folder_).status().message()), HasSubstr("snapshot.key"));
  ASSERT_EQ(chmod((folder_ + "/snapshot.key").c_str(), 0600), 0);
  ASSERT_EQ(chmod(folder_.c_str(), 0777), 0);
  EXPECT_FALSE(SnapshotFile::Open(folder_).ok());
}

TEST_F(SnapshotFileTest, AChangeIsSavedByItselfAndFoundAgain) {
  auto file = SnapshotFile::Open(folder_);
  SavedSnapshot snapshot = Sample();
  ASSERT_TRUE(file->Save(snapshot).ok());
  const std::string whole = Content(path());
  for (int i = 0; i < 3; ++i) {
    const v1::Delta delta = Grow(&snapshot, i);
    ASSERT_TRUE(file->SaveChange(snapshot, delta).ok());
  }
  EXPECT_EQ(Content(path()), whole);
  auto loaded = SnapshotFile::Open(folder_)->Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->revision, 10u);
  EXPECT_EQ(loaded->resources.digest(), snapshot.resources.digest());
}

// Between a change's arrival and its taking, what was refused before may have come into force.
TEST_F(SnapshotFileTest, AChangeThatDoesNotStartFromWhatIsSavedIsSavedWhole) {
  auto file = SnapshotFile::Open(folder_);
  const SavedSnapshot seven = Sample();
  ASSERT_TRUE(file->Save(seven).ok());
  SavedSnapshot eight = seven, nine = seven;
  Grow(&eight, 0);                       // was refused: a file of this machine was missing
  v1::Delta delta = Grow(&nine, 1);      // what the control plane sends to one that acknowledged 7: 7 -> 9
  nine.revision = 9;
  delta.set_to_revision(9);
  ASSERT_TRUE(file->Save(eight).ok());   // Retry: Hold(8, nullptr)
  ASSERT_TRUE(file->SaveChange(nine, delta).ok());  // Take: Hold(9, 7 -> 9)
  auto loaded = SnapshotFile::Open(folder_)->Load();
  EXPECT_TRUE(loaded.ok()) << loaded.status();
}

TEST_F(SnapshotFileTest, AChangedChangeLeavesNothingToStartFrom) {
  auto file = SnapshotFile::Open(folder_);
  SavedSnapshot snapshot = Sample();
  ASSERT_TRUE(file->Save(snapshot).ok());
  const v1::Delta delta = Grow(&snapshot, 0);
  ASSERT_TRUE(file->SaveChange(snapshot, delta).ok());
  std::string changes = Content(folder_ + "/snapshot.changes");
  changes.back() = static_cast<char>(changes.back() ^ 1);
  Overwrite(folder_ + "/snapshot.changes", changes);
  EXPECT_EQ(SnapshotFile::Open(folder_)->Load().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotFileTest, TheFirstChangeOfAProcessIsSavedWhole) {
  SavedSnapshot snapshot = Sample();
  ASSERT_TRUE(SnapshotFile::Open(folder_)->Save(snapshot).ok());
  const v1::Delta delta = Grow(&snapshot, 0);
  ASSERT_TRUE(SnapshotFile::Open(folder_)->SaveChange(snapshot, delta).ok());
  EXPECT_EQ(Content(folder_ + "/snapshot.changes"), "");
  EXPECT_EQ(SnapshotFile::Open(folder_)->Load()->revision, 8u);
}

TEST_F(SnapshotFileTest, ChangesLeftOverFromBeforeTheWholeArePassedOver) {
  auto file = SnapshotFile::Open(folder_);
  SavedSnapshot snapshot = Sample();
  ASSERT_TRUE(file->Save(snapshot).ok());
  const v1::Delta delta = Grow(&snapshot, 0);
  ASSERT_TRUE(file->SaveChange(snapshot, delta).ok());
  const std::string changes = Content(folder_ + "/snapshot.changes");
  ASSERT_TRUE(file->Save(snapshot).ok());
  Overwrite(folder_ + "/snapshot.changes", changes);  // as if the crash came before they were removed
  auto loaded = SnapshotFile::Open(folder_)->Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->revision, 8u);
}

TEST_F(SnapshotFileTest, RemembersWhenItWasLastKnownToBeTheNewest) {
  auto file = SnapshotFile::Open(folder_);
  EXPECT_EQ(file->LoadConfirmed(), std::nullopt);
  file->SaveConfirmed(absl::FromUnixSeconds(1'800'000'000));
  EXPECT_EQ(SnapshotFile::Open(folder_)->LoadConfirmed(), absl::FromUnixSeconds(1'800'000'000));
}

TEST_F(SnapshotFileTest, ADroppedFileIsGone) {
  auto file = SnapshotFile::Open(folder_);
  ASSERT_TRUE(file->Save(Sample()).ok());
  file->Drop();
  EXPECT_EQ(file->Load().status().code(), absl::StatusCode::kNotFound);
}

// A hub that takes the first `deaf` batches without a word and breaks the stream, then acknowledges.
class Hub final : public v1::EventService::Service {
 public:
  explicit Hub(int deaf) : deaf_(deaf) {}
  grpc::Status Report(grpc::ServerContext*,
                      grpc::ServerReaderWriter<v1::ReportResponse, v1::ReportRequest>* stream) override {
    v1::ReportRequest request;
    while (stream->Read(&request)) {
      MutexLock lock(&mutex_);
      if (deaf_ > 0) {
        --deaf_;
        lost_.push_back(request.batch());
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
      }
      for (const v1::Event& event : request.events()) {
        seen_.insert(event.request().request_id());
        missed_ += event.missed();
      }
      batches_.push_back(request.batch());
      gateway_ = request.gateway();
      v1::ReportResponse answer;
      answer.set_batch(request.batch());
      stream->Write(answer);
      changed_.SignalAll();
    }
    return grpc::Status::OK;
  }
  bool WaitFor(size_t events) {
    MutexLock lock(&mutex_);
    while (seen_.size() < events) {
      if (!changed_.WaitFor(&mutex_, absl::Seconds(20))) return false;
    }
    return true;
  }
  Mutex mutex_;
  CondVar changed_;
  int deaf_;
  std::set<std::string> seen_;
  std::vector<uint64_t> batches_, lost_;
  uint64_t missed_ = 0;  // as the events say
  std::string gateway_;
};

void Add(Uplink& uplink, int from, int to) {
  std::vector<events::Event> events(static_cast<size_t>(to - from));
  std::vector<const events::Event*> batch;
  for (events::Event& event : events) {
    event.SetRequest({.method = "GET", .request_id = absl::StrCat(from++)});
    batch.push_back(&event);
  }
  uplink.Add(batch);
}

TEST(UplinkTest, DeliversEveryEventAndSendsAnUnacknowledgedBatchAgainUnderItsNumber) {
  Hub hub(2);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&hub);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  {
    Uplink uplink("far", [port] {
      return grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
    });
    Add(uplink, 0, 1200);
    ASSERT_TRUE(hub.WaitFor(1200));
    Add(uplink, 1200, 1201);
    uplink.Stop(absl::Seconds(10));
    EXPECT_EQ(uplink.lost(), 0u);
  }
  EXPECT_EQ(hub.seen_.size(), 1201u);
  EXPECT_EQ(hub.gateway_, "far");
  EXPECT_EQ(hub.lost_, std::vector<uint64_t>({1, 1}));
  EXPECT_EQ(hub.batches_.front(), 1u);
  EXPECT_TRUE(std::is_sorted(hub.batches_.begin(), hub.batches_.end()));
  server->Shutdown();
}

TEST(UplinkTest, TheNextEventThatFitsTellsWhatWasLost) {
  Hub hub(0);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&hub);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::atomic<bool> reachable = false;
  {
    Uplink uplink("far", [&]() -> std::shared_ptr<grpc::Channel> {
      if (!reachable) return nullptr;
      return grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
    });
    constexpr int kMost = static_cast<int>(Uplink::kMostWaiting);
    Add(uplink, 0, kMost + 5);
    reachable = true;
    ASSERT_TRUE(hub.WaitFor(Uplink::kMostWaiting));
    Add(uplink, kMost + 5, kMost + 6);
    uplink.Stop(absl::Seconds(10));
    EXPECT_EQ(uplink.lost(), 5u);
  }
  EXPECT_EQ(hub.seen_.size(), Uplink::kMostWaiting + 1);
  EXPECT_EQ(hub.missed_, 5u);
  server->Shutdown();
}

TEST(UplinkTest, WhatALostEventWouldHaveToldOfIsToldByTheNext) {
  Hub hub(0);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&hub);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::atomic<bool> reachable = false;
  {
    Uplink uplink("far", [&]() -> std::shared_ptr<grpc::Channel> {
      if (!reachable) return nullptr;
      return grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
    });
    constexpr int kMost = static_cast<int>(Uplink::kMostWaiting);
    Add(uplink, 0, kMost);
    events::Event late;
    late.dropped_before = 7;  // the recorder's ring was full
    const events::Event* batch[] = {&late};
    uplink.Add(batch);  // no room
    reachable = true;
    ASSERT_TRUE(hub.WaitFor(Uplink::kMostWaiting));
    Add(uplink, kMost + 5, kMost + 6);
    uplink.Stop(absl::Seconds(10));
  }
  EXPECT_EQ(hub.missed_, 8u) << "seven, and the one that said so";
  server->Shutdown();
}

TEST(UplinkTest, WhatDoesNotFitIsCounted) {
  Uplink uplink("far", [] { return nullptr; });
  Add(uplink, 0, static_cast<int>(Uplink::kMostWaiting) + 5);
  EXPECT_EQ(uplink.lost(), 5u);
}

TEST(UplinkTest, LargeCertificatesOfStrangersFillABoundedAmountOfMemory) {
  Uplink uplink("far", [] { return nullptr; });
  events::CertificateSummary certificate;
  certificate.subject = std::string(16 * 1024, 'x');
  certificate.issuer = certificate.subject;
  events::Event event;
  event.Own().peer = events::FactsOf(std::move(certificate));
  const events::Event* batch[] = {&event};
  size_t added = 0;
  for (; uplink.has_room() && added < Uplink::kMostWaiting; ++added) uplink.Add(batch);
  EXPECT_LE(added, Uplink::kMostWaitingBytes / (32 * 1024));
  EXPECT_EQ(uplink.lost(), 0u);
  uplink.Add(batch);
  EXPECT_EQ(uplink.lost(), 1u);
}

TEST(UplinkTest, WhatIsNotDeliveredBeforeTheEndIsLostAndCounted) {
  Uplink uplink("far", [] { return nullptr; });
  Add(uplink, 0, 100);
  uplink.Stop(absl::Milliseconds(1));
  EXPECT_EQ(uplink.lost(), 100u);
}

TEST(UplinkTest, SaysWhenItIsFullAndKeepsWhatItPromised) {
  Uplink uplink("far", [] { return nullptr; });
  EXPECT_TRUE(uplink.has_room());
  Add(uplink, 0, static_cast<int>(Uplink::kMostWaiting));
  EXPECT_FALSE(uplink.has_room());
  events::Event promised;
  promised.must_keep = true;
  const events::Event* batch[] = {&promised};
  uplink.Add(batch);
  EXPECT_EQ(uplink.lost(), 0u);
  Add(uplink, 0, 1);
  EXPECT_EQ(uplink.lost(), 1u);
}

}  // namespace
}  // namespace gatehouse::remote
