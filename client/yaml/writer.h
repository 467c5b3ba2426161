// Writer prints resources in the form that Reader takes: what is exported can be applied again. Controls and signs that turn
// the direction of text are escaped, whoever wrote them: what is printed may be looked at in a terminal. Output-only fields
// (etag) are left out, and so is what the server never returns (private keys, password hashes): applied again, the
// stored ones are kept.
#pragma once

#include <string>

#include "gatehouse/v1/config_set.pb.h"
#include "google/protobuf/message.h"

namespace gatehouse::client {

// ToYaml prints one document, beginning with `kind:` and `name:`.
std::string ToYaml(const v1::Resource& resource);
// ToYaml prints every resource as a document, separated by `---`.
std::string ToYaml(const v1::ConfigSet& set);
// MessageYaml prints any message as one document, by the proto's names.
std::string MessageYaml(const google::protobuf::Message& message);
// ToJson prints one object with "kind" and "name" first, fields by their proto names, in one line or indented.
std::string ToJson(const v1::Resource& resource, bool indent);

}  // namespace gatehouse::client
