// What a process has used of the processor, from /proc.
//
// Units:   microseconds since the process began.
// Errors:  a process that is gone counts nothing.
#pragma once

#include <vector>

namespace gatehouse::bench {

// User and system time of all threads, dead ones too.
double ProcessMicros(const std::vector<int>& pids);
double OwnMicros();
// Of one living thread, to the nanosecond; 0 when it is gone.
double ThreadMicros(int pid, int thread);
// Time that `core` was not idle, whoever used it.
double CoreBusyMicros(int core);

}  // namespace gatehouse::bench
