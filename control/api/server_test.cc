// Who gets in: over the Unix socket, over mutual TLS, over loopback; with every service of the contract.
#include "control/api/server_fixture.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(ServerTest, TheCallersUidIsSeenOnTheSocket) {
  ASSERT_TRUE(Start(Socket()).ok());
  auto channel = Plain(server_->addresses()[0]);
  EXPECT_TRUE(Call(channel, kStatus).ok());
  v1::CreateRequest request;
  request.mutable_resource()->mutable_policy()->set_name("p");
  v1::ChangeResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(v1::ConfigService::NewStub(channel)->Create(&context, request, &response).ok());
  EXPECT_EQ(store_.History({.limit = 1})->at(0).actor(), absl::StrCat("uid:", geteuid()));
}

TEST_F(ServerTest, NobodyWithoutAnIdentityGetsThroughToAnyHandler) {
  ControlServerOptions open = Socket();
  open.insecure_loopback = "127.0.0.1:0";
  ASSERT_TRUE(Start(Socket(), open).ok());  // the guard knows of no loopback
  auto channel = Plain(server_->addresses()[1]);
  for (const Method& method : Methods()) {
    EXPECT_EQ(Call(channel, std::string(method.name)).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method.name;
  }
  EXPECT_EQ(*store_.Head(), 0u);
}

TEST_F(ServerTest, LoopbackIsServedWhenAskedFor) {
  ControlServerOptions options;
  options.insecure_loopback = "127.0.0.1:0";
  ASSERT_TRUE(Start(options).ok());
  EXPECT_TRUE(Call(Plain(server_->addresses()[0]), kStatus).ok());
  EXPECT_TRUE(Call(Plain(server_->addresses()[0]), kHealth).ok());
}

TEST_F(ServerTest, OnlyLoopbackAddressesMayBeInsecure) {
  for (const char* good : {"127.0.0.1:0", "127.9.9.9:1", "[::1]:7443", "localhost:1"}) {
    EXPECT_TRUE(CheckLoopback(good).ok()) << good;
  }
  for (const char* bad : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "127.0.0.1", "127.0.0.1.evil.example:1", "", ":1",
                          "localhost.evil.example:1", "unix:/x"}) {
    EXPECT_FALSE(CheckLoopback(bad).ok()) << bad;
  }
}

TEST_F(ServerTest, MutualTlsTakesListedNamesOnly) {
  using certs::SanKind;
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("spiffe://ops/alice"), *ParseAllowedName("ops.example")})).ok());
  EXPECT_TRUE(Call(Mutual(pki_->Leaf({{SanKind::kUri, "spiffe://ops/alice"}})), kStatus).ok());
  EXPECT_TRUE(Call(Mutual(pki_->Leaf({{SanKind::kDns, "x.example"}, {SanKind::kDns, "OPS.example"}})), kStatus).ok());

  const std::vector<std::vector<certs::San>> strangers = {
      {}, {{SanKind::kUri, "spiffe://ops/alice2"}}, {{SanKind::kUri, "spiffe://ops/Alice"}},
      {{SanKind::kDns, "a.ops.example"}}, {{SanKind::kDns, "*.example"}}, {{SanKind::kUri, "https://ops.example"}}};
  for (const auto& sans : strangers) {
    const auto channel = Mutual(pki_->Leaf(sans));
    for (const char* method : {kStatus, kHealth, "/gatehouse.v1.ConfigService/Create"}) {
      EXPECT_EQ(Call(channel, method).error_code(), grpc::StatusCode::PERMISSION_DENIED)
          << method << " " << (sans.empty() ? "" : sans[0].text);
    }
  }
}

TEST_F(ServerTest, MutualTlsNeedsACertificateOfTheRightCa) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("spiffe://ops/alice")})).ok());
  const std::vector<certs::San> alice = {{certs::SanKind::kUri, "spiffe://ops/alice"}};
  EXPECT_TRUE(Call(Mutual(pki_->Leaf(alice)), kStatus).ok());
  EXPECT_EQ(Call(Mutual(""), kStatus).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(Mutual(pki_->Leaf(alice, false)), kStatus).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(Plain(server_->addresses()[0]), kStatus).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, RenewedTlsFilesServeNewConnectionsAndOpenOnesAreJudgedByThem) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("spiffe://ops/alice")})).ok());
  const std::vector<certs::San> alice = {{certs::SanKind::kUri, "spiffe://ops/alice"}};
  const auto open = Mutual(pki_->Leaf(alice));
  ASSERT_TRUE(Call(open, kStatus).ok());
  EXPECT_EQ(*server_->ReloadTls(), "") << "nothing changed";

  // The clients of another authority, and nobody of the old one any more.
  Put("ca.pem", pki_->other->ToPem());
  EXPECT_THAT(*server_->ReloadTls(), HasSubstr("CN=leaf, SHA-256 "));
  EXPECT_TRUE(Call(Mutual(pki_->Leaf(alice, false)), kStatus).ok());
  EXPECT_EQ(Call(Mutual(pki_->Leaf(alice)), kStatus).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(open, kStatus).error_code(), grpc::StatusCode::PERMISSION_DENIED) << "an open connection is judged again";

  // A server certificate that the clients' roots do not vouch for: it is the new one that they see.
  Put("cert.pem", pki_->Leaf({{certs::SanKind::kIp, "127.0.0.1"}}, false));
  EXPECT_THAT(*server_->ReloadTls(), HasSubstr("1 authority of clients"));
  EXPECT_EQ(Call(Mutual(pki_->Leaf(alice, false)), kStatus).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, TlsFilesThatAreNotGoodChangeNothingAndAreNamed) {
  const ControlServerOptions options = Tls({*ParseAllowedName("spiffe://ops/alice")});
  ASSERT_TRUE(Start(options).ok());
  const std::string good_key = pki_->key_pem, good_ca = pki_->ca->ToPem();
  const std::string other_key(certs::KeyToPem(pki_->other_key.get())->Reveal());
  const std::tuple<std::string, std::string, std::string> bad[] = {
      {"key.pem", other_key, "private key does not match"}, {"key.pem", "nonsense", "--tls-key"}, {"key.pem", "", "--tls-key: cannot read"},
      {"cert.pem", good_key, "--tls-cert"},                 {"ca.pem", good_key, "--client-ca"},  {"ca.pem", "-----BEGIN", "--client-ca"}};
  const std::string good_cert = pki_->Leaf({{certs::SanKind::kIp, "127.0.0.1"}});
  for (const auto& [name, content, message] : bad) {
    SCOPED_TRACE(message);
    Put(name, content);
    const absl::StatusOr<std::string> reloaded = server_->ReloadTls();
    ASSERT_FALSE(reloaded.ok());
    EXPECT_THAT(std::string(reloaded.status().message()), HasSubstr(message));
    EXPECT_THAT(std::string(reloaded.status().message()), Not(HasSubstr("BEGIN")));
    EXPECT_TRUE(Call(Mutual(pki_->Leaf({{certs::SanKind::kUri, "spiffe://ops/alice"}})), kStatus).ok());
    Put("key.pem", good_key);
    Put("cert.pem", good_cert);
    Put("ca.pem", good_ca);
  }
  std::filesystem::remove(options.tls.key);
  EXPECT_EQ(server_->ReloadTls().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Start(options).message()), HasSubstr("--tls-key: cannot read"));
}

TEST_F(ServerTest, ANameHasItsRolesOnly) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("gw.example", RoleBit(v1::GATEWAY))})).ok());
  const auto channel = Mutual(pki_->Leaf({{certs::SanKind::kDns, "gw.example"}}));
  const grpc::Status status = Call(channel, "/gatehouse.v1.ConfigService/List");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("san:gw.example may not call"));
  EXPECT_THAT(status.error_message(), HasSubstr("the role VIEWER is needed, GATEWAY given"));
  // The gateway's own method gets to its handler, which does not like an empty message.
  EXPECT_EQ(Call(channel, "/gatehouse.v1.SnapshotService/Subscribe").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServerTest, NobodyGetsHashesButWhoOwnsTheSocket) {
  constexpr char kExport[] = "/gatehouse.v1.UserService/ExportUsers";
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("ops.example")})).ok());
  const grpc::Status refused = Call(Mutual(pki_->Leaf({{certs::SanKind::kDns, "ops.example"}})), kExport);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(refused.error_message(), HasSubstr("the role OWNER is needed"));
  server_->Shutdown(absl::Seconds(1));
  ControlServerOptions loopback;
  loopback.insecure_loopback = "127.0.0.1:0";
  ASSERT_TRUE(Start(loopback).ok());
  EXPECT_EQ(Call(Plain(server_->addresses()[0]), kExport).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  server_->Shutdown(absl::Seconds(1));
  ASSERT_TRUE(Start(Socket()).ok());
  EXPECT_EQ(Call(Plain(server_->addresses()[0]), kExport).error_code(), grpc::StatusCode::NOT_FOUND) << "no such store";
}

TEST_F(ServerTest, TcpWithoutFilesIsRefused) {
  ControlServerOptions options = Tls({*ParseAllowedName("a.example")});
  options.tls.client_ca = folder_ / "missing.pem";
  EXPECT_THAT(std::string(Start(options).message()), HasSubstr("--client-ca: cannot read"));
  options.tls.client_ca.clear();
  EXPECT_THAT(std::string(Start(options).message()), HasSubstr("--client-ca"));
  EXPECT_FALSE(Start(ControlServerOptions()).ok());
  for (const char* bad : {"", "*.example", "a b", "a\n"}) EXPECT_FALSE(ParseAllowedName(bad).ok()) << bad;
}

TEST_F(ServerTest, APortInUseIsSaid) {
  ControlServerOptions options;
  options.insecure_loopback = "127.0.0.1:0";
  ASSERT_TRUE(Start(options).ok());
  auto first = std::move(server_);
  options.insecure_loopback = first->addresses()[0];
  EXPECT_THAT(std::string(Start(options).message()), HasSubstr("cannot bind"));
  first->Shutdown(absl::ZeroDuration());
}

class SocketTest : public ServerTest {
 protected:
  std::string Refusal(const std::string& path) {
    auto listener = UnixListener::Open(path, std::make_shared<PeerCredentials>(), [](uid_t) { return true; });
    return listener.ok() ? "opened" : std::string(listener.status().message());
  }
};

TEST_F(SocketTest, IsClosedToOthers) {
  ASSERT_TRUE(Start(Socket()).ok());
  struct stat info {};
  ASSERT_EQ(stat((folder_ / "run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  ASSERT_EQ(stat((folder_ / "run/control.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_EQ(chmod((folder_ / "run").c_str(), 0755), 0);
  EXPECT_THAT(Refusal(folder_ / "run/other.sock"), HasSubstr("must be yours alone"));
}

TEST_F(SocketTest, OfAnotherProcessIsLeftAlone) {
  ASSERT_TRUE(Start(Socket()).ok());
  EXPECT_THAT(Refusal(folder_ / "run/control.sock"), HasSubstr("another process serves"));
  EXPECT_TRUE(Call(Plain(server_->addresses()[0]), kStatus).ok());
}

TEST_F(SocketTest, OfADeadProcessIsReplaced) {
  ASSERT_EQ(mkdir((folder_ / "run").c_str(), 0700), 0);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = folder_ / "run/control.sock";
  memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(fd);
  ASSERT_TRUE(Start(Socket()).ok());
  EXPECT_TRUE(Call(Plain(server_->addresses()[0]), kStatus).ok());
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_NE(access(path.c_str(), F_OK), 0);  // and removed in the end
}

TEST_F(SocketTest, NeverReplacesAFile) {
  ASSERT_EQ(mkdir((folder_ / "run").c_str(), 0700), 0);
  Put("run/control.sock", "precious");
  EXPECT_THAT(Refusal(folder_ / "run/control.sock"), HasSubstr("is not a socket"));
  EXPECT_THAT(Refusal(folder_ / std::string(200, 'x')), HasSubstr("a path of 1 to 107 octets"));
  EXPECT_THAT(Refusal(""), HasSubstr("a path of 1 to 107 octets"));
}

TEST_F(SocketTest, HangsUpOnAnotherUser) {
  const Callers callers({}, std::make_shared<PeerCredentials>());
  EXPECT_TRUE(callers.MayConnect(geteuid()));
  EXPECT_TRUE(callers.MayConnect(0));
  EXPECT_FALSE(callers.MayConnect(geteuid() + 1));
  if (geteuid() != 0) return;  // only root can try as somebody else
  ASSERT_TRUE(Start(Socket()).ok());
  const std::string path = folder_ / "run/control.sock";
  // Even if somebody opens directory and socket to all.
  for (const std::string& opened : {folder_.path(), folder_ / "run", path}) ASSERT_EQ(chmod(opened.c_str(), 0777), 0);
  const pid_t child = fork();
  if (child == 0) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.data(), path.size());
    char octet = 0;
    if (setuid(65534) != 0) _exit(1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) _exit(2);
    // A server that took us would send its HTTP/2 preface.
    const ssize_t n = read(fd, &octet, 1);
    _exit(n == 0 || (n < 0 && errno == ECONNRESET) ? 0 : 3);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace gatehouse::api
