#include "gateway/credentials/password_rules.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/credentials/password_hash.h"
#include "gateway/credentials/stable_text.h"

namespace gatehouse::credentials {
namespace {

// What stands at the head of the lists that attackers try, in lower case and without the digits and signs that people put
// around it. Sorted.
constexpr absl::string_view kCommon[] = {
    "abcd",       "access",      "admin",      "administrator", "alexander", "amanda",    "andrea",     "andrew",
    "angel",      "anthony",     "arsenal",    "asdf",          "asdfgh",    "asdfghjk",  "ashley",     "austin",
    "azerty",     "babygirl",    "bailey",     "banana",        "barcelona", "baseball",  "basketball", "batman",
    "benjamin",   "biteme",      "blink",      "boomer",        "brandon",   "butterfly", "buster",     "changeit",
    "changeme",   "charlie",     "cheese",     "chelsea",       "chicken",   "chocolate", "christian",  "computer",
    "cookie",     "corvette",    "cowboys",    "dallas",        "daniel",    "default",   "diamond",    "doctor",
    "dragon",     "dubsmash",    "eagles",     "einstein",      "elephant",  "facebook",  "fernando",   "ferrari",
    "flower",     "football",    "forever",    "freedom",       "friends",   "fuckyou",   "geheim",     "george",
    "ginger",     "google",      "guest",      "hallo",         "hammer",    "hannah",    "harley",     "hello",
    "helloworld", "hockey",      "hunter",     "iloveu",        "iloveyou",  "internet",  "jackson",    "jasmine",
    "jennifer",   "jessica",     "jordan",     "joseph",        "joshua",    "killer",    "lakers",     "letmein",
    "liverpool",  "login",       "london",     "lovely",        "loveme",    "maggie",    "martin",     "master",
    "matrix",     "matthew",     "maverick",   "mercedes",      "michael",   "michelle",  "mickey",     "midnight",
    "monkey",     "monster",     "mustang",    "mypassword",    "myspace",   "naruto",    "natasha",    "nicole",
    "nothing",    "oliver",      "orange",     "pass",      "passw",     "passwd",     "password",
    "passwort",   "patrick",     "peanut",     "pepper",        "phoenix",   "pokemon",   "princess",   "purple",
    "qazwsx",     "qwer",        "qwert",      "qwerty",        "qwertyui",  "qwertz",    "rainbow",    "ranger",
    "rebecca",    "robert",      "rockyou",    "root",          "samantha",  "samsung",   "scooter",    "secret",
    "security",   "service",     "shadow",     "silver",        "slipknot",  "snoopy",    "soccer",     "sommer",
    "sparky",     "spiderman",   "spring",     "starwars",      "steelers",  "summer",    "sunshine",   "superman",
    "superuser",  "support",     "sweet",      "system",        "taylor",    "temp",      "temporary",  "test",
    "tester",     "testing",     "thomas",     "tigger",        "tomcat",    "tinkerbell", "trustnoone", "trustno",
    "user",       "username",    "victoria",   "volleyball",    "welcome",   "whatever",  "william",    "winner",
    "winter",     "xxxxxxxx",    "yankees",    "yamaha",        "zxcvbn",    "zxcvbnm"};

// Rows of keyboards and the orders that everybody knows, forward; each is tried backward too.
constexpr absl::string_view kRuns[] = {"01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop[]", "asdfghjkl;'",
                                       "zxcvbnm,./",           "qwertzuiop",                 "azertyuiop",   "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
                                       "1q2w3e4r5t6y7u8i9o0p", "!@#$%^&*()"};

// In lower case, without digits and signs at both ends; all of it when nothing else is left.
std::string StemOf(absl::string_view text) {
  std::string lower = absl::AsciiStrToLower(text);
  const auto counts = [](char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || static_cast<uint8_t>(c) >= 0x80; };
  const auto first = std::find_if(lower.begin(), lower.end(), counts);
  if (first == lower.end()) return lower;
  const auto last = std::find_if(lower.rbegin(), lower.rend(), counts).base();
  return std::string(first, last);
}

// Signs and digits that stand for letters: p4$$w0rd.
std::string Unmasked(std::string text) {
  for (char& c : text) {
    switch (c) {
      case '0': c = 'o'; break;
      case '1': case '!': case '|': c = 'i'; break;
      case '3': c = 'e'; break;
      case '4': case '@': c = 'a'; break;
      case '5': case '$': c = 's'; break;
      case '7': c = 't'; break;
      default: break;
    }
  }
  return text;
}

bool IsCommon(const std::string& stem) {
  return std::find(std::begin(kCommon), std::end(kCommon), stem) != std::end(kCommon);
}

bool IsRun(absl::string_view lower) {
  const std::string backward(lower.rbegin(), lower.rend());
  return std::any_of(std::begin(kRuns), std::end(kRuns), [&](absl::string_view run) {
    return absl::StrContains(run, lower) || absl::StrContains(run, backward);
  });
}

// "aaaaaaaa", "abcabcabc", "20252025".
bool IsRepetition(absl::string_view text) {
  for (size_t piece = 1; piece <= 4 && piece * 2 <= text.size(); ++piece) {
    if (text.substr(piece) == text.substr(0, text.size() - piece)) return true;
  }
  return false;
}

// The next code point of valid UTF-8.
char32_t TakeCharacter(absl::string_view* text) {
  const auto octet = [&](size_t i) { return static_cast<uint8_t>((*text)[i]); };
  const uint8_t lead = octet(0);
  const size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t c = size == 1 ? lead : lead & (0x7F >> size);
  for (size_t i = 1; i < size; ++i) c = c << 6 | (octet(i) & 0x3F);
  text->remove_prefix(size);
  return c;
}

const char* CauseOf(CharacterProblem problem) {
  switch (problem) {
    case CharacterProblem::kSpelling:
      return "has a character that can be written in more than one way in Unicode; use it composed (NFC), or another";
    case CharacterProblem::kSpace: return "has a space that is not the plain one (U+0020)";
    case CharacterProblem::kInvisible: return "has an invisible character";
    case CharacterProblem::kPrivate: return "has a character of Unicode's private use, or none at all";
    case CharacterProblem::kNone: break;
  }
  return "";
}

}  // namespace

std::vector<std::string> PasswordProblems(absl::string_view password, absl::string_view user,
                                          absl::string_view store, const PasswordRules& rules) {
  if (password.empty()) return {"must not be empty"};
  if (password.size() > kMaxPasswordBytes) return {absl::StrCat("must be at most ", kMaxPasswordBytes, " bytes")};
  if (!IsValidUtf8(password)) return {"must be UTF-8"};
  std::vector<std::string> problems;
  size_t length = 0;
  CharacterProblem unstable = CharacterProblem::kNone;
  bool control = false;
  for (absl::string_view rest = password; !rest.empty(); ++length) {
    const char32_t c = TakeCharacter(&rest);
    control = control || c < 0x20 || (c >= 0x7F && c < 0xA0);
    if (unstable == CharacterProblem::kNone) unstable = ProblemOf(c);
  }
  if (control) problems.push_back("must not contain control characters");
  if (unstable != CharacterProblem::kNone) problems.push_back(CauseOf(unstable));
  if (length < rules.min_length) {
    problems.push_back(absl::StrCat("must have at least ", rules.min_length, " characters"));
  }
  const std::string lower = absl::AsciiStrToLower(password);
  const std::string stem = StemOf(password), plain = Unmasked(stem);
  const auto is = [&](absl::string_view word) {
    const std::string other = StemOf(word);
    return stem == other || plain == other || lower == absl::AsciiStrToLower(word);
  };
  if (is(user)) problems.push_back("must not be the user's name");
  if (is(store)) problems.push_back("must not be the user store's name");
  // A short word among many digits is no longer what they are about.
  const bool word = stem.size() * 3 >= lower.size() && (IsCommon(stem) || IsCommon(plain) || IsRun(stem));
  if (word || IsRun(lower) || IsRepetition(lower)) {
    problems.push_back("is one of those that attackers try first");
  } else if (std::any_of(rules.denied.begin(), rules.denied.end(), is)) {
    problems.push_back("is on the user store's list of what is refused");
  }
  return problems;
}

}  // namespace gatehouse::credentials
