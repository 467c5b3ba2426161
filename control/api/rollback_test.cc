// What a rollback brings back, and what it does not.
#include "control/api/rollback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

store::StateRef State(uint64_t revision, const std::string& set) {
  v1::ConfigSet parsed;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(set, &parsed)) << set;
  auto state = std::make_shared<store::State>();
  state->revision = revision;
  for (v1::Resource& resource : store::ResourcesOf(parsed)) {
    const store::ResourceKey key = store::KeyOf(resource);
    state->resources[key] = std::make_shared<const v1::Resource>(std::move(resource));
  }
  return state;
}

class RollbackTest : public ::testing::Test {
 protected:
  // Rolls `now` back to `then`; what was kept is in kept_.
  std::string Rollback(const std::string& then, const std::string& now, bool restore_trust = false) {
    const Etags etags;
    Draft draft(State(2, now), etags);
    std::vector<v1::Violation> kept;
    EditRollback(*State(1, then), restore_trust, draft, &kept);
    kept_.clear();
    for (const v1::Violation& v : kept) kept_.push_back(absl::StrCat(v.path(), ": ", v.message()));
    store::State after;
    after.resources = draft.resources();
    return store::SetOf(after).ShortDebugString();
  }
  std::string Set(const std::string& text) { return store::SetOf(*State(1, text)).ShortDebugString(); }
  std::vector<std::string> kept_;
};

TEST_F(RollbackTest, ChangesBackBringsBackAndRemoves) {
  const std::string then = R"(routes { name: "a" fixed_response { status: 200 } } routes { name: "gone" anonymous: true })";
  EXPECT_EQ(Rollback(then, R"(routes { name: "a" fixed_response { status: 500 } } routes { name: "new" anonymous: true }
                             policies { name: "p" })"),
            Set(then));
  EXPECT_THAT(kept_, IsEmpty());
}

TEST_F(RollbackTest, LeavesTrustAloneUnlessToldTo) {
  const std::string then = R"(trust_stores { name: "t" anchors { pem: "A" } anchors { pem: "B" } } schemes { name: "old" })";
  const std::string now = R"(trust_stores { name: "t" anchors { pem: "A" } } schemes { name: "new" })";
  EXPECT_EQ(Rollback(then, now), Set(now));
  EXPECT_THAT(kept_, ElementsAre("trustStores[\"t\"]: stays as it is now: trust comes back only with restore_trust",
                                 "schemes[\"new\"]: stays as it is now: trust comes back only with restore_trust",
                                 "schemes[\"old\"]: stays as it is now: trust comes back only with restore_trust"));
  EXPECT_EQ(Rollback(then, now, true), Set(then));
  EXPECT_THAT(kept_, IsEmpty());
}

TEST_F(RollbackTest, RestoresNoUserWhateverItIsTold) {
  const std::string then = R"(user_stores { name: "u" users { name: "ann" password_hashes: "x" } } user_stores { name: "gone" })";
  const std::string now = R"(user_stores { name: "u" users { name: "bob" password_hashes: "y" } } user_stores { name: "new" })";
  EXPECT_EQ(Rollback(then, now, true), Set(now));
  EXPECT_EQ(kept_.size(), 3u);
}

TEST_F(RollbackTest, RestoresNoPrivateKey) {
  const std::string same = R"(server_certificates { name: "s" certificate_chain_pem: "1" private_key_pem: "k" })";
  EXPECT_EQ(Rollback(same, R"(server_certificates { name: "s" certificate_chain_pem: "2" private_key_pem: "k" })"), Set(same));
  EXPECT_THAT(kept_, IsEmpty()) << "the key that is stored now fits";
  const std::string now = R"(server_certificates { name: "s" certificate_chain_pem: "2" private_key_pem: "other" })";
  EXPECT_EQ(Rollback(same, now, true), Set(now));
  EXPECT_THAT(kept_, ElementsAre("serverCertificates[\"s\"]: stays as it is now: a rollback restores no private key"));
  EXPECT_EQ(Rollback(same, "", true), "");
  EXPECT_THAT(kept_, ElementsAre("serverCertificates[\"s\"]: stays away: a rollback restores no private key"));
  EXPECT_EQ(Rollback("", same, true), Set(same)) << "nor does it lose one";
  const std::string files = R"(server_certificates { name: "s" files { certificate_chain_path: "c" } })";
  EXPECT_EQ(Rollback(files, ""), Set(files));
  EXPECT_THAT(kept_, IsEmpty());
}

TEST_F(RollbackTest, RestoresNoPrivateKeyOfASchemeEitherThoughTrustComesBack) {
  const auto scheme = [](const std::string& chain, const std::string& key) {
    return absl::StrCat("schemes { name: 's' basic { validator { tls { certificate_chain_pem: '", chain, "' private_key_pem: '", key, "' } } } }");
  };
  EXPECT_EQ(Rollback(scheme("1", "k"), scheme("2", "k"), true), Set(scheme("1", "k")));
  EXPECT_THAT(kept_, IsEmpty()) << "the key that is stored now fits";
  EXPECT_EQ(Rollback(scheme("1", "k"), scheme("2", "other"), true), Set(scheme("2", "other")));
  EXPECT_THAT(kept_, ElementsAre("schemes[\"s\"]: stays as it is now: a rollback restores no private key"));
  EXPECT_EQ(Rollback(scheme("1", "k"), "", true), "");
  EXPECT_THAT(kept_, ElementsAre("schemes[\"s\"]: stays away: a rollback restores no private key"));
}

TEST_F(RollbackTest, ToWhatIsThereChangesNothing) {
  const std::string set = R"(trust_stores { name: "t" } user_stores { name: "u" } routes { name: "r" })";
  EXPECT_EQ(Rollback(set, set), Set(set));
  EXPECT_THAT(kept_, IsEmpty());
}

}  // namespace
}  // namespace gatehouse::api
