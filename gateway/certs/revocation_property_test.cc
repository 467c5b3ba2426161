// Random lists and answers against a model of a dozen lines: neither their order nor where they lie matters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "gateway/certs/test_revocation.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {
namespace {

struct RandomList {
  CrlRef list;
  std::string pem;
  bool genuine = false;
  bool current = false;
  bool hold = false;  // names it as on hold
  bool names_leaf = false;
};

TEST(RevocationPropertyTest, AgreesWithTheModelInAnyOrderAndPlace) {
  std::mt19937 random(5);
  const auto chance = [&](unsigned one_in) { return random() % one_in == 0; };
  const Authority root = Root("CN=Root,O=Example", 0), impostor = Root("CN=Root,O=Example", 1);
  const CertificateRef leaf = Leaf(root, "CN=alice"), other = Leaf(root, "CN=bob");
  int seen[3] = {};
  for (int round = 0; round < 300; ++round) {
    std::vector<RandomList> lists(random() % 4);
    for (size_t i = 0; i < lists.size(); ++i) {
      RandomList& r = lists[i];
      r.genuine = !chance(3);
      r.current = !chance(3);
      r.names_leaf = chance(3);
      // Later ones are newer, and say so by their number too.
      MintCrlRequest request = List({Revoked(other)}, i + 1);
      r.hold = chance(2);
      if (r.names_leaf) {
        request.entries.push_back(
            Revoked(leaf, r.hold ? std::optional(RevocationReason::kCertificateHold) : std::nullopt));
      }
      request.this_update = kTestNow - absl::Minutes(static_cast<int64_t>(100 - 10 * i));
      request.next_update = r.current ? kTestNow + absl::Hours(1) : kTestNow - absl::Minutes(6);
      const std::string der = Der(request, r.genuine ? root : impostor);
      r.list = *Crl::FromDer(der);
      r.pem = CrlToPem(der);
    }
    MintOcspRequest asked = AnswerOf(leaf, root.certificate,
                                     chance(2) ? OcspStatus::kGood : OcspStatus::kRevoked);
    asked.produced_at = kTestNow - absl::Minutes(3);
    asked.answers[0].this_update =
        kTestNow - absl::Minutes(static_cast<int64_t>(105 - 10 * (random() % 5)));
    const bool answered = chance(2), answer_holds = chance(2);
    if (answer_holds) asked.answers[0].reason = RevocationReason::kCertificateHold;

    // The model: the newest genuine list and the answer, of which the newer one counts if it says something; unless the
    // other revokes for good.
    std::optional<absl::Time> when;
    bool for_good = false;
    Reason expected = Reason::kRevocationUnknown;
    for (const RandomList& r : lists) {
      if (!r.genuine) continue;
      when.reset();
      for_good = r.names_leaf && !r.hold;
      expected = Reason::kRevocationUnknown;
      if (!r.names_leaf && !r.current) continue;
      when = r.list->this_update();
      expected = r.names_leaf ? Reason::kRevoked : Reason::kNone;
    }
    const bool answer_revokes = answered && asked.answers[0].status == OcspStatus::kRevoked;
    if (answered && (!when || asked.answers[0].this_update > *when)) {
      expected = answer_revokes ? Reason::kRevoked : Reason::kNone;
    }
    if (for_good || (answer_revokes && !answer_holds)) expected = Reason::kRevoked;

    for (int order = 0; order < 3; ++order) {
      std::shuffle(lists.begin(), lists.end(), random);
      FakeSource source;
      TrustStoreInput input;
      input.anchors_pem = {root.certificate->ToPem()};
      for (const RandomList& r : lists) {
        if (chance(2)) {
          source.Hold(r.list);
        } else {
          input.crls_pem.push_back(r.pem);
        }
      }
      if (answered) {
        OcspCheck check;
        check.now = kTestNow;
        source.Hold(leaf, *ReadOcspAnswer(*MintOcspAnswer(asked, root.signer()), *leaf,
                                          *root.certificate, check));
      }
      std::vector<FieldError> errors;
      SchemeOptions options;
      options.trust_store = TrustStore::Create(input, &errors);
      ASSERT_THAT(errors, ::testing::IsEmpty());
      options.revocation.mode = RevocationMode::kOffline;
      options.revocation.max_age = absl::Hours(24);
      const Verdict verdict = Judge(std::vector{leaf}, options, kTestNow, &source);
      ASSERT_EQ(verdict.reason, expected) << "round " << round;
      ASSERT_EQ(verdict.outcome == Outcome::kValid, expected == Reason::kNone);
    }
    ++seen[expected == Reason::kNone ? 0 : expected == Reason::kRevoked ? 1 : 2];
  }
  for (int count : seen) EXPECT_GT(count, 30);
}

}  // namespace
}  // namespace gatehouse::certs
