#include "control/validate/validate.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"

namespace gatehouse::validate {
namespace {

// The same as the client library's.
constexpr char kPayload[] = "gatehouse.dev/gatehouse.v1.Violations";

}  // namespace

void FindUnknownFields(const google::protobuf::Message& message, const std::string& path,
                       std::vector<v1::Violation>* violations) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const google::protobuf::UnknownFieldSet& unknown = reflection.GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    v1::Violation& violation = violations->emplace_back();
    violation.set_path(path);
    violation.set_message(absl::StrCat("field number ", unknown.field(i).number(), " of ",
                                       message.GetDescriptor()->name(),
                                       " is not known to this server; is it older than the client?"));
  }
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const std::string below = path.empty() ? field->name() : absl::StrCat(path, ".", field->name());
    if (!field->is_repeated()) {
      FindUnknownFields(reflection.GetMessage(message, field), below, violations);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      FindUnknownFields(reflection.GetRepeatedMessage(message, field, i), absl::StrCat(below, "[", i, "]"),
                        violations);
    }
  }
}

absl::Status Refusal(const std::vector<v1::Violation>& violations) {
  std::string text = "nothing was changed";
  v1::Violations all;
  for (const v1::Violation& violation : violations) {
    absl::StrAppend(&text, "\n", violation.path(), violation.path().empty() ? "" : ": ", violation.message());
    *all.add_violations() = violation;
  }
  absl::Status status = absl::InvalidArgumentError(text);
  status.SetPayload(kPayload, absl::Cord(all.SerializeAsString()));
  return status;
}

std::vector<v1::Violation> ViolationsOf(const absl::Status& status) {
  auto payload = status.GetPayload(kPayload);
  v1::Violations violations;
  if (!payload.has_value() || !violations.ParseFromString(std::string(*payload))) return {};
  return {violations.violations().begin(), violations.violations().end()};
}

std::string PathOf(v1::Kind kind, const std::string& name) {
  const char* list = "resources";
  switch (kind) {
    case v1::LISTENER: list = "listeners"; break;
    case v1::SERVER_CERTIFICATE: list = "serverCertificates"; break;
    case v1::TRUST_STORE: list = "trustStores"; break;
    case v1::SCHEME: list = "schemes"; break;
    case v1::USER_STORE: list = "userStores"; break;
    case v1::POLICY: list = "policies"; break;
    case v1::UPSTREAM: list = "upstreams"; break;
    case v1::ROUTE: list = "routes"; break;
    case v1::BINDING: list = "bindings"; break;
    default: break;
  }
  return absl::StrCat(list, "[\"", name, "\"]");
}

}  // namespace gatehouse::validate
