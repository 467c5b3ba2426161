// Path processing, clause by clause. Paths are minted; NIST PKITS (tests/conformance) covers the rest of section 6.
#include "gateway/certs/path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/rsa.h>

#include "gateway/certs/name_constraints.h"
#include "gateway/certs/test_pki.h"

namespace gatehouse::certs {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// OpenSSL's words for an extension, as its configuration files have them: "permitted;DNS:a.test".
MintExtension Worded(int nid, const std::string& words, bool critical) {
  X509V3_CTX ctx;
  X509V3_set_ctx_nodb(&ctx);
  X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, &ctx, nid, words.c_str());
  EXPECT_NE(made, nullptr) << words;
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(made);
  MintExtension out{OBJ_nid2sn(nid), critical,
                    std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                static_cast<size_t>(ASN1_STRING_length(value)))};
  X509_EXTENSION_free(made);
  return out;
}

std::string Der(char tag, absl::string_view content) {
  std::string out = {tag, static_cast<char>(content.size())};  // short forms only
  out.append(content.data(), content.size());
  return out;
}

MintExtension Policies(const std::vector<std::string>& policies) {
  std::string list;
  for (const std::string& p : policies) {
    list += Der(0x30, Der(0x06, p == "any" ? std::string("\x55\x1d\x20\x00", 4) : *ParsePolicy(p)));
  }
  return {"certificatePolicies", false, Der(0x30, list)};
}

class PathTest : public ::testing::Test {
 protected:
  PathTest() { options_.trust_store = Store({root_.certificate}); }

  Authority SubWith(std::vector<MintExtension> extensions, const std::string& subject = "CN=Sub", size_t key = 1) {
    return SubOf(root_, std::move(extensions), subject, key);
  }
  static Authority SubOf(const Authority& parent, std::vector<MintExtension> extensions, const std::string& subject,
                         size_t key) {
    MintRequest request = Request(Profile::kIntermediate, subject);
    request.extensions = std::move(extensions);
    return {Make(request, KeyAt(key), parent.signer()), KeyAt(key)};
  }
  static CertificateRef LeafWith(const Authority& parent, std::vector<San> sans, const std::string& subject = "CN=alice",
                                 std::vector<MintExtension> extensions = {}) {
    MintRequest request = Request(Profile::kLeaf, subject);
    request.sans = std::move(sans);
    request.extensions = std::move(extensions);
    return Make(request, KeyAt(9), parent.signer());
  }
  Reason Why(const std::vector<CertificateRef>& presented) {
    trace_ = {};
    return Judge(presented, options_, kTestNow, nullptr, &trace_).reason;
  }
  std::string Detail() const {
    for (const TraceStep& s : trace_.steps) {
      if (!s.ok) return s.detail;
    }
    return "";
  }
  // Why a leaf with this SAN is refused under a CA with these constraints.
  Reason Constrained(const std::string& constraints, San san, const std::string& subject = "CN=alice") {
    const Authority ca = SubWith({Worded(NID_name_constraints, constraints, true)});
    return Why({LeafWith(ca, {std::move(san)}, subject), ca.certificate});
  }

  Authority root_ = Root("CN=Root", 0);
  SchemeOptions options_;
  Trace trace_;
};

constexpr Reason kOk = Reason::kNone;
constexpr Reason kNo = Reason::kConstraintViolation;

TEST(NameFormsTest, DnsNamesLieBelowAConstraintOnLabels) {
  struct {
    const char* name;
    const char* constraint;
    bool permitted, excluded;
  } const facts[] = {
      {"a.test", "a.test", true, true},         {"b.a.test", "A.Test", true, true},
      {"ba.test", "a.test", false, false},      {"test", "a.test", false, false},
      {"anything.test", "", true, true},        {"a.test", ".a.test", false, true},
      {"b.a.test", ".a.test", true, true},      {"*.a.test", "a.test", true, true},
      {"*.a.test", "b.a.test", false, true},    {"*.test", "b.a.test", false, true},
      {"*.b.a.test", "a.test", true, true},     {"*.c.test", "a.test", false, false},
      {"*.a.test", ".a.test", true, true},
  };
  for (const auto& f : facts) {
    EXPECT_EQ(DnsWithin(f.name, f.constraint, false), f.permitted) << f.name << " " << f.constraint;
    EXPECT_EQ(DnsWithin(f.name, f.constraint, true), f.excluded) << f.name << " " << f.constraint;
  }
}

TEST(NameFormsTest, MailboxesHostsAndDomainsAreDifferentConstraints) {
  EXPECT_TRUE(EmailWithin("Alice@a.test", "Alice@A.test"));
  EXPECT_FALSE(EmailWithin("alice@a.test", "Alice@a.test"));
  EXPECT_TRUE(EmailWithin("x@A.test", "a.test"));
  EXPECT_FALSE(EmailWithin("x@b.a.test", "a.test"));
  EXPECT_TRUE(EmailWithin("x@b.a.test", ".a.test"));
  EXPECT_FALSE(EmailWithin("x@a.test", ".a.test"));
  EXPECT_TRUE(EmailWithin("x@a.test", ""));
}

TEST(NameFormsTest, OnlyAHostNameIsTheHostOfAUri) {
  EXPECT_EQ(HostOfUri("https://user@Host.test:8443/p?q@x#f"), "Host.test");
  EXPECT_EQ(HostOfUri("spiffe://a.test/ns"), "a.test");
  for (const char* none : {"urn:a:b", "https://10.0.0.1/", "https://[::1]/", "https:///p", "mailto:x@a.test", "x",
                           "https://1/", "https://*.a.test/"}) {
    EXPECT_EQ(HostOfUri(none), "") << none;
  }
  EXPECT_TRUE(HostWithin("a.test", "A.test"));
  EXPECT_FALSE(HostWithin("b.a.test", "a.test"));
  EXPECT_TRUE(HostWithin("b.a.test", ".a.test"));
  EXPECT_FALSE(HostWithin("a.test", ".a.test"));
}

TEST(NameFormsTest, AddressesOfTheTwoFamiliesNeverMeet) {
  EXPECT_TRUE(AddressWithin("\x0a\x01\x02\x03", absl::string_view("\x0a\x01\0\0\xff\xff\0\0", 8)));
  EXPECT_FALSE(AddressWithin("\x0a\x02\x02\x03", absl::string_view("\x0a\x01\0\0\xff\xff\0\0", 8)));
  EXPECT_FALSE(AddressWithin("\x0a\x01\x02\x03", std::string(32, '\0')));
}

TEST_F(PathTest, AppliesNameConstraintsOfEveryForm) {
  EXPECT_EQ(Constrained("permitted;DNS:a.test", {SanKind::kDns, "x.a.test"}), kOk);
  EXPECT_EQ(Constrained("permitted;DNS:a.test", {SanKind::kDns, "x.b.test"}), kNo);
  EXPECT_THAT(Detail(), HasSubstr("dNSName \"x.b.test\" is not permitted"));
  EXPECT_EQ(Constrained("excluded;DNS:b.a.test", {SanKind::kDns, "*.a.test"}), kNo);
  EXPECT_EQ(Constrained("permitted;DNS:a.test", {SanKind::kEmail, "x@b.test"}), kOk);  // another form
  EXPECT_EQ(Constrained("permitted;email:a.test", {SanKind::kEmail, "x@a.test"}), kOk);
  EXPECT_EQ(Constrained("excluded;email:x@a.test", {SanKind::kEmail, "x@a.test"}), kNo);
  EXPECT_EQ(Constrained("permitted;URI:.a.test", {SanKind::kUri, "spiffe://b.a.test/x"}), kOk);
  EXPECT_EQ(Constrained("permitted;URI:.a.test", {SanKind::kUri, "spiffe://b.test/.a.test"}), kNo);
  EXPECT_EQ(Constrained("excluded;URI:b.test", {SanKind::kUri, "urn:x:y"}), kNo);  // no host to judge by
  EXPECT_EQ(Constrained("permitted;IP:10.1.0.0/255.255.0.0", {SanKind::kIp, "10.1.9.9"}), kOk);
  EXPECT_EQ(Constrained("permitted;IP:10.1.0.0/255.255.0.0", {SanKind::kIp, "10.2.9.9"}), kNo);
  EXPECT_EQ(Constrained("permitted;IP:10.1.0.0/255.255.0.0", {SanKind::kIp, "2001:db8::1"}), kNo);
  EXPECT_EQ(Constrained("excluded;IP:2001:db8::/ffff:ffff::", {SanKind::kIp, "2001:db8::1"}), kNo);
}

TEST_F(PathTest, AppliesMailConstraintsToTheSubjectToo) {
  const std::string subject = "emailAddress=x@b.test,CN=alice";
  EXPECT_EQ(Constrained("permitted;email:a.test", {SanKind::kEmail, "x@a.test"}, subject), kNo);
  EXPECT_EQ(Constrained("permitted;email:b.test", {SanKind::kEmail, "x@b.test"}, subject), kOk);
}

TEST_F(PathTest, RefusesNamesUnderAConstraintThatItCannotProcess) {
  const std::string upn = "permitted;otherName:1.3.6.1.4.1.311.20.2.3;UTF8:corp";
  EXPECT_EQ(Constrained(upn, {SanKind::kUpn, "alice@corp"}), kNo);
  EXPECT_THAT(Detail(), HasSubstr("otherName is constrained, which cannot be processed"));
  EXPECT_EQ(Constrained(upn, {SanKind::kDns, "a.test"}), kOk);
  EXPECT_EQ(Constrained("excluded;RID:1.2.3", {SanKind::kDns, "a.test"}), kOk);
}

TEST_F(PathTest, TheMaskOfAPssSignatureMustBeStrongToo) {
  UniqueKey key = *MintKey(KeyType::kRsa2048);
  const Authority ca{Make(Request(Profile::kCa, "CN=Pss"), key.get()), key.get()};
  SchemeOptions options;
  options.trust_store = Store({ca.certificate});
  const CertificateRef leaf = Leaf(ca, "CN=alice");
  for (const char* mask : {"SHA256", "SHA1"}) {
    UniqueX509 x(X509_dup(leaf->x509()));
    EVP_MD_CTX* ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX* key_ctx = nullptr;
    EVP_DigestSignInit(ctx, &key_ctx, EVP_sha256(), nullptr, key.get());
    EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST);
    EVP_PKEY_CTX_set_rsa_mgf1_md(key_ctx, EVP_get_digestbyname(mask));
    ASSERT_GT(X509_sign_ctx(x.get(), ctx), 0);
    EVP_MD_CTX_free(ctx);
    const CertificateRef made = *Certificate::FromX509(x.get());
    const bool strong = mask == std::string("SHA256");
    options.strength.allow_sha1 = false;
    EXPECT_EQ(Judge(std::vector{made}, options, kTestNow).reason,
              strong ? Reason::kNone : Reason::kWeakKeyOrSignature) << mask;
    options.strength.allow_sha1 = true;
    EXPECT_EQ(Judge(std::vector{made}, options, kTestNow).reason, Reason::kNone) << mask;
  }
}

TEST_F(PathTest, ComparesDirectoryNamesByRdns) {
  // directoryName [4] of `O=Example` in a permitted subtree.
  const std::string name = "\x30\x12\x31\x10\x30\x0e\x06\x03\x55\x04\x0a\x0c\x07" "Example";
  std::string base = "\xa4\x14" + name;
  base = "\x30\x16" + base;
  const std::string constraints = "\x30\x1a\xa0\x18" + base;
  const Authority ca = SubWith({{"nameConstraints", true, constraints}}, "CN=Sub,O=Example");
  EXPECT_EQ(Why({LeafWith(ca, {}, "CN=alice,O=Example"), ca.certificate}), kOk) << Detail();
  EXPECT_EQ(Why({LeafWith(ca, {}, "CN=alice,O=\\ EXAMPLE"), ca.certificate}), kOk) << Detail();
  EXPECT_EQ(Why({LeafWith(ca, {}, "CN=alice,O=Example Two"), ca.certificate}), kNo);
  EXPECT_EQ(Why({LeafWith(ca, {}, "O=Example,CN=alice"), ca.certificate}), kNo);
  EXPECT_EQ(Why({LeafWith(ca, {}, "OU=x+O=Example"), ca.certificate}), kNo);
  // A subject that is empty is no name; the SAN is then critical.
  EXPECT_EQ(Why({LeafWith(ca, {{SanKind::kDns, "a.test"}}, ""), ca.certificate}), kOk) << Detail();
}

TEST_F(PathTest, AppliesTheConstraintsOfAnAnchor) {
  MintRequest request = Request(Profile::kCa, "CN=Narrow Root");
  request.extensions = {Worded(NID_name_constraints, "permitted;DNS:a.test", true)};
  const Authority narrow{Make(request, KeyAt(5)), KeyAt(5)};
  options_.trust_store = Store({narrow.certificate});
  EXPECT_EQ(Why({LeafWith(narrow, {{SanKind::kDns, "a.test"}})}), kOk);
  EXPECT_EQ(Why({LeafWith(narrow, {{SanKind::kDns, "b.test"}})}), kNo);
}

TEST_F(PathTest, HoldsACommonNameThatIsAHostToConstraintsOfHosts) {
  const Authority ca = SubWith({Worded(NID_name_constraints, "permitted;DNS:a.test", true)});
  const auto why = [&](std::vector<San> sans, const std::string& subject) {
    return Why({LeafWith(ca, std::move(sans), subject), ca.certificate});
  };
  EXPECT_EQ(why({}, "CN=x.a.test"), Reason::kNone);
  EXPECT_EQ(why({}, "CN=x.b.test"), Reason::kConstraintViolation);
  EXPECT_THAT(Detail(), HasSubstr("common name as dNSName \"x.b.test\" is not permitted"));
  EXPECT_EQ(why({}, "CN=x.a.test,CN=x.b.test"), Reason::kConstraintViolation);
  EXPECT_EQ(why({{SanKind::kEmail, "x@b.test"}}, "CN=x.b.test"), Reason::kConstraintViolation);
  EXPECT_EQ(why({{SanKind::kDns, "x.a.test"}}, "CN=x.b.test"), Reason::kNone);  // its names are in the SAN
  EXPECT_EQ(why({}, "CN=alice"), Reason::kNone);
  EXPECT_EQ(why({}, "CN=Dr. Alice"), Reason::kNone);
  const Authority below = SubOf(ca, {}, "CN=b.test", 3);  // no end certificate
  EXPECT_EQ(Why({Leaf(below, "CN=alice"), below.certificate, ca.certificate}), Reason::kNone);
}

TEST_F(PathTest, RefusesWhatIsNoAddressWhereAddressesAreConstrained) {
  const San san{SanKind::kDns, "a.test"};
  for (const char* address : {"b.test", "x@b.test.", "x@b.test\\ ", "x@y@b.test", "@b.test"}) {
    const std::string subject = absl::StrCat("emailAddress=", address, ",CN=alice");
    EXPECT_EQ(Constrained("excluded;email:b.test", san, subject), Reason::kConstraintViolation) << subject;
    EXPECT_EQ(Constrained("excluded;DNS:b.test", san, subject), Reason::kNone) << subject;
  }
}

TEST_F(PathTest, RefusesAKeyUsageWithBitsThatDoNotCount) {
  // keyCertSign is set, among the two bits that the first octet takes away.
  for (const std::string& bits : {std::string("\x06\xc4"), std::string("\x03\x84"), std::string(1, '\x01')}) {
    const Authority ca = SubWith({{"keyUsage", true, Der(0x03, bits)}});
    EXPECT_EQ(Why({Leaf(ca, "CN=alice"), ca.certificate}), Reason::kMalformedCertificate);
    EXPECT_EQ(Detail(), "keyUsage cannot be read");
  }
  const Authority ca = SubWith({{"keyUsage", true, Der(0x03, "\x02\x84")}});
  EXPECT_EQ(Why({Leaf(ca, "CN=alice"), ca.certificate}), Reason::kNone);
}

TEST_F(PathTest, RefusesAnAuthorityKeyIdentifierOfOtherFields) {
  for (const std::string& fields :
       {Der(0x04, "key"), Der('\x82', "\x01") + Der('\x80', "key"), std::string("\x80\x05key")}) {
    const CertificateRef leaf = LeafWith(root_, {}, "CN=alice", {{"authorityKeyIdentifier", false, Der(0x30, fields)}});
    EXPECT_EQ(Why({leaf}), Reason::kMalformedCertificate);
    EXPECT_EQ(Detail(), "authorityKeyIdentifier cannot be read");
  }
}

TEST_F(PathTest, RefusesPoliciesThatAreNoObjectIdentifiers) {
  for (const std::string& oid : {std::string("\x2a\x83"), std::string("\x2a\x80\x03"), std::string()}) {
    const Authority ca = SubWith({{"certificatePolicies", false, Der(0x30, Der(0x30, Der(0x06, oid)))}});
    EXPECT_EQ(Why({Leaf(ca, "CN=alice"), ca.certificate}), Reason::kMalformedCertificate);
    EXPECT_EQ(Detail(), "certificatePolicies cannot be read");
  }
}

TEST_F(PathTest, ExemptsSelfIssuedAuthoritiesFromNameConstraintsButNoLeaf) {
  const Authority ca = SubWith({Worded(NID_name_constraints, "permitted;DNS:a.test", true)}, "CN=Sub");
  MintRequest rolled = Request(Profile::kIntermediate, "CN=Sub");
  rolled.sans = {{SanKind::kDns, "b.test"}};
  const Authority next{Make(rolled, KeyAt(2), ca.signer()), KeyAt(2)};
  EXPECT_EQ(Why({LeafWith(next, {{SanKind::kDns, "a.test"}}), next.certificate, ca.certificate}), kOk) << Detail();
  EXPECT_EQ(Why({LeafWith(ca, {{SanKind::kDns, "b.test"}}, "CN=Sub"), ca.certificate}), kNo);
}

TEST_F(PathTest, RefusesNameConstraintsThatAreNone) {
  const auto with = [this](std::string der, bool critical = true) {
    const Authority ca = SubWith({{"nameConstraints", critical, std::move(der)}});
    return Why({LeafWith(ca, {}), ca.certificate});
  };
  const Reason malformed = Reason::kMalformedCertificate;
  const std::string good = "\x30\x0c\xa0\x0a\x30\x08\x82\x06" "a.test";
  EXPECT_EQ(with(good), kOk) << Detail();
  EXPECT_EQ(with(good, false), malformed);                               // not critical
  EXPECT_EQ(with(std::string("\x30\x00", 2)), malformed);                // empty
  EXPECT_EQ(with(std::string("\x30\x02\xa0\x00", 4)), malformed);        // an empty list
  EXPECT_EQ(with("\x30\x0f\xa0\x0d\x30\x0b\x82\x06" "a.test\x80\x01\x01"), malformed);  // a minimum
  EXPECT_EQ(with("\x30\x0d\xa0\x0b\x30\x09\x82\x07" "a.test."), malformed);             // no host name: would match nothing
  EXPECT_EQ(with(std::string("\x30\x0e\xa0\x0c\x30\x0a\x87\x08\x0a\0\0\0\xff\0\xff\0", 16)), malformed);  // a mask with holes
  EXPECT_EQ(with("garbage"), malformed);
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=alice", {{"nameConstraints", true, good}})}), malformed);  // in a leaf
}

TEST_F(PathTest, RefusesAnchorsWhoseConstraintsCannotBeRead) {
  MintRequest request = Request(Profile::kCa, "CN=Odd Root");
  request.extensions = {{"nameConstraints", true, "garbage"}};
  const Authority odd{Make(request, KeyAt(5)), KeyAt(5)};
  options_.trust_store = Store({odd.certificate});
  EXPECT_EQ(Why({LeafWith(odd, {})}), Reason::kMalformedCertificate);
}

TEST_F(PathTest, KeepsProfileRulesOfExtensions) {
  const Reason malformed = Reason::kMalformedCertificate;
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=a", {{"keyUsage", true, "\x03\x02\x02\x84"}})}), malformed);  // keyCertSign
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=a", {{"basicConstraints", true, "\x30\x03\x02\x01\x01"}})}), malformed);
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=a", {{"basicConstraints", true, std::string("\x30\x00", 2)}})}), kOk);
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=a", {{"1.2.3.4", true, std::string("\x05\x00", 2)}})}), kNo);
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=a", {{"1.2.3.4", false, std::string("\x05\x00", 2)}})}), kOk);
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=a", {{"inhibitAnyPolicy", false, std::string("\x02\x01\x00", 3)}})}), malformed);
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=a", {{"subjectAltName", false, std::string("\x30\x00", 2)}})}), malformed);
  EXPECT_EQ(Why({LeafWith(root_, {}, "CN=a", {{"subjectAltName", false, "\x30\x80\x82\x01" "a"}})}), malformed);
  // A directoryName O=Go?d; by the tag of its value: UTF8String, BMPString, UniversalString.
  const auto directory = [](const std::string& value) {
    const auto wrap = [](char tag, const std::string& content) {
      return std::string{tag, static_cast<char>(content.size())} + content;
    };
    return wrap('\x30', wrap('\xa4', wrap('\x30', wrap('\x31', wrap('\x30', "\x06\x03\x55\x04\x0a" + value)))));
  };
  for (const auto& [value, ok] : std::vector<std::pair<std::string, bool>>{
           {"\x0c\x04Good", true},
           {"\x0c\x04Go\xef" "d", false},
           {std::string("\x1e\x04\0G\0o", 6), true},
           {std::string("\x1e\x03\0G\0", 5), false},
           {std::string("\x1e\x02\xd8\0", 4), false},
           {std::string("\x1c\x04\0\0\0G", 6), true},
           {std::string("\x1c\x04\0\x11\0\0", 6), false},
           {"", false}}) {
    const CertificateRef leaf = LeafWith(root_, {}, "CN=a", {{"subjectAltName", false, directory(value)}});
    EXPECT_EQ(Why({leaf}), ok ? Reason::kNone : malformed) << ::testing::PrintToString(value);
  }
  EXPECT_EQ(Why({LeafWith(root_, {{SanKind::kDns, "a"}}, "", {{"subjectAltName", false, "\x30\x03\x82\x01" "a"}})}), malformed);
  EXPECT_EQ(Why({LeafWith(root_, {{SanKind::kDns, "a"}}, "")}), kOk) << Detail();
  // An authority that does not say so, or says so only in passing.
  const Authority none = SubWith({{"basicConstraints", true, ""}, {"keyUsage", true, ""}});
  EXPECT_EQ(Why({LeafWith(none, {}), none.certificate}), kNo);
  const Authority passing = SubWith({{"basicConstraints", false, "\x30\x03\x01\x01\xff"}});
  EXPECT_EQ(Why({LeafWith(passing, {}), passing.certificate}), kOk) << Detail();
}

TEST_F(PathTest, CountsPathLengthWithoutSelfIssuedAuthorities) {
  MintRequest request = Request(Profile::kIntermediate, "CN=Sub");
  request.path_length = 0;
  const Authority ca{Make(request, KeyAt(1), root_.signer()), KeyAt(1)};
  const Authority rolled = Sub(ca, "CN=Sub", 2);
  EXPECT_EQ(Why({Leaf(rolled, "CN=a"), rolled.certificate, ca.certificate}), kOk);
  const Authority deeper = Sub(ca, "CN=Deeper", 2);
  EXPECT_EQ(Why({Leaf(deeper, "CN=a"), deeper.certificate, ca.certificate}), kNo);
  EXPECT_THAT(Detail(), HasSubstr("allows 0 authorities below it, and has 1"));
}

TEST_F(PathTest, WantsARequiredPolicyOnTheWholePath) {
  const std::string good = "1.2.3", other = "1.2.4";
  const Authority ca = SubWith({Policies({good, other})});
  const auto leaf = [&](const std::string& p) { return LeafWith(ca, {}, "CN=a", {Policies({p})}); };
  const CertificateRef none = LeafWith(ca, {}), with_good = leaf(good), with_other = leaf(other);
  EXPECT_EQ(Why({none, ca.certificate}), kOk);
  options_.policy = {{*ParsePolicy(good)}, true, false, false};
  EXPECT_EQ(Why({none, ca.certificate}), kNo);
  EXPECT_EQ(Why({with_good, ca.certificate}), kOk);
  EXPECT_EQ(Why({with_other, ca.certificate}), kNo);
  EXPECT_THAT(Detail(), HasSubstr("no policy that is asked for"));
  options_.policy.initial_set.push_back(*ParsePolicy(other));
  EXPECT_EQ(Why({with_other, ca.certificate}), kOk);
  EXPECT_EQ(Why({leaf("any"), ca.certificate}), kOk);
  options_.policy.inhibit_any = true;
  EXPECT_EQ(Why({leaf("any"), ca.certificate}), kNo);
}

TEST_F(PathTest, TakesAnotherAuthorityOfTheNameWhenOneDoesNotVerify) {
  const Authority good = Sub(root_, "CN=Sub", 1);
  const CertificateRef leaf = Leaf(good, "CN=alice");
  MintRequest request = Request(Profile::kIntermediate, "CN=Sub");
  request.not_after += absl::Hours(24);  // preferred in the search
  const auto rival = [&](MintRequest r, size_t key, const Authority& by) { return Make(r, KeyAt(key), by.signer()); };
  MintRequest servers = request, no_ca = request, weak_form = request;
  servers.extensions = {Worded(NID_ext_key_usage, "serverAuth", false)};
  no_ca.extensions = {{"basicConstraints", true, std::string("\x30\x00", 2)}};
  weak_form.serial = std::string(1, '\0');
  const Authority impostor = Root("CN=Root", 7);
  const std::vector<CertificateRef> rivals = {
      rival(servers, 1, root_), rival(no_ca, 1, root_), rival(weak_form, 1, root_), rival(request, 1, impostor),
      rival(request, 3, root_)};
  for (const CertificateRef& bad : rivals) {
    EXPECT_NE(Why({leaf, bad}), kOk);
    EXPECT_EQ(Why({leaf, bad, good.certificate}), kOk) << Detail();
  }
  std::vector<CertificateRef> all = rivals;
  all.insert(all.begin(), leaf);
  EXPECT_NE(Why(all), kOk);
  all.push_back(good.certificate);
  EXPECT_EQ(Why(all), kOk);
}

TEST_F(PathTest, FollowsAKeyRollOver) {
  // RFC 4210 section 4.4: old with new, new with old.
  const Authority next = Root("CN=Root", 5);
  const Authority new_with_old = Sub(root_, "CN=Root", 5);
  const CertificateRef by_new = Leaf(next, "CN=alice");
  EXPECT_EQ(Why({by_new}), Reason::kUnknownIssuer);  // another authority of the name
  EXPECT_EQ(Why({by_new, new_with_old.certificate}), kOk);
  EXPECT_EQ(Why({by_new, new_with_old.certificate, next.certificate}), kOk);
}

TEST_F(PathTest, TellsAnotherAuthorityOfTheNameFromAForgery) {
  const Authority twin = Root("CN=Root", 7);
  EXPECT_EQ(Why({Leaf(twin, "CN=alice")}), Reason::kUnknownIssuer);
  EXPECT_EQ(Why({LeafWith(twin, {}, "CN=alice", {{"authorityKeyIdentifier", false, ""}})}), Reason::kBadSignature);
}

TEST_F(PathTest, RefusesAnRsaKeyWhoseExponentIsOne) {
  // Whatever is "signed" with it verifies: nobody's key, and everybody's.
  const std::string long_form = "\x82\x01\x01";  // of 257 octets
  std::string key = "\x02" + long_form + std::string(1, '\0') + std::string(256, '\xff') + "\x02\x01\x01";
  key = "\x03\x82\x01\x0d" + std::string(1, '\0') + "\x30\x82\x01\x08" + key;
  key = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05" + std::string(1, '\0') + key;
  key = "\x30\x82\x01\x20" + key;
  const auto* p = reinterpret_cast<const unsigned char*>(key.data());
  const UniqueKey one(d2i_PUBKEY(nullptr, &p, static_cast<long>(key.size())));
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(Why({Make(Request(Profile::kLeaf, "CN=alice"), one.get(), root_.signer())}), Reason::kWeakKeyOrSignature);
}

TEST_F(PathTest, RefusesAbsurdRsaExponents) {
  UniqueKey key;
  {
    EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
    BIGNUM* exponent = nullptr;
    BN_dec2bn(&exponent, "18446744073709551629");  // 65 bits, prime
    ASSERT_EQ(EVP_PKEY_keygen_init(ctx), 1);
    ASSERT_EQ(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
    ASSERT_EQ(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, exponent), 1);
    EVP_PKEY* made = nullptr;
    ASSERT_EQ(EVP_PKEY_keygen(ctx, &made), 1);
    key.reset(made);
    BN_free(exponent);
    EVP_PKEY_CTX_free(ctx);
  }
  const CertificateRef leaf = Make(Request(Profile::kLeaf, "CN=alice"), key.get(), root_.signer());
  EXPECT_EQ(Why({leaf}), Reason::kWeakKeyOrSignature);
  const CertificateRef self = Make(Request(Profile::kSelfSigned, "CN=self"), key.get());
  EXPECT_FALSE(self->self_signed());  // not worth verifying
}

}  // namespace
}  // namespace gatehouse::certs
