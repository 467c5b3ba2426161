#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/ascii.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/executor.h"
#include "gateway/base/hex_pairs.h"
#include "gateway/base/lru.h"
#include "gateway/base/names.h"
#include "gateway/base/octets.h"
#include "gateway/base/openssl.h"
#include "gateway/base/ring.h"
#include "gateway/base/secret.h"

namespace gatehouse {
namespace {

TEST(DigestTest, Sha256OfAbcIsTheOneOfFips180) {
  EXPECT_EQ(HexLower(AsView(Sha256("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(DigestTest, HmacIsTheOneOfRfc4231) {
  EXPECT_EQ(HexLower(AsView(HmacSha256("Jefe", "what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(HexLower(AsView(HmacSha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(EscapeTest, ControlsBidiAndBrokenUtf8CannotReachATerminal) {
  EXPECT_EQ(EscapeText("a\x1b[2Jb"), "a\\x1B[2Jb");
  EXPECT_EQ(EscapeText("\xc2\x9b"), "\\x9B");            // C1 CSI
  EXPECT_EQ(EscapeText("\xe2\x80\xae"), "\\u{202E}");    // right-to-left override
  EXPECT_EQ(EscapeText("\xff\xc3"), "\\xFF\\xC3");
  EXPECT_EQ(EscapeText("M\xc3\xbcller\\"), "M\xc3\xbcller\\\\");
}

TEST(EscapeTest, OverlongAndSurrogateFormsAreNotUtf8) {
  EXPECT_TRUE(IsValidUtf8("\xf0\x9f\x98\x80"));
  EXPECT_FALSE(IsValidUtf8("\xc0\xaf"));
  EXPECT_FALSE(IsValidUtf8("\xed\xa0\x80"));
  EXPECT_FALSE(IsValidUtf8("\xf4\x90\x80\x80"));
}

TEST(EscapeTest, ABeginningNeverEndsInsideOfACodePoint) {
  const std::string text = "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80z";  // of 1, 2, 3, 4 and 1 octets
  const size_t kept[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (size_t n = 0; n < sizeof(kept) / sizeof(kept[0]); ++n) EXPECT_EQ(Beginning(text, n), text.substr(0, kept[n])) << n;
  EXPECT_EQ(Beginning("\x80\x80\x80\x80\x80\x80", 5).size(), 5u) << "what is no UTF-8 is cut anywhere";
}

TEST(LruTest, ForgetsTheLeastRecentlyUsed) {
  LruCache<int, int> lru(2);
  lru.Put(1, 10);
  lru.Put(2, 20);
  ASSERT_NE(lru.Find(1), nullptr);
  lru.Put(3, 30);
  EXPECT_EQ(lru.Find(2), nullptr);
  EXPECT_EQ(*lru.Find(1), 10);
  EXPECT_EQ(lru.EraseIf([](int k, int) { return k == 1; }), 1u);
  EXPECT_EQ(lru.size(), 1u);
}

TEST(LruTest, ForgetsWhatWeighsTooMuchTogether) {
  struct Itself {
    size_t operator()(int value) const { return static_cast<size_t>(value); }
  };
  LruCache<int, int, absl::Hash<int>, Itself> lru(10, 100);
  lru.Put(1, 50);
  lru.Put(2, 40);
  lru.Put(2, 50);  // in the other's place
  EXPECT_EQ(lru.size(), 2u);
  lru.Put(3, 30);
  EXPECT_EQ(lru.Find(1), nullptr);
  EXPECT_TRUE(lru.Erase(2));
  lru.Put(4, 70);
  EXPECT_EQ(lru.size(), 2u);
  lru.Put(5, 1000);
  EXPECT_EQ(lru.size(), 1u) << "the latest stays";
}

TEST(RingTest, SaysNoWhenFullAndKeepsOrderAcrossThreads) {
  SpscRing<int> small(2);
  EXPECT_TRUE(small.Push(1) && small.Push(2));
  EXPECT_FALSE(small.Push(3));

  SpscRing<int> ring(64);
  std::thread producer([&] {
    for (int i = 0; i < 10000;) i += ring.Push(i);
  });
  for (int expected = 0, got; expected < 10000;) {
    if (ring.Pop(&got)) { ASSERT_EQ(got, expected++); }
  }
  producer.join();
}

TEST(ExecutorTest, RefusesWhenItsQueueIsFullAndDropsWhatIsQueuedAtTheEnd) {
  Mutex gate;
  gate.Lock();
  std::atomic<int> ran{0};
  std::atomic<bool> started{false};
  {
    Executor executor(1, 1);
    EXPECT_TRUE(executor.Submit([&] {
      started = true;
      MutexLock lock(&gate);
      ++ran;
    }));
    while (!started) std::this_thread::yield();
    EXPECT_TRUE(executor.Submit([&] { ++ran; }));
    EXPECT_FALSE(executor.Submit([&] { ++ran; }));
    gate.Unlock();
  }
  EXPECT_GE(ran, 1);
  EXPECT_LE(ran, 2);
}

TEST(SecretTest, IsEmptyAfterAMove) {
  Secret a(absl::string_view("hunter2"));
  Secret b(std::move(a));
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.Reveal(), "hunter2");
  EXPECT_TRUE(ConstantTimeEquals("x", "x"));
  EXPECT_FALSE(ConstantTimeEquals("x", "y"));
}

TEST(NamesTest, AResourcesIdBeginsWithALetterAndAGatewaysNameMayBeginWithADigit) {
  for (const char* good : {"a", "Z9", "a.b_c-d", "x123456789012345678901234567890123456789012345678901234567890ab"}) {
    EXPECT_TRUE(IsResourceId(good)) << good;
    EXPECT_TRUE(IsGatewayName(good)) << good;
  }
  EXPECT_TRUE(IsGatewayName("7edge"));
  EXPECT_FALSE(IsResourceId("7edge"));
  for (absl::string_view bad : {"", ".a", "-a", "_a", "a/b", "a b", "a\n", "\xc3\xa4", "x123456789012345678901234567890123456789012345678901234567890abc"}) {
    EXPECT_FALSE(IsResourceId(bad)) << bad;
    EXPECT_FALSE(IsGatewayName(bad)) << bad;
  }
  EXPECT_FALSE(IsGatewayName(absl::string_view("a\0b", 3)));
}

// Every length around a word, every octet, at every place.
TEST(OctetsTest, WordsFindAndChangeWhatALookAtEachOctetWould) {
  std::mt19937 random(3);
  for (size_t n = 0; n < 40; ++n) {
    for (int octet = 0; octet < 256; ++octet) {
      std::string text(n, 'x');
      for (char& c : text) c = "xyZ@[`{ ~\x80\xff"[random() % 11];
      if (n > 0) text[random() % n] = static_cast<char>(octet);
      const auto any = [&](auto test) { return std::any_of(text.begin(), text.end(), [&](char c) { return test(static_cast<unsigned char>(c)); }); };
      EXPECT_EQ(BreaksLine(text), any([](int c) { return c == '\r' || c == '\n' || c == 0; })) << n << " " << octet;
      EXPECT_EQ(HasControl(text), any([](int c) { return c < 0x20 || c == 0x7F; })) << n << " " << octet;
      std::string lower = text;
      ToLowerAscii(lower.data(), lower.size());
      EXPECT_EQ(lower, absl::AsciiStrToLower(text)) << n << " " << octet;
    }
  }
}

TEST(OctetsTest, HexDigitsAreTwoAnOctet) {
  char out[17] = "................";
  PrintHex(0x0123'4567'89AB'CDEF, 8, out);
  EXPECT_STREQ(out, "0123456789abcdef");
  PrintHex(0xFF'0A0B, 2, out);
  EXPECT_STREQ(out, "0a0b456789abcdef");
}

TEST(OpenSslTest, TellsOfTheSystemsErrorsInItsWords) {
  ERR_clear_error();
  ERR_raise(ERR_LIB_SYS, ECONNREFUSED);
  EXPECT_EQ(TakeOpenSslError(), "Connection refused");
  ERR_raise_data(ERR_LIB_BIO, ERR_R_SYS_LIB, "Name or service not known");
  EXPECT_EQ(TakeOpenSslError(), "Name or service not known");
  ERR_raise(ERR_LIB_BIO, ERR_R_SYS_LIB);
  EXPECT_EQ(TakeOpenSslError(), "system lib");
  EXPECT_EQ(TakeOpenSslError(), "no error");
}

}  // namespace
}  // namespace gatehouse
