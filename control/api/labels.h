// Labels of resources, by which they are selected.
//
// Threading:  pure functions.
#pragma once

#include <string>

#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::api {

using Labels = google::protobuf::Map<std::string, std::string>;

// The labels of whatever kind it is; none when it is of no kind.
const Labels& LabelsOf(const v1::Resource& resource);
// Bears tells whether the resource has every one of `wanted`, with its value; none wanted: true.
bool Bears(const v1::Resource& resource, const Labels& wanted);
// `app=shop, tier=web`, in order, escaped.
std::string LabelsText(const Labels& labels);

}  // namespace gatehouse::api
