// What a judgement costs: an ordinary presentation (leaf, intermediate, anchor), a cached leaf, and the hostile ones of
// hostile_pki.h as ratios to the ordinary one. Rounds are interleaved, the thread's own processor time is counted, and the
// best round of each, so that ratios mean something on a busy machine. Its counted twin is gateway/certs/work_test.cc.
//
// Usage: bench_judge [ROUNDS]. Prints a table; exit 1 when a hostile presentation costs more than ten ordinary ones.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/certs/hostile_pki.h"
#include "gateway/certs/verdict_cache.h"

namespace gatehouse::certs {
namespace {

constexpr double kMostOfOrdinary = 10;

struct Row {
  std::string name;
  int repeats;
  std::function<void()> run;
  std::function<void(int)> prepare = nullptr;  // for so many runs; not counted
  double best = 1e18;  // microseconds
};

double Microseconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

void Measure(std::vector<Row>* rows, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    for (Row& row : *rows) {
      if (row.prepare) row.prepare(row.repeats);
      const double start = Microseconds();
      for (int n = 0; n < row.repeats; ++n) row.run();
      row.best = std::min(row.best, (Microseconds() - start) / row.repeats);
    }
  }
}

// As it arrives: what goes beyond the number of certificates that are judged is not parsed by the gateway either.
void ParseAndJudge(const Presentation& p) {
  std::vector<CertificateRef> list;
  for (const CertificateRef& c : p.presented) {
    if (list.size() > kMaxPresented) break;
    absl::StatusOr<CertificateRef> parsed = Certificate::FromDer(c->der());
    if (!parsed.ok()) return;
    list.push_back(*std::move(parsed));
  }
  Judge(list, p.options, kTestNow);
}

// Judges what was parsed beforehand, each time anew: a certificate remembers what it was found to be signed by.
Row JudgeParsed(std::string name, int repeats, const Presentation& p) {
  auto lists = std::make_shared<std::vector<std::vector<CertificateRef>>>();
  Row row{std::move(name), repeats, [p, lists] {
            Judge(lists->back(), p.options, kTestNow);
            lists->pop_back();
          }};
  row.prepare = [p, lists](int runs) {
    lists->resize(static_cast<size_t>(runs));
    for (std::vector<CertificateRef>& list : *lists) {
      for (const CertificateRef& c : p.presented) list.push_back(*Certificate::FromDer(c->der()));
    }
  };
  return row;
}

int Run(int rounds) {
  HostilePki pki;
  const Presentation ordinary = pki.Ordinary();
  FakeClock clock(kTestNow);
  VerdictCache cache(1024, clock);
  const Sha256Digest leaf = ordinary.presented[0]->sha256();
  cache.Store({}, 1, std::make_shared<const Verdict>(Judge(ordinary.presented, ordinary.options, kTestNow)));

  std::vector<Row> rows = {
      JudgeParsed("judge, ordinary", 20, ordinary),
      {"parse and judge, ordinary", 20, [&] { ParseAndJudge(ordinary); }},
      {"verdict on a cached leaf", 1000, [&] {
         if (cache.FindValid(leaf, 1) == nullptr) std::abort();
       }}};
  const size_t hostile_from = rows.size();
  for (const Presentation& p : pki.All()) {
    rows.push_back(JudgeParsed("judge, " + p.name, 1, p));
    rows.push_back({"parse and judge, " + p.name, 1, [p] { ParseAndJudge(p); }});
  }
  Measure(&rows, rounds);

  bool within = true;
  for (size_t i = 0; i < rows.size(); ++i) {
    const double ratio = rows[i].best / rows[i % 2 == hostile_from % 2 ? 0 : 1].best;
    const bool judged = i >= hostile_from;
    std::printf("%-50s %9.2f us", rows[i].name.c_str(), rows[i].best);
    if (judged) std::printf("  %5.2f x ordinary%s", ratio, ratio > kMostOfOrdinary ? "  TOO MUCH" : "");
    std::printf("\n");
    within = within && (!judged || ratio <= kMostOfOrdinary);
  }
  return within ? 0 : 1;
}

}  // namespace
}  // namespace gatehouse::certs

int main(int argc, char** argv) { return gatehouse::certs::Run(argc > 1 ? std::atoi(argv[1]) : 50); }
