// The groups of commands, one file each (group_*.cc); run.cc calls every one.
#pragma once

#include "client/cli/command_line.h"

namespace gatehouse::cli {

void AddResources(CLI::App& app, CommandLine& line);     // apply, diff, get, describe, explain, export, delete
void AddTrust(CLI::App& app, CommandLine& line);         // trust-store, server-certificate
void AddUsers(CLI::App& app, CommandLine& line);         // user, lockouts
void AddPolicies(CLI::App& app, CommandLine& line);      // policy
void AddEvents(CLI::App& app, CommandLine& line);        // events
void AddCertificates(CLI::App& app, CommandLine& line);  // cert
void AddAccess(CLI::App& app, CommandLine& line);        // whoami, rotate-key
void AddHistory(CLI::App& app, CommandLine& line);       // history, rollback
void AddGateways(CLI::App& app, CommandLine& line);      // gateway
void AddState(CLI::App& app, CommandLine& line);         // status, version
void AddUpstream(CLI::App& app, CommandLine& line);      // upstream
void AddContexts(CLI::App& app, CommandLine& line);      // context
void AddShell(CLI::App& app, CommandLine& line);         // completion, man

}  // namespace gatehouse::cli
