// EditRollback makes a draft what the configuration was at an earlier revision, save what must not come back by itself:
//
//   users                       stay as they are now, and so do their stores: a rollback restores no user
//   bindings                    stay as they are now: nobody gets back what they may do
//   private keys                stay as they are now: a server certificate, or a scheme that holds a key, comes back only with
//                               the key that is stored now, or without one (files on the gateways)
//   trust stores and schemes    stay as they are now unless `restore_trust` is set: somebody may have been kept out meanwhile
//
// Everything else is as it was: changed back, brought back, or removed. What stays different is told in `kept`, one entry a
// resource.
//
// Threading:  a pure function.
// Errors:     none; whether the result holds together is the validator's to say.
#pragma once

#include <vector>

#include "control/api/changes.h"

namespace gatehouse::api {

void EditRollback(const store::State& then, bool restore_trust, Draft& draft, std::vector<v1::Violation>* kept);

}  // namespace gatehouse::api
