// Progress tells on a terminal what long work is at: one line, written over and over, gone in the end. Nothing is told of what
// takes less than half a second, and nothing in a pipe.
//
// Ownership:  the context outlives this.
// Threading:  Say from any thread; a thread of its own writes. Nobody else may print meanwhile: Stop first.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "client/cli/context.h"
#include "gateway/base/mutex.h"

namespace gatehouse::cli {

class Progress {
 public:
  // `ask` is called now and then, on the thread that writes, and may say more; it may be empty.
  Progress(Context& context, std::function<void(Progress&)> ask);
  ~Progress() { Stop(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Say(std::string text);
  // Stop removes the line. Idempotent.
  void Stop();

 private:
  void Run();

  Context& context_;
  const std::function<void(Progress&)> ask_;
  Mutex mutex_;
  CondVar changed_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // none where nobody looks on
};

// `12 of 40 MiB`
std::string BytesText(size_t done, size_t all);
// Who has not yet acknowledged `revision`: `waiting for edge-2, edge-3 and 4 more`.
std::string WaitingText(const v1::Status& status, uint64_t revision);

}  // namespace gatehouse::cli
