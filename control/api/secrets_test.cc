// Invariant 8: no answer of any method holds a secret, save the one that exports them. The methods come from the descriptors,
// so one that is added is asked, too.
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/api/server_fixture.h"
#include "gmock/gmock.h"
#include "google/protobuf/dynamic_message.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kKey[] = "MARKED-PRIVATE-KEY-5f1e";
constexpr char kServiceKey[] = "MARKED-SERVICE-KEY-77ab";
constexpr char kHash[] = "MARKED-HASH-c0de";

class SecretsTest : public ServerTest {
 protected:
  void Plant() {
    const auto outcome = changes_.Write({}, [](Draft& draft) {
      v1::Resource certificate, users, scheme;
      certificate.mutable_server_certificate()->set_name("planted");
      certificate.mutable_server_certificate()->set_private_key_pem(kKey);
      users.mutable_user_store()->set_name("planted");
      v1::User& user = *users.mutable_user_store()->add_users();
      user.set_name("planted");
      user.add_password_hashes(kHash);
      scheme.mutable_scheme()->set_name("planted");
      scheme.mutable_scheme()->mutable_basic()->mutable_validator()->mutable_tls()->set_private_key_pem(kServiceKey);
      draft.Put(certificate);
      draft.Put(users);
      draft.Put(scheme);
      return absl::OkStatus();
    });
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    if (planted_.empty()) planted_ = outcome->changes;
  }
  // Sets what a field of its name and type is likely to mean, so that the call gets to what is planted.
  static void Fill(int kind, Message* message) {
    const auto& reflection = *message->GetReflection();
    for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor& field = *message->GetDescriptor()->field(i);
      if (field.containing_oneof() != nullptr && !field.has_optional_keyword()) continue;
      if (field.enum_type() == v1::Kind_descriptor()) {
        if (field.is_repeated()) {
          reflection.AddEnumValue(message, &field, kind);
        } else {
          reflection.SetEnumValue(message, &field, kind);
        }
      } else if (field.is_repeated()) {
        continue;
      } else if (field.message_type() != nullptr && field.message_type()->full_name() == "gatehouse.v1.ResourceId") {
        Fill(kind, reflection.MutableMessage(message, &field));
      } else if (field.name() == "name" || field.name() == "user_store" || field.name() == "user") {
        if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) reflection.SetString(message, &field, "planted");
      } else if (field.name() == "revision" || field.name() == "to_revision") {
        if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64) reflection.SetUInt64(message, &field, 1);
      } else if (field.name() == "dry_run" || field.name() == "include_disabled") {
        reflection.SetBool(message, &field, true);
      }
    }
  }
  // Everything that a call answers, its status too; a stream is read for a while.
  std::string Answer(const std::shared_ptr<grpc::Channel>& channel, const Method& method, const std::string& request) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         (method.server_streaming ? std::chrono::milliseconds(400) : std::chrono::seconds(10)));
    grpc::CompletionQueue queue;
    auto call = stub.PrepareCall(&context, std::string(method.name), &queue);
    void* tag = nullptr;
    bool ok = false;
    call->StartCall(nullptr);
    queue.Next(&tag, &ok);
    if (ok) {
      const grpc::Slice slice(request);
      call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
      queue.Next(&tag, &ok);
    }
    std::string all;
    while (ok) {
      grpc::ByteBuffer piece;
      call->Read(&piece, nullptr);
      queue.Next(&tag, &ok);
      if (!ok) break;
      std::vector<grpc::Slice> slices;
      EXPECT_TRUE(piece.Dump(&slices).ok());
      for (const grpc::Slice& slice : slices) all.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    grpc::Status status;
    call->Finish(&status, nullptr);
    queue.Next(&tag, &ok);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return absl::StrCat(all, status.error_message(), status.error_details());
  }

  std::vector<v1::Change> planted_;
};

TEST_F(SecretsTest, NoMethodAnswersWithOne) {
  ASSERT_TRUE(Start(Socket()).ok());
  Plant();
  const auto channel = Plain(server_->addresses()[0]);
  std::set<std::string> told;
  for (const Method& method : Methods()) {
    if (method.name == "/gatehouse.v1.UserService/ExportUsers") continue;  // decision 36
    // Full names have a dot where paths have their last slash.
    std::string full(method.name.substr(1));
    full[full.rfind('/')] = '.';
    const auto* descriptor = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(full);
    if (descriptor == nullptr) continue;  // of a service that this program does not serve
    for (int kind : {v1::SERVER_CERTIFICATE, v1::USER_STORE, v1::SCHEME}) {
      std::unique_ptr<Message> request(
          google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor->input_type())->New());
      Fill(kind, request.get());
      Plant();  // a call before may have taken it away
      const std::string answer = Answer(channel, method, request->SerializeAsString());
      if (absl::StrContains(answer, "planted")) told.insert(std::string(method.name));
      for (const char* secret : {kKey, kServiceKey, kHash}) {
        EXPECT_FALSE(absl::StrContains(answer, secret)) << method.name << " tells " << secret;
      }
      if (method.server_streaming) break;
    }
  }
  // Otherwise this test would have looked in the wrong places.
  for (const char* method : {"/gatehouse.v1.ConfigService/Get", "/gatehouse.v1.ConfigService/List", "/gatehouse.v1.ConfigService/History",
                             "/gatehouse.v1.UserService/GetUser", "/gatehouse.v1.UserService/ListUsers"}) {
    EXPECT_EQ(told.count(method), 1u) << method;
  }
  Plant();
  EXPECT_TRUE(absl::StrContains(Answer(channel, *FindMethod("/gatehouse.v1.UserService/ExportUsers"), "\x0a\x07planted"), kHash))
      << "what is planted can be found";
}

TEST_F(SecretsTest, TheDifferenceMasksThem) {
  ASSERT_TRUE(Start(Socket()).ok());
  Plant();
  std::string lines;
  for (const v1::Change& change : planted_) absl::StrAppend(&lines, change.ShortDebugString(), "\n");
  EXPECT_TRUE(absl::StrContains(lines, "changed (secret)"));
  for (const char* secret : {kKey, kServiceKey, kHash}) EXPECT_FALSE(absl::StrContains(lines, secret));
  v1::Event event = AuditEvent(Caller("uid:1"), Outcome{.changes = planted_}, {});
  for (const char* secret : {kKey, kServiceKey, kHash}) EXPECT_FALSE(absl::StrContains(event.ShortDebugString(), secret));
}

}  // namespace
}  // namespace gatehouse::api
