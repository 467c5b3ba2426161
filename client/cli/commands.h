// The commands: flags in, exit code out. What a flag means stands in the help texts of group_*.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/context.h"
#include "google/protobuf/message.h"

namespace gatehouse::cli {

// Flags of every command that changes something.
struct ChangeFlags {
  bool wait = true;
  absl::Duration timeout = absl::Seconds(10);
  std::string message;

  client::ChangeOptions Options() const { return {wait, timeout, message}; }
};

enum class Output { kTable, kYaml, kJson, kName };

struct ApplyFlags {
  std::vector<std::string> files;
  bool dry_run = false;
  bool replace_all = false;
  bool prune = false;
  std::vector<std::string> labels;  // of what may be pruned
  ChangeFlags change;
};
int Apply(Context& context, const ApplyFlags& flags);

struct DiffFlags {
  ApplyFlags apply;
  std::vector<std::string> revisions;  // one or two
};
// 0 nothing differs, 1 something does, others: no answer.
int Diff(Context& context, const DiffFlags& flags);

struct ExportFlags {
  std::vector<std::string> kinds;
  std::vector<std::string> labels;
  std::string folder;  // empty: standard output
  uint64_t revision = 0;
  bool prune = false;  // files of what is no longer there
};
int Export(Context& context, const ExportFlags& flags);

struct RollbackFlags {
  uint64_t revision = 0;
  bool restore_trust = false;
  bool dry_run = false;
  ChangeFlags change;
};
int Rollback(Context& context, const RollbackFlags& flags);

struct GetFlags {
  std::string kind;  // or "all"
  std::vector<std::string> names;
  std::vector<std::string> labels;
  Output output = Output::kTable;
  bool watch = false;
  bool only_changes = false;
};
int Get(Context& context, const GetFlags& flags);
int Describe(Context& context, const GetFlags& flags);

struct ExplainFieldsFlags {
  std::string path;  // kind[.field…]; empty: the kinds
  bool recursive = false;
  bool markdown = false;
};
int ExplainFields(Context& context, const ExplainFieldsFlags& flags);

struct DeleteFlags {
  std::string kind;
  std::string name;
  ChangeFlags change;
};
int Delete(Context& context, const DeleteFlags& flags);

struct TrustStoreFlags {
  std::string name;
  std::string as;  // anchor, pin, intermediate; system-roots: on, off
  std::vector<std::string> files;
  std::vector<std::string> sha256;
  std::string replaced;  // file or SHA-256
  bool keep_old = false;
  bool password_stdin = false;  // of a PFX
  std::string comment;
  ChangeFlags change;
};
int AddCertificates(Context& context, const TrustStoreFlags& flags);
int RemoveCertificates(Context& context, const TrustStoreFlags& flags);
int ReplaceCertificate(Context& context, const TrustStoreFlags& flags);
int AddCrls(Context& context, const TrustStoreFlags& flags);
int RemoveCrls(Context& context, const TrustStoreFlags& flags);
int SetSystemRoots(Context& context, const TrustStoreFlags& flags);

struct ServerCertificateFlags {
  std::string name;
  std::string pfx;
  std::string chain, key;            // PEM files here
  std::string chain_path, key_path;  // files on the gateways
  bool password_stdin = false;
  ChangeFlags change;
};
int SetServerCertificate(Context& context, const ServerCertificateFlags& flags);

struct UserFlags {
  std::string store;
  std::string user;
  bool password_stdin = false;
  bool keep_old_password = false;
  bool disabled = false;
  std::vector<std::string> claims;          // type=value, to be added
  std::vector<std::string> removed_claims;  // type=value, or type for all of that type
  bool clear_claims = false;
  std::string expires;  // RFC 3339, or never
  Output output = Output::kTable;
  ChangeFlags change;
};
int AddUser(Context& context, const UserFlags& flags);
int DeleteUser(Context& context, const UserFlags& flags);
int SetPassword(Context& context, const UserFlags& flags);
int RetireOldPassword(Context& context, const UserFlags& flags);
int EnableUser(Context& context, const UserFlags& flags);
int DisableUser(Context& context, const UserFlags& flags);
int ExpireUser(Context& context, const UserFlags& flags);
int ChangeClaims(Context& context, const UserFlags& flags);
int ListUsers(Context& context, const UserFlags& flags);
int ShowUser(Context& context, const UserFlags& flags);

struct UserFileFlags {
  std::string store;
  std::string file;  // or "-"
  bool replace = false;
  bool allow_weak_hashes = false;
  bool dry_run = false;
  bool include_disabled = false;
  bool force = false;
  ChangeFlags change;
};
int ImportUsers(Context& context, const UserFileFlags& flags);
int ExportUsers(Context& context, const UserFileFlags& flags);

struct AccessFlags {
  bool json = false;
};
int WhoAmI(Context& context, const AccessFlags& flags);
int RotateKey(Context& context, const AccessFlags& flags);

struct LockoutFlags {
  std::string scheme, user, address, gateway;
  bool all = false;  // list: also who is not refused now; clear: everything
  Output output = Output::kTable;
};
int ListLockouts(Context& context, const LockoutFlags& flags);
int ClearLockouts(Context& context, const LockoutFlags& flags);

struct UpstreamFlags {
  std::string name, gateway;
  Output output = Output::kTable;
};
int UpstreamStatus(Context& context, const UpstreamFlags& flags);

struct EventFilterFlags {
  std::vector<std::string> outcomes, reasons, types, routes, schemes, gateways, principals;
};
struct WatchFlags {
  EventFilterFlags filter;
  std::string after;  // incarnation:sequence
  std::string since;  // age or RFC 3339
  bool from_oldest = false;
  uint64_t count = 0;  // 0: without end
  std::string output;  // text, json; empty: text on a terminal, json in a pipe
};
int WatchEvents(Context& context, const WatchFlags& flags);

struct EventSummaryFlags {
  EventFilterFlags filter;
  std::vector<std::string> by;   // outcome, reason, route, scheme, gateway
  std::string since, until;      // age or RFC 3339
  std::string step;              // duration
  Output output = Output::kTable;
};
int SummarizeEvents(Context& context, const EventSummaryFlags& flags);

struct MintFlags {
  std::string profile;  // self-signed, ca, intermediate, leaf
  std::string subject;
  std::string key_type = "p256";
  std::vector<std::string> sans;  // dns:…, email:…, uri:…, ip:…, upn:…
  std::string eku;                // client, server, both, none
  int days = 0;                   // 0: the profile's default
  std::string issuer_certificate, issuer_key;
  std::string out;      // PEM: certificate and chain
  std::string key_out;  // PEM: private key
  std::string pfx_out;
  bool pfx_password_stdin = false;
  std::string pfx_password_file;
  bool force = false;  // overwrite
};
int NewCertificate(Context& context, const MintFlags& flags);
struct ShowFlags {
  std::vector<std::string> files;
  bool password_stdin = false;
};
int ShowCertificates(Context& context, const ShowFlags& flags);

struct ExplainFlags {
  std::string chain;
  std::string key;  // checked here, never sent
  bool password_stdin = false;
  std::string scheme, route, listener, gateway;
  std::string event;  // cursor or request id
  std::string at;     // RFC 3339
  std::string address;
  bool offline = false;
  Output output = Output::kTable;
};
int Explain(Context& context, const ExplainFlags& flags);

struct UserExplainFlags {
  std::string user;  // STORE/USER
  std::string route, gateway, address;
  std::string time;  // RFC 3339
  Output output = Output::kTable;
};
int ExplainUser(Context& context, const UserExplainFlags& flags);

struct PolicyTestFlags {
  std::string name;
  std::string file;         // with policies
  std::string claims;       // file
  std::string certificate;  // file
  std::string certificate_scheme, address;
  std::string time;  // RFC 3339
  Output output = Output::kTable;
};
int TestPolicy(Context& context, const PolicyTestFlags& flags);

// PrintJson prints a message as one JSON object with the proto's names.
int PrintJson(Context& context, const google::protobuf::Message& message);

struct HistoryFlags {
  uint64_t revision = 0;  // 0: the list
  int count = 20;
  bool configuration = false;  // revisions alone
  bool all = false;            // refused calls and what gateways write by themselves, too
  bool refused = false;        // refused calls alone
  bool json = false;
  Output output = Output::kTable;
};
int ShowHistory(Context& context, const HistoryFlags& flags);

struct GatewayFlags {
  std::string gateway;
  std::string id;
  double lifetime_seconds = 3600;
  bool json = false;
};
int CreateJoinToken(Context& context, const GatewayFlags& flags);
int ListJoinTokens(Context& context, const GatewayFlags& flags);
int DeleteJoinToken(Context& context, const GatewayFlags& flags);
int RemoveGateway(Context& context, const GatewayFlags& flags);

struct ContextFlags {
  std::string name;
  ConnectionFlags connection;
  bool use = false;
};
int ListContexts(Context& context, const ContextFlags& flags);
int UseContext(Context& context, const ContextFlags& flags);
int SetContext(Context& context, const ContextFlags& flags);
int DeleteContext(Context& context, const ContextFlags& flags);
int ShowContext(Context& context, const ContextFlags& flags);

struct StatusFlags {
  bool json = false;
  bool watch = false;
  uint64_t count = 0;  // of messages, with watch; 0: without end
};
int ShowStatus(Context& context, const StatusFlags& flags);

}  // namespace gatehouse::cli
