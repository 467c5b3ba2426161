// What a resource is, in one line and in many; and how a change of one resource ends.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "client/cli/commands.h"
#include "gatehouse/v1/config_service.pb.h"

namespace gatehouse::cli {

// `/secure/hello GET  any_of Certificate -> identity`
std::string Summary(const v1::Resource& resource);
// Certificates by name, digest and expiry.
std::string CertificateLines(const v1::Resource& resource, absl::Time now);
// Every field as YAML, with PEM text left out.
std::string FieldLines(const v1::Resource& resource);

// FinishChange prints warnings and the line about the revision, and returns the exit code.
int FinishChange(Context& context, uint64_t revision, const google::protobuf::RepeatedPtrField<v1::Violation>& warnings,
                 const v1::ForceStatus& force, const ChangeFlags& flags);
template <typename Response>
int FinishChange(Context& context, const Response& response, const ChangeFlags& flags) {
  return FinishChange(context, response.revision(), response.warnings(), response.force(), flags);
}

}  // namespace gatehouse::cli
