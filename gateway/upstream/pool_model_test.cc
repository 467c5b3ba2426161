// A random model of the pool: clients that start, feed, pause and cancel requests whenever they
// like, endpoints that answer in every way, refuse, break off and go, and a configuration that
// changes. Each answer must belong to its request, each request end once, and all gauges come back
// to zero. With another seed: --gtest_random_seed=N.
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gateway/upstream/http2_fixture.h"

namespace gatehouse::upstream {
namespace {

constexpr unsigned kRounds = 40;

struct Client : Answer {
  std::string id;
  std::unique_ptr<Request> request;
  Framing framing{};
  uint64_t left = 0;
  bool sent_all = false;
  bool paused = false;
};

// An HTTP/1 server that reads strictly.
struct Server1 {
  explicit Server1(std::unique_ptr<Peer> p) : peer(std::move(p)) {}
  std::unique_ptr<Peer> peer;
  bool dead = false;
  enum { kHead, kLen, kChunk, kDone } state = kHead;
  uint64_t left = 0;
  std::string id, method;
  bool answering = false;  // head sent, body not whole
  bool answered = false;
  uint64_t to_send = 0;
  bool chunked = false, until_close = false, closing = false;
  bool bad = false;

  void Read() {
    if (dead) return;
    if (!peer->Poll()) {
      dead = true;
    }
    std::string& in = peer->received;
    for (;;) {
      if (state == kHead) {
        const size_t end = in.find("\r\n\r\n");
        if (end == std::string::npos) return;
        std::string head = in.substr(0, end + 4);
        in.erase(0, end + 4);
        std::vector<std::string> words = absl::StrSplit(head.substr(0, head.find("\r\n")), ' ');
        if (words.size() != 3 || words[2] != "HTTP/1.1") {
          bad = true;
          return;
        }
        method = words[0];
        id = words[1];
        answered = answering = false;
        state = kDone;
        if (size_t at = head.find("content-length: "); at != std::string::npos) {
          left = std::stoull(head.substr(at + 16));
          state = left > 0 ? kLen : kDone;
        } else if (absl::StrContains(head, "transfer-encoding: chunked")) {
          state = kChunk;
        }
        continue;
      }
      if (state == kLen) {
        const uint64_t n = std::min<uint64_t>(left, in.size());
        in.erase(0, n);
        left -= n;
        if (left > 0) return;
        state = kDone;
        continue;
      }
      if (state == kChunk) {
        const size_t end = in.find("\r\n");
        if (end == std::string::npos) return;
        const size_t n = std::stoull(in.substr(0, end), nullptr, 16);
        if (in.size() < end + 2 + n + 2) return;
        in.erase(0, end + 2 + n + 2);
        if (n == 0) state = kDone;
        continue;
      }
      if (answered && !answering) {
        state = kHead;
        continue;
      }
      if (!in.empty()) bad = true;  // pipelined
      return;
    }
  }
};

class PoolModelTest : public Http2Fixture {
 protected:
  ~PoolModelTest() override { pool_.reset(); }
  std::mt19937 r_;
  unsigned Draw(unsigned n) { return static_cast<unsigned>(r_() % n); }
  std::vector<std::unique_ptr<FakeUpstream>> places_;
  std::vector<EndpointRef> all_;
  std::vector<std::unique_ptr<Client>> clients_;
  int made_ = 0;
  int completed_ = 0;

  void Configure() {
    options_.endpoints.clear();
    for (int i = 0; i < 3; ++i) {
      places_.push_back(std::make_unique<FakeUpstream>());
      all_.push_back(Endpoint::Of(places_.back()->address()));
    }
    Choose();
    options_.max_connections = 1 + Draw(4);
    options_.max_pending = 1 + Draw(6);
    options_.max_requests = Draw(3) == 0 ? 6 : 0;
    options_.retries = {
        .attempts = 1 + Draw(3), .idempotent = Draw(2) == 0, .budget_percent = Draw(40)};
    options_.ejection.consecutive_failures = Draw(3);
    options_.send_buffer = Draw(2) ? 64 * 1024 : 2048;
  }
  void Choose() {
    options_.endpoints.clear();
    for (auto& e : all_)
      if (Draw(3) != 0) options_.endpoints.push_back(e);
    if (options_.endpoints.empty()) options_.endpoints.push_back(all_[0]);
    options_.balance = Draw(2) ? Balance::kRoundRobin : Balance::kLeastRequest;
  }
  void StartOne() {
    auto c = std::make_unique<Client>();
    Client* p = c.get();
    p->id = absl::StrCat("/", made_++);
    RequestHead head;
    static const char* kMethods[] = {"GET", "POST", "PUT", "HEAD"};
    const std::string method = kMethods[Draw(4)];
    head.method = method;
    head.target = p->id;
    head.authority = "app.test";
    head.framing =
        method == "GET" || method == "HEAD" ? Framing::kNoBody : static_cast<Framing>(Draw(3));
    head.content_length = Draw(4) == 0 ? 0 : Draw(Draw(8) == 0 ? 300000 : 3000);
    p->framing = head.framing;
    p->left = head.content_length;
    p->sent_all =
        head.framing == Framing::kNoBody || (head.framing == Framing::kLength && p->left == 0);
    p->on_head = [this, p] {
      EXPECT_EQ(p->heads, 1);
      EXPECT_FALSE(p->ended());
      EXPECT_EQ(p->fields.Find("x-id"), absl::string_view(p->id)) << "another's answer";
      Whim(p);
    };
    p->on_body = [this, p] {
      EXPECT_FALSE(p->ended());
      Whim(p);
    };
    p->on_writable = [this, p] { Whim(p); };
    p->on_end = [this, p] {
      EXPECT_EQ(p->completions + p->errors, 1);
      completed_ += p->completions;
      if (p->completions) {
        EXPECT_EQ(p->heads, 1);
      }
      if (Draw(4) == 0 && made_ < 400) StartOne();
      Whim(p);
    };
    clients_.push_back(std::move(c));
    p->request = pool_->Start(head, p);
  }
  // In a callback.
  void Whim(Client* p) {
    switch (Draw(16)) {
      case 0:
        p->request.reset();
        break;
      case 1:
        if (!clients_.empty())
          clients_[Draw(static_cast<unsigned>(clients_.size()))]->request.reset();
        break;
      case 2:
        if (p->request) p->request->PauseReading();
        p->paused = true;
        break;
      case 3:
        if (made_ < 400) StartOne();
        break;
      case 4:
        Feed(p);
        break;
      default:
        break;
    }
  }
  void Feed(Client* p) {
    if (p->request == nullptr || p->sent_all || !p->request->writable()) return;
    if (p->framing == Framing::kLength) {
      const size_t n = Draw(3) ? std::min<size_t>(p->left, Draw(5000)) : p->left;
      p->left -= n;
      p->sent_all = p->left == 0;
      p->request->SendBody(std::string(n, 'b'), p->sent_all);
    } else {
      p->sent_all = Draw(3) == 0;
      p->request->SendBody(std::string(Draw(5000), 'c'), p->sent_all);
    }
  }
  void ClientStep() {
    if (clients_.empty() || Draw(5) == 0) {
      if (made_ < 400) StartOne();
      return;
    }
    Client* p = clients_[Draw(static_cast<unsigned>(clients_.size()))].get();
    switch (Draw(8)) {
      case 0:
        p->request.reset();
        break;
      case 1:
        if (p->request) p->request->PauseReading();
        p->paused = true;
        break;
      case 2:
      case 3:
        if (p->request) p->request->ResumeReading();
        p->paused = false;
        break;
      default:
        Feed(p);
    }
    if (clients_.size() > 20) {
      std::erase_if(clients_, [](auto& c) { return c->request == nullptr; });
    }
  }
  void PoolStep() {
    switch (Draw(40)) {
      case 0:
        Choose();
        pool_->Update(options_);
        break;
      case 1:
        pool_->CloseIdle();
        break;
      case 2:
        options_.max_connections = 1 + Draw(4);
        pool_->Update(options_);
        break;
      case 3:
        all_[Draw(3)]->SetHealthy(Draw(3) != 0, "x");
        break;
      case 4:
        if (Draw(4) == 0) Pass(absl::Seconds(Draw(70)));
        break;
      default:
        break;
    }
  }
  void Finish() {
    for (auto& c : clients_) c->request.reset();
    clients_.clear();
    EXPECT_EQ(pool_->running(), 0u);
    Turn(5);
    EXPECT_EQ(pool_->stats().pending.value(), 0);
    int64_t active = 0, open = 0;
    for (auto& e : all_) {
      active += e->worker(0).active.value();
      open += e->worker(0).connections.value();
    }
    EXPECT_EQ(active, 0);
    EXPECT_EQ(open, pool_->stats().open_connections.value());
    EXPECT_GE(pool_->stats().idle_connections.value(), 0);
    pool_.reset();
    Turn(3);
  }
};

TEST_F(PoolModelTest, AnswersGoToTheirRequestsOverHttp1) {
  const unsigned from =
      kRounds * static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed());
  options_.http2 = false;
  for (unsigned seed = from; seed < from + kRounds && !HasFailure(); ++seed) {
    r_.seed(seed);
    SCOPED_TRACE(seed);
    places_.clear();
    all_.clear();
    made_ = 0;
    options_.stats = std::make_shared<PoolStats>();
    Configure();
    MakePool();
    std::vector<std::unique_ptr<Server1>> servers;
    for (int step = 0; step < 600 && !HasFailure(); ++step) {
      ClientStep();
      PoolStep();
      if (Draw(2)) Turn(1);
      for (auto& place : places_)
        if (auto p = place->TryAccept()) servers.push_back(std::make_unique<Server1>(std::move(p)));
      for (auto& s : servers) {
        if (s->dead || Draw(3) == 0) continue;
        s->Read();
        EXPECT_FALSE(s->bad);
        if (s->dead) continue;
        if (Draw(60) == 0) {
          if (Draw(2))
            s->peer->Reset();
          else
            s->peer->Close();
          s->dead = true;
          continue;
        }
        if (s->state == Server1::kHead) continue;
        if (!s->answered) {
          if (s->state != Server1::kDone && Draw(10) != 0) continue;  // mostly after its body
          if (Draw(12) == 0) s->peer->SendSome("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
          if (Draw(12) == 0) s->peer->SendSome("HTTP/1.1 100 Continue\r\n\r\n");
          std::string head = absl::StrCat("HTTP/1.1 ",
                                          Draw(12) == 0   ? 503
                                          : Draw(20) == 0 ? 204
                                                          : 200,
                                          " X\r\nx-id: ", s->id, "\r\n");
          const bool none = s->method == "HEAD" || absl::StrContains(head, " 204 ");
          s->chunked = s->until_close = false;
          s->closing = Draw(10) == 0;
          if (s->closing) head += "connection: close\r\n";
          s->to_send = Draw(6) == 0 ? Draw(100000) : Draw(500);
          switch (absl::StrContains(head, " 204 ") ? 3 : Draw(4)) {
            case 0:
              head += "transfer-encoding: chunked\r\n";
              s->chunked = true;
              break;
            case 1:
              if (!none) s->until_close = s->closing = true;
              break;
            case 3:
              if (absl::StrContains(head, " 204 ")) break;
              [[fallthrough]];
            default:
              head += absl::StrCat("content-length: ", s->to_send, "\r\n");
          }
          s->peer->Send(head + "\r\n");
          s->answered = true;
          s->answering = !none && (s->chunked || s->until_close || s->to_send > 0);
          if (!s->answering && s->closing) {
            s->peer->HalfClose();
          }
        }
        if (s->answering) {
          if (s->to_send > 0) {
            const std::string piece(std::min<uint64_t>(s->to_send, 1 + Draw(8000)), 'z');
            if (s->chunked) {
              std::string c;
              c = absl::StrCat(absl::Hex(piece.size()), "\r\n", piece, "\r\n");
              s->peer->Send(c);  // blocking a little
              s->to_send -= piece.size();
            } else {
              s->to_send -= s->peer->SendSome(piece);
            }
          }
          if (s->to_send == 0) {
            if (s->chunked) s->peer->SendSome(Draw(2) ? "0\r\n\r\n" : "0\r\nx-t: 1\r\n\r\n");
            s->answering = false;
            if (s->until_close || s->closing) {
              s->peer->Close();
              s->dead = true;
            }
          }
        }
        if (!s->dead) s->Read();
      }
    }
    Finish();
  }
  EXPECT_GT(completed_, 10 * static_cast<int>(kRounds));
}

TEST_F(PoolModelTest, AnswersGoToTheirRequestsOverHttp2) {
  const unsigned from =
      kRounds * static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed());
  for (unsigned seed = from; seed < from + kRounds && !HasFailure(); ++seed) {
    r_.seed(seed);
    SCOPED_TRACE(seed);
    places_.clear();
    all_.clear();
    made_ = 0;
    options_.stats = std::make_shared<PoolStats>();
    Configure();
    MakePool();
    struct S {
      std::unique_ptr<Http2Peer> peer;
      std::map<int32_t, int> done;
      bool dead = false;
    };
    std::vector<std::unique_ptr<S>> servers;
    for (int step = 0; step < 600 && !HasFailure(); ++step) {
      ClientStep();
      PoolStep();
      if (Draw(2)) Turn(1);
      for (auto& place : places_) {
        if (auto p = place->TryAccept()) {
          servers.push_back(std::make_unique<S>());
          servers.back()->peer = std::make_unique<Http2Peer>(std::move(p), 1 + Draw(5));
        }
      }
      for (auto& s : servers) {
        if (s->dead || Draw(3) == 0) continue;
        if (!s->peer->Work()) {
          s->dead = true;
          continue;
        }
        EXPECT_FALSE(s->peer->broken);
        if (Draw(80) == 0) {
          if (Draw(2))
            s->peer->peer().Reset();
          else
            s->peer->peer().Close();
          s->dead = true;
          continue;
        }
        if (Draw(60) == 0) s->peer->GoAway(static_cast<int32_t>(Draw(20)));
        if (Draw(60) == 0) {
          s->peer->Work();
          s->peer->peer().HalfClose();
        }
        for (auto& [id, st] : s->peer->streams) {
          if (id == 0 || st.fields.empty() || st.closed) continue;
          int& done = s->done[id];
          if (done == 0 && (st.ended || Draw(10) == 0)) {
            if (Draw(10) == 0) {
              s->peer->Reset(id, Draw(2) ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR);
              done = 2;
              continue;
            }
            if (Draw(10) == 0) s->peer->Head(id, "103", {{"link", "x"}});
            const bool end = Draw(3) == 0 || st.fields[":method"] == "HEAD";
            s->peer->Head(id, Draw(12) == 0 ? "503" : "200", {{"x-id", st.fields[":path"]}}, end);
            done = end ? 2 : 1;
          } else if (done == 1) {
            const bool end = Draw(3) == 0;
            if (end && Draw(3) == 0) {
              s->peer->Trailers(id, {{"x-t", "1"}});
            } else
              s->peer->Body(id, std::string(Draw(6) == 0 ? Draw(90000) : Draw(500), 'z'), end);
            if (end) done = 2;
            if (!end && Draw(20) == 0) {
              s->peer->Reset(id, NGHTTP2_CANCEL);
              done = 2;
            }
          }
        }
        if (Draw(2)) s->peer->Work();
      }
    }
    Finish();
  }
  EXPECT_GT(completed_, 10 * static_cast<int>(kRounds));
}

}  // namespace
}  // namespace gatehouse::upstream
