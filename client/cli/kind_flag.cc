#include "client/cli/kind_flag.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/yaml/kinds.h"

namespace gatehouse::cli {

absl::StatusOr<v1::Kind> KindFlag(const std::string& text) {
  if (std::optional<v1::Kind> kind = client::ParseKind(text); kind.has_value()) return *kind;
  std::vector<std::string> words;
  std::string all;
  for (const client::KindName& kind : client::Kinds()) {
    words.push_back(kind.word);
    absl::StrAppend(&all, all.empty() ? "" : ", ", kind.word);
  }
  std::string closest = client::Closest(text, words);
  return absl::InvalidArgumentError(absl::StrCat(
      "no kind named \"", text, "\"; ",
      closest.empty() ? absl::StrCat("there are ", all) : absl::StrCat("did you mean \"", closest, "\"?")));
}

void SplitIds(std::string* kind, std::vector<std::string>* names) {
  const size_t slash = kind->find('/');
  if (slash == std::string::npos) return;
  names->insert(names->begin(), kind->substr(slash + 1));
  kind->resize(slash);
}

absl::StatusOr<client::Labels> LabelFlags(const std::vector<std::string>& flags) {
  client::Labels labels;
  for (const std::string& flag : flags) {
    for (absl::string_view one : absl::StrSplit(flag, ',')) {
      const size_t equals = one.find('=');
      if (equals == absl::string_view::npos || equals == 0) {
        return absl::InvalidArgumentError(absl::StrCat("--label: \"", one, "\" is not KEY=VALUE, as in app=shop"));
      }
      const std::string key(one.substr(0, equals)), value(one.substr(equals + 1));
      if (!labels.emplace(key, value).second) {
        return absl::InvalidArgumentError(absl::StrCat("--label: \"", key, "\" is there twice: nothing has two values of one label"));
      }
    }
  }
  return labels;
}

}  // namespace gatehouse::cli
