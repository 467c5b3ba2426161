#include "tests/bench/process_cpu.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace gatehouse::bench {
namespace {

double MicrosPerTick() { return 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK)); }

double Micros(const timeval& t) {
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
}

}  // namespace

double ProcessMicros(const std::vector<int>& pids) {
  double ticks = 0;
  for (int pid : pids) {
    std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
    std::string text;
    std::getline(file, text);
    // The name, field 2, may contain anything; what follows its last parenthesis begins with field 3.
    size_t end = text.rfind(')');
    if (end == std::string::npos) continue;
    std::istringstream fields(text.substr(end + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    double user = 0;
    double system = 0;
    if (fields >> user >> system) ticks += user + system;
  }
  return ticks * MicrosPerTick();
}

double ThreadMicros(int pid, int thread) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/task/", thread, "/schedstat"));
  double nanos = 0;
  file >> nanos;
  return nanos / 1000;
}

double OwnMicros() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Micros(usage.ru_utime) + Micros(usage.ru_stime);
}

double CoreBusyMicros(int core) {
  std::ifstream file("/proc/stat");
  const std::string name = absl::StrCat("cpu", core);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string label;
    fields >> label;
    if (label != name) continue;
    double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0;
    fields >> user >> nice >> system >> idle >> wait >> irq >> soft;
    return (user + nice + system + irq + soft) * MicrosPerTick();
  }
  return 0;
}

}  // namespace gatehouse::bench
