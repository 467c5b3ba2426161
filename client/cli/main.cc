// gatehousectl.
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/run.h"

namespace {

absl::StatusOr<gatehouse::Secret> AskPassword(const std::string& prompt) {
  int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (terminal < 0) {
    return absl::FailedPreconditionError("there is no terminal to ask for a password: give it on standard input "
                                         "(--password-stdin, --pfx-password-stdin)");
  }
  termios saved;
  bool is_terminal = tcgetattr(terminal, &saved) == 0;
  if (is_terminal) {
    termios silent = saved;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(terminal, TCSAFLUSH, &silent);
  }
  // Ctrl-C must not leave a terminal without echo.
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  static_cast<void>(!write(terminal, prompt.data(), prompt.size()));
  std::string line;
  char c = 0;
  while (line.size() < 4096 && read(terminal, &c, 1) == 1 && c != '\n') line.push_back(c);
  static_cast<void>(!write(terminal, "\n", 1));
  if (is_terminal) tcsetattr(terminal, TCSAFLUSH, &saved);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  close(terminal);
  return gatehouse::Secret(std::move(line));
}

}  // namespace

int main(int argc, char** argv) {
  // A connection must not get the number of a standard stream that was closed: what is printed would go there.
  int fd = 0;
  do fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  while (fd >= 0 && fd <= STDERR_FILENO);
  close(fd);
  // stdio, with which they are in step otherwise, calls it the end of input when a read fails.
  std::ios::sync_with_stdio(false);
  // gRPC's own messages are not for users; what they need to know is in our errors.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  gatehouse::cli::Streams streams;
  streams.out = &std::cout;
  streams.err = &std::cerr;
  streams.in = &std::cin;
  streams.out_is_terminal = isatty(STDOUT_FILENO) == 1;
  streams.err_is_terminal = isatty(STDERR_FILENO) == 1;
  streams.ask_password = AskPassword;
  return gatehouse::cli::Run(arguments, streams);
}
