#include "gateway/credentials/password_hash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace gatehouse::credentials {
namespace {

using ::testing::HasSubstr;

constexpr char kPassword[] = "open sesame";
// Made by libxcrypt's own tools and, for argon2id, the reference implementation's published
// vectors.
constexpr char kSha512[] =
    "$6$rounds=1000$saltsalt$/IiX/CoEcxCZ9SksEXnbjfCT1LGvD4z5OpJkaFYl/"
    "T37OAwuKZ8I8BixDhruhPLkw6lS7dw/6wQWgQnGo7lLg/";
constexpr char kSha512Default[] =
    "$6$saltsalt$e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7n7EbRdRiCx3HbQ90yjOHr.G0T."
    "mx79PEMRy8nmtr0qSYhQp1";
constexpr char kYescrypt[] = "$y$j75$saltsaltsalt$/t.p6VFaMssrvW9hjFBIPSCdXaaCzdMD9V8t0nx8fL.";
constexpr char kBcryptTail[] = "04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";
constexpr char kArgon2[] =
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
constexpr char kArgon2TwoLanes[] =
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";

std::string Bcrypt(absl::string_view prefix) { return std::string(prefix) + kBcryptTail; }
std::string Why(absl::string_view mcf) { return std::string(ParseHash(mcf).status().message()); }

TEST(VerifyPasswordTest, KnowsEveryKind) {
  for (const std::string& mcf :
       {std::string(kSha512), std::string(kSha512Default), std::string(kYescrypt), Bcrypt("$2a$"),
        Bcrypt("$2b$"), Bcrypt("$2y$")}) {
    EXPECT_TRUE(VerifyPassword(mcf, kPassword)) << mcf;
    EXPECT_FALSE(VerifyPassword(mcf, "open sesamE")) << mcf;
    EXPECT_FALSE(VerifyPassword(mcf, "")) << mcf;
  }
  for (absl::string_view mcf : {kArgon2, kArgon2TwoLanes}) {
    EXPECT_TRUE(VerifyPassword(mcf, "password")) << mcf;
    EXPECT_FALSE(VerifyPassword(mcf, "Password")) << mcf;
  }
}

TEST(VerifyPasswordTest, RefusesWhatItCannotReadWhole) {
  EXPECT_FALSE(VerifyPassword("", kPassword));
  EXPECT_FALSE(VerifyPassword("open sesame", kPassword));
  EXPECT_FALSE(VerifyPassword(kSha512, absl::string_view("open sesame\0x", 13)));
  EXPECT_FALSE(VerifyPassword(kSha512, std::string(kMaxPasswordBytes + 1, 'x')));
  EXPECT_FALSE(VerifyPassword("$1$saltsalt$6wuJQo3h0YfGQ5/NbeXqk1", kPassword));
}

// What the tools of Debian 12 write for "correct horse battery".
constexpr char kHorse[] = "correct horse battery";
constexpr const char* kOfTools[] = {
    // htpasswd -B -C 4, -5 -r 1000
    "$2y$04$DCxggwhvFPKJ3nakvNW7jO65cvuVgEkKWva5L5E8fiWMS6hLzg0w6",
    "$6$rounds=1000$roCoe7lvClKSHapP$0uZaJtC13svn9mkC8jnd1PuNNty9oG1p1o0DASyH1HpLf0bHcWL42zgprt6upo7Z.NHkPEnqDDrUuWb.eQB/H0",
    // openssl passwd -6
    "$6$abcdefgh$dTmIYmW/LpvGK/iiDSK9zlcKIRJ33.7YE9DETLAR1zX9/2./Fv6/8dFZ1tCs/Kfp//7QeoJfyRWP7XdDzP87j1",
    "$6$rounds=5000$abc$0VeVY6BJze93qnEeZV8TFN2/RVl9OwaZjqeVDtg6Kpt6pOVkzcy2CycBCIaZTKhPggvNEbxJV0QKUbjhE7Npo1",
    // mkpasswd -m yescrypt -R 1, yescrypt, sha512crypt -R 1500, bcrypt, bcrypt-a
    "$y$j75$uYmT9zXE1V5MrMjjccvuD1$r6Wso/qqcCoI/GSvy6KXDKuA3uVv5GZZJMm4muGiUR0",
    "$y$j9T$kq7yMWZ54m/3U3uj4pGfg.$lIL/TCIRfNpCiRc1qBTWArn6twKpGxJfps.EirJ.bxA",
    "$6$rounds=1500$HTUTifUyzRdqS0KA$toCubiZpurr/mLXnnnpXyIdP4LkAioGzAzQfuUpGL3F7O2a83emTKf5lL7f2g2ISngqQTTCzMPgBx26AZQl9P0",
    "$2b$05$P6fuiPiY9JbsaeOQZT9qW.jBdqlAEcfzfr3jeveXAd.nwPofN.aFe",
    "$2a$05$cX/oGEBfmFs63vBiDzdpYecu4yCqXrNn2yzz0QzMRlf92Kz44BnFi",
    // argon2 -id
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$zyGkcknq0tngfkqn9yjGnrZeJOb3Za8uvhBvofDKuoE",
    "$argon2id$v=19$m=1024,t=1,p=4$c29tZXNhbHQ$/ZTi/h5lj/Jgltg6jdIb8Bs7LrFOCU6p",
    // htpasswd -m, openssl passwd -apr1, htpasswd -s: the weak ones
    "$apr1$9QEgHskj$8tUYKwJPiUkpYFzeBx/2i.",
    "$apr1$ab$oxgQF74Ii96vKJ6O26uvN/",
    "{SHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U=",
};

TEST(VerifyPasswordTest, ReadsWhatOtherToolsWrite) {
  for (const char* mcf : kOfTools) {
    EXPECT_TRUE(ParseHash(mcf).ok()) << mcf << ParseHash(mcf).status();
    EXPECT_TRUE(VerifyPassword(mcf, kHorse)) << mcf;
    EXPECT_FALSE(VerifyPassword(mcf, "correct horse batterz")) << mcf;
    EXPECT_FALSE(VerifyPassword(mcf, "")) << mcf;
  }
}

TEST(VerifyPasswordTest, ComputesWeakHashesOfShortLongAndForeignPasswords) {
  EXPECT_TRUE(VerifyPassword("$apr1$wtxClu4e$KszqhNWRKR7WlQqRyfUgw/", "x"));
  EXPECT_TRUE(VerifyPassword("$apr1$abcdefgh$L.PT565ESX4Tp2bqNs7Ie.", ""));
  const char* foreign = "grüße, welt: ein langes passwort 0123456789";
  EXPECT_TRUE(VerifyPassword("$apr1$e6YfEswI$L20aD7hsWAY94C1h0s0ak/", foreign));
  EXPECT_TRUE(VerifyPassword("{SHA}4niF+PKNcMAezh5tZncLeqnBW/c=", foreign));
}

TEST(IsWeakerTest, RanksKindsFirstAndThenCosts) {
  const HashOptions options{.argon2_passes = 3, .argon2_memory_bytes = 32 << 20, .bcrypt_cost = 12};
  const auto weaker = [&](HashCost have, HashKind kind) { return IsWeaker(have, kind, options); };
  const HashCost sha{HashKind::kSha, 0, 0, 0}, apr1{HashKind::kApr1, 1000, 0, 0};
  const HashCost sha512{HashKind::kSha512Crypt, 1'000'000, 0, 0}, bcrypt{HashKind::kBcrypt, 15, 0, 0};
  const HashCost yescrypt{HashKind::kYescrypt, 12, 16 << 20, 0};
  for (HashKind kind : {HashKind::kArgon2id, HashKind::kBcrypt}) {
    for (const HashCost& have : {sha, apr1, sha512}) EXPECT_TRUE(weaker(have, kind));
    EXPECT_FALSE(weaker(yescrypt, kind)) << "memory-hard as well, or more";
  }
  EXPECT_TRUE(weaker(bcrypt, HashKind::kArgon2id));
  EXPECT_TRUE(weaker({HashKind::kBcrypt, 11, 0, 0}, HashKind::kBcrypt));
  EXPECT_FALSE(weaker({HashKind::kBcrypt, 12, 0, 0}, HashKind::kBcrypt));
  EXPECT_FALSE(weaker({HashKind::kArgon2id, 1, 1 << 20, 1}, HashKind::kBcrypt));
  EXPECT_FALSE(weaker({HashKind::kArgon2id, 3, 32 << 20, 4}, HashKind::kArgon2id)) << "lanes are no work";
  EXPECT_TRUE(weaker({HashKind::kArgon2id, 2, 32 << 20, 1}, HashKind::kArgon2id));
  EXPECT_TRUE(weaker({HashKind::kArgon2id, 9, 16 << 20, 1}, HashKind::kArgon2id)) << "less memory, whatever the passes";
  EXPECT_FALSE(weaker({HashKind::kArgon2id, 2, 64 << 20, 1}, HashKind::kArgon2id)) << "more memory, more work";
}

TEST(CostTextTest, ReadsForPeople) {
  EXPECT_EQ(CostText({HashKind::kArgon2id, 3, 32 << 20, 1}), "m=32 MiB, t=3, p=1");
  EXPECT_EQ(CostText({HashKind::kArgon2id, 2, 256 << 10, 2}), "m=256 KiB, t=2, p=2");
  EXPECT_EQ(CostText({HashKind::kBcrypt, 12, 0, 0}), "cost 12");
  EXPECT_EQ(CostText({HashKind::kSha512Crypt, 5000, 0, 0}), "5000 rounds");
  EXPECT_EQ(CostText({HashKind::kYescrypt, 12, 16 << 20, 0}), "N=2^12, 16 MiB");
  EXPECT_EQ(CostText({HashKind::kSha, 0, 0, 0}), "unsalted");
}

TEST(ParseHashTest, SaysWhatAVerificationCosts) {
  EXPECT_EQ(*ParseHash(Bcrypt("$2b$")), (HashCost{HashKind::kBcrypt, 4, 0, 0}));
  EXPECT_EQ(*ParseHash(kSha512), (HashCost{HashKind::kSha512Crypt, 1000, 0, 0}));
  EXPECT_EQ(*ParseHash(kSha512Default), (HashCost{HashKind::kSha512Crypt, 5000, 0, 0}));
  EXPECT_EQ(*ParseHash(kArgon2TwoLanes), (HashCost{HashKind::kArgon2id, 2, 256 * 1024, 2}));
  // j9T is crypt_gensalt's default: N = 4096, r = 32, 16 MiB.
  EXPECT_EQ(*ParseHash(absl::StrReplaceAll(kYescrypt, {{"j75", "j9T"}})),
            (HashCost{HashKind::kYescrypt, 12, 16 << 20, 0}));
}

TEST(ParseHashTest, BoundsWhatIsImported) {
  EXPECT_THAT(Why(absl::StrReplaceAll(Bcrypt("$2b$"), {{"$04$", "$16$"}})), HasSubstr("cost"));
  EXPECT_THAT(Why(absl::StrReplaceAll(Bcrypt("$2b$"), {{"$04$", "$03$"}})), HasSubstr("cost"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kSha512, {{"1000", "1000001"}})), HasSubstr("rounds"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kSha512, {{"1000", "999"}})), HasSubstr("rounds"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kArgon2, {{"m=256", "m=262145"}})), HasSubstr("memory"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kArgon2, {{"m=256", "m=7"}})), HasSubstr("memory"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kArgon2, {{"m=256", "m=4294967295"}})), HasSubstr("memory"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kArgon2, {{"t=2", "t=17"}})), HasSubstr("passes"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kArgon2, {{"t=2", "t=0"}})), HasSubstr("passes"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kArgon2, {{"m=256,t=2", "m=262144,t=5"}})),
              HasSubstr("memory times passes"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kArgon2, {{"p=1", "p=17"}})), HasSubstr("lanes"));
  EXPECT_THAT(Why(absl::StrReplaceAll(kYescrypt, {{"j75", "jHT"}})), HasSubstr("memory"));
}

TEST(ParseHashTest, RefusesBrokenSyntax) {
  for (const std::string& mcf : {std::string(""),
                                 std::string("$"),
                                 std::string("$2b$"),
                                 std::string("$2x$") + kBcryptTail,
                                 Bcrypt("$2b$") + "x",
                                 Bcrypt("$2b$").substr(0, 59),
                                 std::string("$2b$-4") + (kBcryptTail + 2),
                                 std::string("$6$"),
                                 std::string("$6$salt"),
                                 std::string("$6$rounds=1000$"),
                                 absl::StrReplaceAll(kSha512, {{"1000", "01000"}}),
                                 absl::StrReplaceAll(kSha512, {{"saltsalt", "salt:salt"}}),
                                 absl::StrReplaceAll(kSha512, {{"saltsalt", "saltsaltsaltsalts"}}),
                                 std::string("$y$j75$$"),
                                 absl::StrReplaceAll(kYescrypt, {{"j75", "k75"}}),
                                 absl::StrReplaceAll(kYescrypt, {{"j75", "j75."}}),
                                 absl::StrReplaceAll(kYescrypt, {{"j75", "j7z"}}),
                                 absl::StrReplaceAll(kArgon2, {{"v=19", "v=16"}}),
                                 absl::StrReplaceAll(kArgon2, {{"argon2id", "argon2i"}}),
                                 absl::StrReplaceAll(kArgon2, {{"m=256,t=2,p=1", "t=2,m=256,p=1"}}),
                                 absl::StrReplaceAll(kArgon2, {{"p=1", "p=1,data=x"}}),
                                 absl::StrReplaceAll(kArgon2, {{"c29tZXNhbHQ", "c29tZXNhbHQ="}}),
                                 absl::StrReplaceAll(kArgon2, {{"c29tZXNhbHQ", "c29t"}}),
                                 absl::StrReplaceAll(kArgon2, {{"m=256", "m=+256"}}),
                                 std::string(kArgon2) + "$",
                                 std::string(257, '$'),
                                 std::string("plain"),
                                 std::string("{SHA}abc"),
                                 std::string("$apr1$abc$def")}) {
    EXPECT_FALSE(ParseHash(mcf).ok()) << mcf;
  }
}

TEST(ParseHashTest, NeverQuotesTheHash) {
  EXPECT_THAT(Why(absl::StrReplaceAll(kSha512, {{"1000", "9"}})), Not(HasSubstr("saltsalt")));
}

TEST(HashPasswordTest, MakesHashesThatVerify) {
  const HashOptions quick{.argon2_passes = 1, .argon2_memory_bytes = 64 << 10, .bcrypt_cost = 4};
  for (HashKind kind : {HashKind::kArgon2id, HashKind::kBcrypt}) {
    absl::StatusOr<std::string> one = HashPassword(kind, kPassword, quick);
    absl::StatusOr<std::string> two = HashPassword(kind, kPassword, quick);
    ASSERT_TRUE(one.ok() && two.ok()) << one.status();
    EXPECT_NE(*one, *two) << "salted";
    EXPECT_EQ(ParseHash(*one)->kind, kind);
    EXPECT_TRUE(VerifyPassword(*one, kPassword));
    EXPECT_FALSE(VerifyPassword(*one, "open"));
  }
}

TEST(HashPasswordTest, RefusesPasswordsThatCannotBeUsed) {
  const HashOptions quick{.argon2_passes = 1, .argon2_memory_bytes = 64 << 10, .bcrypt_cost = 4};
  const auto refused = [&](HashKind kind, absl::string_view password) {
    return !HashPassword(kind, password, quick).ok();
  };
  EXPECT_TRUE(refused(HashKind::kBcrypt, std::string(73, 'x')));
  EXPECT_FALSE(refused(HashKind::kBcrypt, std::string(72, 'x')));
  EXPECT_FALSE(refused(HashKind::kArgon2id, std::string(73, 'x')));
  EXPECT_TRUE(refused(HashKind::kArgon2id, std::string(512, 'x')));
  EXPECT_TRUE(refused(HashKind::kArgon2id, ""));
  EXPECT_TRUE(refused(HashKind::kArgon2id, "a\nb"));
  EXPECT_TRUE(refused(HashKind::kArgon2id, "\xff"));
  EXPECT_TRUE(refused(HashKind::kYescrypt, kPassword));
  EXPECT_FALSE(HashPassword(HashKind::kBcrypt, kPassword, {.bcrypt_cost = 31}).ok());
  EXPECT_FALSE(
      HashPassword(HashKind::kArgon2id, kPassword, {.argon2_memory_bytes = 1ull << 40}).ok());
}

}  // namespace
}  // namespace gatehouse::credentials
