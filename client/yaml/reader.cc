#include "client/yaml/reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/yaml/document_reader.h"
#include "client/yaml/tree.h"
#include "gateway/base/escape.h"

namespace gatehouse::client {

std::string Place::ToString() const {
  if (line <= 0) return EscapeText(source);
  return absl::StrCat(EscapeText(source), ":", line);
}

std::string Problem::ToString() const {
  return absl::StrCat(place.ToString(), ": ", path, path.empty() ? "" : ": ", message);
}

absl::StatusOr<std::string> LoadFile(const std::string& path, size_t max_bytes) {
  auto failed = [&path](int error) {
    std::string text = absl::StrCat(EscapeText(path), ": ", std::strerror(error));
    return error == ENOENT ? absl::NotFoundError(text) : absl::InvalidArgumentError(text);
  };
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return failed(errno);
  std::string content;
  char buffer[65536];
  while (true) {
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      int error = errno;
      close(fd);
      return failed(error);
    }
    if (n == 0) break;
    content.append(buffer, static_cast<size_t>(n));
    if (content.size() > max_bytes) {
      close(fd);
      return absl::ResourceExhaustedError(absl::StrCat(EscapeText(path), " has more than ", max_bytes, " bytes"));
    }
  }
  close(fd);
  return content;
}

Reader::Reader(FileLoader loader, ReadLimits limits) : loader_(std::move(loader)), limits_(limits) {}

void Reader::Read(absl::string_view text, const std::string& source, const std::string& folder) {
  if (text.size() > limits_.max_text_bytes) {
    problems_.push_back({{source, 0, 0}, "", absl::StrCat("has more than ", limits_.max_text_bytes, " bytes")});
    return;
  }
  Tree tree = ParseTree(text, limits_.max_nodes, limits_.max_depth);
  if (!tree.errors.empty()) {
    for (TreeError& error : tree.errors) {
      problems_.push_back({{source, error.line, error.column}, "", std::move(error.message)});
    }
    return;
  }
  DocumentReader documents(*this, source, folder);
  for (const TreeRef& document : tree.documents) documents.ReadDocument(*document);
}

const Place* Reader::PlaceOf(absl::string_view violation_path) const {
  size_t end = violation_path.find("\"]");
  if (end == absl::string_view::npos) return nullptr;
  auto found = places_.find(std::string(violation_path.substr(0, end + 2)));
  return found == places_.end() ? nullptr : &found->second;
}

}  // namespace gatehouse::client
