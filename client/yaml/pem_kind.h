// PemKind tells by the labels what a PEM file holds: taking a private key for a certificate would send the key to the
// server. What is inside is the server's to judge.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse::client {

enum class PemKind { kCertificate, kPrivateKey, kCrl };

// WrongPem returns "" when `text` holds what is wanted and nothing that must not be sent, else the end of a sentence
// about the file: "is a private key, not a certificate".
std::string WrongPem(absl::string_view text, PemKind want);

}  // namespace gatehouse::client
