// CliTest runs gatehousectl's commands in-process against real services on a real Unix socket.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/run.h"
#include "client/lib/fake_control_plane.h"

namespace gatehouse::cli {

class CliTest : public ::testing::Test {
 protected:
  // Nobody's own contexts are used.
  CliTest() { setenv("XDG_CONFIG_HOME", (server_.folder() + "/config").c_str(), 1); }
  // Runs a command; what it printed is in out_ and err_.
  int Ctl(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(arguments.begin(), {"--server", server_.target()});
    return Raw(std::move(arguments), input);
  }
  int Raw(std::vector<std::string> arguments, const std::string& input = "") {
    std::ostringstream out, err;
    if (out_fails_) out.setstate(std::ios::badbit);
    BrokenInput broken(input);
    std::istringstream whole(input);
    std::istream breaks_off(&broken);
    std::istream& in = in_fails_ ? breaks_off : whole;
    Streams streams;
    streams.out = &out;
    streams.err = &err;
    streams.in = &in;
    streams.err_is_terminal = terminal_;
    streams.ask_password = [this](const std::string&) -> absl::StatusOr<Secret> {
      if (typed_.empty()) return absl::FailedPreconditionError("no terminal");
      Secret answer(typed_.front());
      typed_.erase(typed_.begin());
      return answer;
    };
    int code = cli::Run(arguments, streams);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  std::string Write(const std::string& name, const std::string& content) {
    std::string path = absl::StrCat(server_.folder(), "/", name);
    std::ofstream(path) << content;
    return path;
  }
  std::string Path(const std::string& name) { return absl::StrCat(server_.folder(), "/", name); }
  std::string ReadBack(const std::string& name) {
    std::ostringstream content;
    content << std::ifstream(Path(name)).rdbuf();
    return content.str();
  }
  void PlanAndForce() {
    server_.apply_answer.set_revision(41);
    v1::Change& change = *server_.apply_answer.add_changes();
    change.mutable_id()->set_kind(v1::TRUST_STORE);
    change.mutable_id()->set_name("partners");
    change.set_action(v1::Change::CHANGED);
    change.add_details("anchors: +1 (CN=Partners\x1b[31m Root) -0");
    v1::Violation& warning = *server_.apply_answer.add_warnings();
    warning.set_path("schemes[\"C\"]");
    warning.set_message("look twice");
    server_.force.set_gateways(3);
    server_.force.set_in_force(3);
    server_.force.set_micros(7200);
  }

  client::FakeControlPlane server_;
  std::vector<std::string> typed_;
  std::string out_;
  std::string err_;
  bool terminal_ = false;  // standard error is one
  bool out_fails_ = false;
  bool in_fails_ = false;  // after the input that is given

 private:
  struct BrokenInput : std::stringbuf {
    using std::stringbuf::stringbuf;
    int_type underflow() override {
      const int_type next = std::stringbuf::underflow();
      if (next == traits_type::eof()) throw std::ios_base::failure("broken");
      return next;
    }
  };
};

}  // namespace gatehouse::cli
