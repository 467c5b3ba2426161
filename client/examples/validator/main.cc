// An example of a service that decides passwords for Gatehouse, in C++: it knows its users from a file. README.md beside it
// says how to try it; validator.py is the same in Python. What a service of your own must do is in
// proto/gatehouse/v1/credential_validator.proto.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "client/examples/validator/users_file.h"
#include "gatehouse/v1/credential_validator.grpc.pb.h"

namespace {

namespace v1 = gatehouse::v1;

// A name that a client chose must not write lines of its own into our log.
std::string Printable(const std::string& text) {
  std::string out;
  for (unsigned char c : text.substr(0, 80)) out += c >= 0x20 && c < 0x7f ? static_cast<char>(c) : '?';
  return out;
}

class Validator final : public v1::CredentialValidator::Service {
 public:
  Validator(example::UsersFile users, int lifetime_seconds) : users_(std::move(users)), lifetime_(lifetime_seconds) {}

  grpc::Status Validate(grpc::ServerContext*, const v1::ValidateCredentialsRequest* request,
                        v1::ValidateCredentialsResponse* response) override {
    std::vector<std::string> roles;
    switch (users_.Check(request->user(), request->password(), &roles)) {
      case example::UsersFile::Answer::kWrongPassword:
        response->set_verdict(v1::ValidateCredentialsResponse::WRONG_PASSWORD);
        break;
      case example::UsersFile::Answer::kUnknownUser:
        response->set_verdict(v1::ValidateCredentialsResponse::UNKNOWN_USER);
        break;
      case example::UsersFile::Answer::kAllow:
        response->set_verdict(v1::ValidateCredentialsResponse::ALLOW);
        response->set_user(request->user());
        for (const std::string& role : roles) {
          v1::ValidatedClaim& claim = *response->add_claims();
          claim.set_type("role");
          claim.set_value(role);
        }
        // So long the gateway need not ask again; so long a user who is taken out of the file stays in.
        response->mutable_lifetime()->set_seconds(lifetime_);
        break;
    }
    // The request id is also in the gateway's event. The password is in no log.
    std::ostringstream line;
    line << v1::ValidateCredentialsResponse::Verdict_Name(response->verdict()) << " " << Printable(request->user())
         << " route=" << Printable(request->request().route()) << " from=" << Printable(request->request().client_address())
         << " request=" << Printable(request->request().request_id()) << "\n";
    std::cout << line.str() << std::flush;
    return grpc::Status::OK;
  }

 private:
  const example::UsersFile users_;
  const int lifetime_;
};

std::string FileText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// With a certificate: mutual TLS, only for who has a certificate of `ca`. Without: plaintext, for this machine alone.
std::shared_ptr<grpc::ServerCredentials> Credentials(std::map<std::string, std::string>& options) {
  if (options["--certificate"].empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  tls.pem_root_certs = FileText(options["--ca"]);
  tls.pem_key_cert_pairs.push_back({FileText(options["--key"]), FileText(options["--certificate"])});
  return grpc::SslServerCredentials(tls);
}

int Fail(const std::string& text) {
  std::cerr << "example-validator: " << text << "\n";
  return 1;
}

int Serve(std::map<std::string, std::string>& options) {
  std::string problem;
  std::optional<example::UsersFile> users = example::UsersFile::Read(options["--users"], &problem);
  if (!users) return Fail(problem);
  if (options["--certificate"].empty() != options["--ca"].empty()) return Fail("--certificate, --key and --ca go together");

  // Before there are threads, so that all of them leave the signals to sigwait below.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Validator validator(*std::move(users), std::stoi(options["--lifetime"]));
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // nobody shares the port, and the passwords, with us
  builder.AddListeningPort(options["--listen"], Credentials(options), &port);
  builder.RegisterService(&validator);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) return Fail("cannot listen on " + options["--listen"]);
  std::cout << "listening on " << options["--listen"] << " port " << port << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options = {{"--listen", "127.0.0.1:9000"}, {"--lifetime", "60"}};
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  for (const auto& [name, value] : options) {
    static const std::string known = " --listen --users --lifetime --ca --certificate --key --add --roles ";
    if (known.find(" " + name + " ") == std::string::npos) return Fail("unknown option " + name);
  }
  if (argc % 2 == 0) return Fail("an option has no value");
  if (!options["--add"].empty()) {  // prints a line for the users' file; the password comes from standard input
    std::string password;
    std::getline(std::cin, password);
    std::cout << example::UsersFile::Line(options["--add"], password, options["--roles"]) << "\n";
    return 0;
  }
  if (options["--users"].empty()) return Fail("--users FILE is required");
  return Serve(options);
}
