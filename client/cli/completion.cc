#include "client/cli/completion.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <ostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/context_file.h"
#include "client/cli/kind_flag.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"
#include "gateway/base/names.h"

namespace gatehouse::cli {
namespace {

constexpr size_t kMaxNames = 2000;
constexpr absl::Duration kPatience = absl::Seconds(1);

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

const CLI::Option* FindFlag(const CLI::App& app, const CLI::App& at, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  const CLI::Option* option = at.get_option_no_throw(name);
  return option != nullptr ? option : app.get_option_no_throw(name);
}

const CLI::App* FindCommand(const CLI::App& at, const std::string& word) {
  for (const CLI::App* command : at.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->check_name(word)) return command;
  }
  return nullptr;
}

// What was typed before the word that is to be completed.
struct Line {
  const CLI::App* at = nullptr;
  std::vector<std::string> commands;
  std::vector<std::string> positionals;
  const CLI::Option* open = nullptr;  // the flag whose value is typed
};

Line Read(const CLI::App& app, const std::vector<std::string>& words, Context* context) {
  Line line;
  line.at = &app;
  std::string flag;
  const std::map<std::string, std::string*> connection = {
      {"--server", &context->connection.server},           {"-s", &context->connection.server},
      {"--context", &context->connection.context},         {"--ca", &context->connection.tls.ca},
      {"--cert", &context->connection.tls.certificate},    {"--key", &context->connection.tls.key},
      {"--tls-server-name", &context->connection.tls.server_name}};
  const auto take = [&](const std::string& name, const std::string& value) {
    // A command's own flag of that name means something else.
    if (line.at->get_option_no_throw(name) != nullptr && line.at != &app) return;
    if (auto it = connection.find(name); it != connection.end()) *it->second = value;
  };
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (line.open != nullptr) {
      take(flag, word);
      line.open = nullptr;
    } else if (absl::StartsWith(word, "-") && word.size() > 1) {
      const CLI::Option* option = FindFlag(app, *line.at, word);
      const size_t equals = word.find('=');
      if (equals != std::string::npos) {
        take(word.substr(0, equals), word.substr(equals + 1));
      } else if (option != nullptr && TakesValue(*option)) {
        line.open = option;
        flag = word;
      } else if (word == "--insecure-loopback") {
        context->connection.insecure_loopback = true;
      }
    } else if (const CLI::App* command = FindCommand(*line.at, word); command != nullptr) {
      line.at = command;
      line.commands.push_back(command->get_name());
    } else {
      line.positionals.push_back(word);
    }
  }
  return line;
}

class Offers {
 public:
  Offers(Context& context, std::string typed) : context_(context), typed_(std::move(typed)) {}

  void Add(const std::string& word, const std::string& meaning = "") {
    if (!absl::StartsWith(word, typed_)) return;
    context_.out() << word << "\t" << EscapeText(meaning.substr(0, meaning.find('\n'))) << "\n";
  }
  void AddFiles() { context_.out() << ":files\n"; }
  void AddKinds() {
    for (const client::KindName& kind : client::Kinds()) Add(kind.word);
  }
  // Names that the control plane knows; a server that is not ours may call its resources anything.
  void AddNames(v1::Kind kind) {
    auto client = context_.Connect();
    if (!client.ok()) return;
    client::Pages<v1::Resource> pages = (*client)->List(kind);
    for (size_t i = 0; i < kMaxNames; ++i) {
      auto resource = pages.Next();
      if (!resource.ok() || !resource->has_value()) return;
      const std::string name = client::NameOf(**resource);
      if (IsResourceId(name)) Add(name);
    }
  }
  void AddContexts() {
    auto file = ContextFile::Load(ContextFile::DefaultPath());
    if (!file.ok()) return;
    for (const auto& [name, one] : file->contexts) Add(name, one.server);
  }
  // `TEXT:{a,b}` lists what is taken, and so does help such as `table, yaml or json; …`.
  bool AddValues(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    const size_t open = type.find('{'), close = type.find('}');
    std::string list;
    if (open != std::string::npos && close != std::string::npos && open < close) {
      list = type.substr(open + 1, close - open - 1);
    } else if (option.check_lname("output")) {
      const std::string help = option.get_description();
      list = absl::StrReplaceAll(help.substr(0, help.find(';')), {{" or ", ","}});
    } else {
      return false;
    }
    for (absl::string_view value : absl::StrSplit(list, ',')) Add(std::string(absl::StripAsciiWhitespace(value)));
    return true;
  }

 private:
  Context& context_;
  const std::string typed_;
};

std::optional<v1::Kind> KindOfFlag(const CLI::Option& option) {
  static const std::map<std::string, v1::Kind> kFlags = {{"route", v1::ROUTE},
                                                         {"scheme", v1::SCHEME},
                                                         {"certificate-scheme", v1::SCHEME},
                                                         {"listener", v1::LISTENER},
                                                         {"store", v1::USER_STORE}};
  for (const std::string& name : option.get_lnames()) {
    if (auto it = kFlags.find(name); it != kFlags.end()) return it->second;
  }
  return std::nullopt;
}

// The kind whose names a command's `name` or `store` takes.
std::optional<v1::Kind> KindOfName(const Line& line, const std::string& positional) {
  if (positional == "store") return v1::USER_STORE;
  if (positional != "name") return std::nullopt;
  for (const CLI::Option* option : line.at->get_options()) {
    if (option->get_positional() && option->get_single_name() == "kind") {
      return line.positionals.empty() ? std::nullopt : client::ParseKind(line.positionals[0]);
    }
  }
  return line.commands.empty() ? std::nullopt : client::ParseKind(line.commands[0]);
}

void OfferPositional(const Line& line, Offers& offers) {
  std::vector<const CLI::Option*> places;
  for (const CLI::Option* option : line.at->get_options()) {
    if (option->get_positional()) places.push_back(option);
  }
  if (places.empty()) return;
  const size_t index = std::min(line.positionals.size(), places.size() - 1);
  const CLI::Option& option = *places[index];
  if (line.positionals.size() >= places.size() && option.get_items_expected_max() <= 1) return;
  const std::string name = option.get_name(true);
  if (offers.AddValues(option)) return;
  if (name == "kind" || name == "kind.field") {
    offers.AddKinds();
    if (!line.commands.empty() && line.commands[0] == "get") offers.Add("all");
  } else if (!line.commands.empty() && line.commands[0] == "context") {
    offers.AddContexts();
  } else if (std::optional<v1::Kind> kind = KindOfName(line, name); kind.has_value()) {
    offers.AddNames(*kind);
  } else if (name == "file" || name == "old" || name == "new") {
    offers.AddFiles();
  }
}

}  // namespace

int Complete(const CLI::App& app, Context& context, const std::vector<std::string>& words) {
  context.connection.timeout = kPatience;
  const std::string typed = words.empty() ? "" : words.back();
  const Line line = Read(app, words, &context);
  Offers offers(context, typed);
  if (line.open != nullptr) {
    if (offers.AddValues(*line.open)) return kOk;
    if (line.open->check_lname("context")) {
      offers.AddContexts();
    } else if (std::optional<v1::Kind> kind = KindOfFlag(*line.open); kind.has_value()) {
      offers.AddNames(*kind);
    } else {
      offers.AddFiles();
    }
    return kOk;
  }
  if (absl::StartsWith(typed, "-")) {
    for (const CLI::App* at : {line.at, &app}) {
      for (const CLI::Option* option : at->get_options()) {
        for (const std::string& name : option->get_lnames()) offers.Add("--" + name, option->get_description());
      }
      if (at == &app) break;
    }
    return kOk;
  }
  for (const CLI::App* command : line.at->get_subcommands([](const CLI::App*) { return true; })) {
    offers.Add(command->get_name(), command->get_description());
  }
  OfferPositional(line, offers);
  return kOk;
}

}  // namespace gatehouse::cli
