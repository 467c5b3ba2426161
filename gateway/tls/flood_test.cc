// What a peer makes OpenSSL do after the handshake without carrying data, within one Read.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <cstring>

#include "gateway/tls/client_session.h"
#include "gateway/tls/tls_fixture.h"
#include "gmock/gmock.h"

namespace gatehouse::tls {
namespace {

using ::testing::HasSubstr;

constexpr int kMany = 2'000;
constexpr size_t kMostOwed = 8 * 1024;

class FloodTest : public TlsFixture {
 protected:
  void UpdateKeys(Pair* p, int times, int kind) {
    for (int i = 0; i < times; ++i) {
      ASSERT_EQ(SSL_key_update(p->client.get(), kind), 1);
      ASSERT_EQ(SSL_do_handshake(p->client.get()), 1);
    }
    while (BIO_pending(SSL_get_wbio(p->client.get())) > 0) Move(p);
  }
  IoStatus ReadOnce(Pair* p) {
    char b[4096];
    size_t n = 0;
    return p->server->Read(absl::MakeSpan(b), &n);
  }
  void ExpectEnded(Pair* p) {
    EXPECT_EQ(ReadOnce(p), IoStatus::kFailed);
    EXPECT_EQ(p->server->error().kind, TlsError::Kind::kFlood);
    EXPECT_THAT(p->server->error().text, HasSubstr("key updates"));
    EXPECT_LT(p->server->pending_output(), kMostOwed);
    EXPECT_EQ(ReadOnce(p), IoStatus::kFailed);
  }
};

TEST_F(FloodTest, KeyUpdatesWithoutEndEndTheConnection) {
  for (int kind : {SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NOT_REQUESTED}) {
    auto p = Connect({.sni = "a.test"});
    ASSERT_TRUE(p->ok);
    UpdateKeys(p.get(), kMany, kind);
    ExpectEnded(p.get());
  }
}

TEST_F(FloodTest, AnOctetNowAndThenExplainsNoKeyUpdates) {
  auto p = Connect({.sni = "a.test"});
  ASSERT_TRUE(p->ok);
  IoStatus status = IoStatus::kOk;
  for (int i = 0; i < 10 && status == IoStatus::kOk; ++i) {
    UpdateKeys(p.get(), 30, SSL_KEY_UPDATE_NOT_REQUESTED);
    ASSERT_EQ(SSL_write(p->client.get(), "x", 1), 1);
    Move(p.get());
    status = ReadOnce(p.get());
  }
  EXPECT_EQ(status, IoStatus::kFailed);
}

TEST_F(FloodTest, WhoCarriesMuchMayUpdateItsKeysOften) {
  auto p = Connect({.sni = "a.test"});
  ASSERT_TRUE(p->ok);
  const std::string data(16 * 1024, 'd');
  for (int i = 0; i < 100; ++i) {
    UpdateKeys(p.get(), 1, SSL_KEY_UPDATE_REQUESTED);
    size_t read = 0;
    for (size_t j = 0; j < PostHandshake::kOctetsEach / data.size(); ++j) {
      ASSERT_EQ(SSL_write(p->client.get(), data.data(), static_cast<int>(data.size())), static_cast<int>(data.size()));
      while (BIO_pending(SSL_get_wbio(p->client.get())) > 0) Move(p.get());
      for (std::string got = ServerReads(p.get()); !got.empty(); got = ServerReads(p.get())) read += got.size();
    }
    ASSERT_EQ(read, PostHandshake::kOctetsEach);
    Back(p.get());
  }
}

// Records of TLS 1.2 as its client would write them after its Finished.
class Tls12Records {
 public:
  explicit Tls12Records(SSL* client) {
    unsigned char master[48], randoms[64];
    SSL_SESSION_get_master_key(SSL_get_session(client), master, sizeof master);
    SSL_get_server_random(client, randoms, 32);
    SSL_get_client_random(client, randoms + 32, 32);
    EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "TLS1-PRF", nullptr);
    EVP_KDF_CTX* ctx = EVP_KDF_CTX_new(kdf);
    char digest[] = "SHA384", label[] = "key expansion";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, sizeof master),
                           OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label, std::strlen(label)),
                           OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, randoms, sizeof randoms),
                           OSSL_PARAM_construct_end()};
    EXPECT_EQ(EVP_KDF_derive(ctx, block_, sizeof block_, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
  }
  std::string Next(uint8_t type, absl::string_view content) {
    unsigned char nonce[12], aad[13] = {}, tag[16];
    std::memcpy(nonce, block_ + 64, 4);
    for (int i = 0; i < 8; ++i) nonce[4 + i] = aad[i] = static_cast<unsigned char>(sequence_ >> (56 - 8 * i));
    ++sequence_;
    aad[8] = type;
    aad[9] = aad[10] = 3;
    aad[12] = static_cast<unsigned char>(content.size());
    std::string sealed(content.size(), '\0');
    EVP_CIPHER_CTX* ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), nullptr, block_, nonce);
    EVP_EncryptUpdate(ctx, nullptr, &n, aad, sizeof aad);
    EVP_EncryptUpdate(ctx, reinterpret_cast<unsigned char*>(sealed.data()), &n,
                      reinterpret_cast<const unsigned char*>(content.data()), static_cast<int>(content.size()));
    EVP_EncryptFinal_ex(ctx, tag, &n);
    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, tag);
    EVP_CIPHER_CTX_free(ctx);
    std::string out{static_cast<char>(type), 3, 3, 0, static_cast<char>(8 + content.size() + 16)};
    out.append(reinterpret_cast<char*>(nonce + 4), 8);
    return out + sealed + std::string(reinterpret_cast<char*>(tag), 16);
  }

 private:
  unsigned char block_[72];  // client and server key, client and server IV
  uint64_t sequence_ = 1;    // Finished was the first
};

TEST_F(FloodTest, AttemptsToRenegotiateWithoutEndEndTheConnection) {
  auto p = Connect({.sni = "a.test", .version = TLS1_2_VERSION});
  ASSERT_TRUE(p->ok);
  ASSERT_STREQ(SSL_get_cipher_name(p->client.get()), "ECDHE-ECDSA-AES256-GCM-SHA384");
  Tls12Records records(p->client.get());
  p->server->Feed(records.Next(23, "data"));
  EXPECT_EQ(ReadOnce(p.get()), IoStatus::kOk) << "the test's records are good";
  std::string flood;
  for (int i = 0; i < kMany; ++i) flood += records.Next(22, absl::string_view("\x01\0\0\0", 4));
  p->server->Feed(flood);
  ExpectEnded(p.get());
}

}  // namespace
}  // namespace gatehouse::tls
