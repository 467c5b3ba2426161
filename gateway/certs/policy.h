// Certificate policies of a path (RFC 5280 section 6.1, as RFC 9618 has it: a graph and not a tree, so that hostile
// policies and mappings cost no more than they are long).
//
// Threading:  pure.
// Units:      every comparison of two policies counts in `work`.
#pragma once

#include <string>

#include "gateway/certs/options.h"
#include "gateway/certs/path.h"
#include "gateway/certs/work.h"

namespace gatehouse::certs {

// Why the path is valid for none of the policies that it must be valid for; ok when it is. The anchor's own policies
// do not count (RFC 5280 section 6.1.1 d).
Finding CheckPolicies(const Path& path, const PolicyOptions& options, Work* work);

}  // namespace gatehouse::certs
