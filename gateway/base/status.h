// Status macros, which abseil 20220623 does not have.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define GH_CONCAT_INNER(a, b) a##b
#define GH_CONCAT(a, b) GH_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expr` is not OK.
#define GH_RETURN_IF_ERROR(expr)                  \
  do {                                            \
    absl::Status gh_status = (expr);              \
    if (!gh_status.ok()) return gh_status;        \
  } while (false)

// GH_ASSIGN_OR_RETURN(auto x, F()): declares or assigns the value, or returns the status.
#define GH_ASSIGN_OR_RETURN(lhs, expr) GH_ASSIGN_INNER(GH_CONCAT(gh_or_, __LINE__), lhs, expr)
#define GH_ASSIGN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                    \
  if (!tmp.ok()) return tmp.status();   \
  lhs = *std::move(tmp)
