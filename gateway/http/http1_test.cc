#include "absl/strings/match.h"
#include "gateway/http/codec_factory.h"
#include "gateway/http/codec_recorder.h"
#include "gateway/http/http1_response.h"
#include "gateway/http/shared_parts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::http {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kGet[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

class Http1Test : public ::testing::Test {
 protected:
  Http1Test() { Start(); }
  void Start() {
    codec_ = NewHttp1Codec(&seen_, &shared_, &options_);
    seen_ = CodecRecorder();
    seen_.codec = codec_.get();
    FieldList f;
    f.Add("content-type", "text/plain");
    fixed_ = *FixedResponse::Create(200, f, "hello");
    seen_.on_request = [this](StreamId id) {
      if (answer_) codec_->SendFixed(id, fixed_);
    };
  }
  ServerCodec::Result Send(absl::string_view bytes) { return codec_->Receive(bytes, loop::Instant{1}); }
  std::string Out() {
    std::string all;
    do {
      OutBuffer out;
      codec_->Produce(&out);
      all += std::string(out.view());
      if (codec_->HasReadyInput()) Send("");
    } while (codec_->WantsWrite() || codec_->HasReadyInput());
    return all;
  }
  static size_t Count(absl::string_view text, absl::string_view what) {
    size_t n = 0;
    for (size_t at = text.find(what); at != absl::string_view::npos; at = text.find(what, at + 1)) ++n;
    return n;
  }

  CodecOptions options_;
  CodecShared shared_;
  CodecRecorder seen_;
  std::unique_ptr<ServerCodec> codec_;
  std::shared_ptr<const FixedResponse> fixed_;
  bool answer_ = true;
};

TEST_F(Http1Test, AnswersAndKeepsTheConnection) {
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(Send(kGet), ServerCodec::Result::kOk);
    EXPECT_EQ(Out(), "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello");
    EXPECT_TRUE(codec_->idle());
  }
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h /a", "closed 1", "request 2 GET h /a", "closed 2",
                                       "request 3 GET h /a", "closed 3"));
}

TEST_F(Http1Test, EveryCutOfTheInputGivesTheSame) {
  const std::string post = "POST /p?q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n";
  const std::string all = post + kGet;
  answer_ = false;
  for (size_t cut = 0; cut <= all.size(); ++cut) {
    Start();
    seen_.on_request = [this](StreamId id) {
      if (id == 2) codec_->SendFixed(id, fixed_);
    };
    Send(all.substr(0, cut));
    Out();
    Send(all.substr(cut));
    codec_->SendFixed(1, fixed_);
    std::string out = Out();
    EXPECT_EQ(Count(out, "hello"), 2u) << cut;
    EXPECT_THAT(seen_.lines, ElementsAre("request 1 POST h /p?q +body", "trailers 1 1", "closed 1", "request 2 GET h /a", "closed 2")) << cut;
    EXPECT_EQ(seen_.bodies[1], "helloabc") << cut;
  }
}

TEST_F(Http1Test, ByteByByte) {
  for (char c : std::string("\r\n") + kGet) Send(absl::string_view(&c, 1));
  EXPECT_THAT(Out(), HasSubstr("200 OK"));
}

TEST_F(Http1Test, PipelinedRequestsAreAnsweredInOrderOneAtATime) {
  answer_ = false;
  Send(std::string(kGet) + "GET /b HTTP/1.1\r\nHost: h\r\n\r\n" + "GET /c HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h /a"));
  EXPECT_FALSE(codec_->HasReadyInput());
  EXPECT_TRUE(codec_->SendFixed(1, fixed_));
  Out();
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h /a", "closed 1", "request 2 GET h /b"));
  EXPECT_FALSE(codec_->SendFixed(1, fixed_)) << "the first one is over";
}

TEST_F(Http1Test, PipeliningIsBounded) {
  answer_ = false;
  Send(kGet);
  std::string many;
  while (many.size() < 200'000) many += kGet;
  Send(many);
  EXPECT_FALSE(codec_->WantsRead());
}

TEST_F(Http1Test, ManyPipelinedRefusalsAreAllAnswered) {
  const std::string body(300, 'p');
  seen_.on_request = [&](StreamId id) {
    ResponseHead head;
    head.status = 404;
    head.content_length = body.size();
    EXPECT_TRUE(codec_->SendAnswer(id, head, body));
  };
  std::string many;
  for (int i = 0; i < 500; ++i) many += kGet;  // 14 KB: one TLS record
  Send(many);
  const std::string out = Out();
  EXPECT_EQ(Count(out, "HTTP/1.1 404"), 500u);
  EXPECT_EQ(Count(out, body), 500u);
  EXPECT_TRUE(codec_->idle());
  EXPECT_NE(codec_->phase(), ServerCodec::Phase::kActive);
}

TEST_F(Http1Test, PipelinedFixedAnswersAreBoundedUntilTheyAreProduced) {
  fixed_ = *FixedResponse::Create(200, {}, std::string(64 * 1024, 'b'));
  std::string many;
  for (int i = 0; i < 500; ++i) many += kGet;
  Send(many);
  OutBuffer out;
  codec_->Produce(&out);
  EXPECT_LT(out.size(), 1u << 20) << "one read of 14 KB";
  for (int i = 0; i < 20 && codec_->WantsRead(); ++i) Send(many);
  out.Clear();
  codec_->Produce(&out);
  EXPECT_LT(out.size(), 4u << 20) << "nobody took anything, and it went on to read";
}

TEST_F(Http1Test, AnAnswerIsSentToWhoEndedBehindItsRequest) {
  Send(kGet);  // answered at once, nothing produced yet
  EXPECT_TRUE(codec_->WantsWrite());
  EXPECT_EQ(codec_->ReceiveEof(), ServerCodec::Result::kOk);
  EXPECT_FALSE(codec_->done());
  EXPECT_EQ(Count(Out(), "HTTP/1.1 200"), 1u);
  EXPECT_TRUE(codec_->done());
}

TEST_F(Http1Test, AnswersWithoutBodyAreBoundedUntilTheyAreProduced) {
  answer_ = false;
  StreamId last = 0;
  seen_.on_request = [&](StreamId id) { last = id; };
  const std::string head_request = "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n";
  ResponseHead head;
  for (int i = 0; i < 60; ++i) head.fields.Add(absl::StrCat("x-", i), std::string(1000, 'v'));
  head.content_length = 5;
  for (int i = 1; i <= 100 && codec_->WantsRead(); ++i) {
    Send(head_request);  // nobody produces: the client reads nothing
    if (last == i) codec_->SendHead(i, head, true);  // the upstream answers a moment later
  }
  OutBuffer out;
  codec_->Produce(&out);
  EXPECT_LT(out.size(), 1u << 20);
}


TEST_F(Http1Test, AnAnswerWithoutLengthThatBreaksOffDoesNotLookWhole) {
  answer_ = false;
  Send("GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(codec_->SendHead(1, ResponseHead(), false));
  codec_->SendBody(1, "half", false);
  EXPECT_FALSE(codec_->broken_off());
  codec_->Reset(1, ErrorCode::kInternalError);
  Out();
  EXPECT_TRUE(codec_->done());
  EXPECT_TRUE(codec_->broken_off());
}

TEST_F(Http1Test, WhoEndsBehindManyRequestsIsAnsweredAll) {
  fixed_ = *FixedResponse::Create(200, {}, std::string(40 * 1024, 'b'));
  std::string many;
  for (int i = 0; i < 10; ++i) many += kGet;
  Send(many + "GET /half");
  EXPECT_EQ(codec_->ReceiveEof(), ServerCodec::Result::kOk);
  EXPECT_EQ(Count(Out(), "HTTP/1.1 200"), 10u);
  EXPECT_TRUE(codec_->done());
}

// Framing and perimeter: each is refused with that status, and the connection ends.
TEST_F(Http1Test, AttackCorpus) {
  struct Row {
    const char* what;
    std::string request;
    int status;
  };
  auto with = [](const std::string& fields, const std::string& line = "POST /a HTTP/1.1") {
    return line + "\r\nHost: h\r\n" + fields + "\r\n";
  };
  const Row rows[] = {
      {"CL and TE", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"TE and CL", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
      {"two equal CL", with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
      {"two CL", with("Content-Length: 5\r\nContent-Length: 6\r\n"), 400},
      {"CL list", with("Content-Length: 5, 5\r\n"), 400},
      {"CL plus", with("Content-Length: +5\r\n"), 400},
      {"CL minus", with("Content-Length: -5\r\n"), 400},
      {"CL hex", with("Content-Length: 0x5\r\n"), 400},
      {"CL empty", with("Content-Length: \r\n"), 400},
      {"CL overflow", with("Content-Length: 99999999999999999999999\r\n"), 400},
      {"TE xchunked", with("Transfer-Encoding: xchunked\r\n"), 400},
      {"TE identity", with("Transfer-Encoding: identity\r\n"), 400},
      {"TE list", with("Transfer-Encoding: chunked, identity\r\n"), 400},
      {"TE twice in one", with("Transfer-Encoding: chunked, chunked\r\n"), 400},
      {"TE gzip", with("Transfer-Encoding: gzip, chunked\r\n"), 400},
      {"TE repeated", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"TE in 1.0", with("Transfer-Encoding: chunked\r\n", "POST /a HTTP/1.0"), 400},
      {"TE with tab", with("Transfer-Encoding:\x0b"
                           "chunked\r\n"), 400},
      {"space before colon", with("Transfer-Encoding : chunked\r\n"), 400},
      {"obs-fold", with("X: a\r\n b\r\n"), 400},
      {"obs-fold of TE", with("Transfer-Encoding:\r\n chunked\r\n"), 400},
      {"leading space field", "GET /a HTTP/1.1\r\n Host: h\r\n\r\n", 400},
      {"bare LF", "GET /a HTTP/1.1\nHost: h\n\n", 400},
      {"bare LF in the middle", "GET /a HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
      {"bare CR", with("X: a\rb\r\n"), 400},
      {"NUL", with(std::string("X: a\0b\r\n", 8)), 400},
      {"DEL", with("X: a\x7f\r\n"), 400},
      {"no name", with(": x\r\n"), 400},
      {"no colon", with("X\r\n"), 400},
      {"bad name", with("X(: y\r\n"), 400},
      {"no Host", "GET /a HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", with("Host: h\r\n"), 400},
      {"empty Host", "GET /a HTTP/1.1\r\nHost: \r\n\r\n", 400},
      {"Host with userinfo", "GET /a HTTP/1.1\r\nHost: u@h\r\n\r\n", 400},
      {"Host with path", "GET /a HTTP/1.1\r\nHost: h/x\r\n\r\n", 400},
      {"Host list", "GET /a HTTP/1.1\r\nHost: h, i\r\n\r\n", 400},
      {"1.0 without Host", "GET /a HTTP/1.0\r\n\r\n", 400},
      {"absolute-form of another host", with("", "GET https://i/a HTTP/1.1"), 400},
      {"absolute-form over http", with("", "GET http://h/a HTTP/1.1"), 400},
      {"absolute-form with userinfo", with("", "GET https://u@h/a HTTP/1.1"), 400},
      {"odd scheme", with("", "GET gopher://h/a HTTP/1.1"), 400},
      {"relative target", with("", "GET a HTTP/1.1"), 400},
      {"raw non-ASCII", with("", "GET /\xc3\xa4 HTTP/1.1"), 400},
      {"fragment", with("", "GET /a#b HTTP/1.1"), 400},
      {"encoded slash", with("", "GET /a%2fb HTTP/1.1"), 400},
      {"above the root", with("", "GET /../a HTTP/1.1"), 400},
      {"space in target", with("", "GET /a b HTTP/1.1"), 400},
      {"star GET", with("", "GET * HTTP/1.1"), 400},
      {"HTTP/2.0", with("", "GET /a HTTP/2.0"), 400},
      {"HTTP/1.2", with("", "GET /a HTTP/1.2"), 400},
      {"HTTP/0.9", "GET /a\r\n\r\n", 400},
      {"two spaces", with("", "GET  /a HTTP/1.1"), 400},
      {"lower-case version", with("", "GET /a http/1.1"), 400},
      {"CONNECT", with("", "CONNECT h:443 HTTP/1.1"), 501},
      {"TRACE", with("", "TRACE /a HTTP/1.1"), 501},
      {"expectation", with("Expect: the-moon\r\n"), 417},
      {"long target", with("", "GET /" + std::string(9000, 'a') + " HTTP/1.1"), 414},
      {"long target, unfinished", "GET /" + std::string(9000, 'a'), 414},
      {"long header", with("X: " + std::string(50000, 'a') + "\r\n"), 431},
      {"endless header", "GET /a HTTP/1.1\r\nX: " + std::string(50000, 'a'), 431},
      {"preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"empty lines", "\r\n\r\n" + std::string(kGet), 400},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    Start();
    EXPECT_EQ(Send(row.request + kGet), ServerCodec::Result::kClose);
    std::string out = Out();
    EXPECT_THAT(out, HasSubstr(absl::StrCat("HTTP/1.1 ", row.status, " ")));
    EXPECT_THAT(out, HasSubstr("connection: close"));
    EXPECT_EQ(Count(out, "HTTP/1.1"), 1u);
    EXPECT_THAT(seen_.heads, IsEmpty());
    EXPECT_EQ(seen_.texts.size(), 1u);
    EXPECT_TRUE(codec_->done());
  }
}

TEST_F(Http1Test, TooManyFieldsAre431) {
  std::string request = "GET /a HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 101; ++i) absl::StrAppend(&request, "x", i, ": y\r\n");
  Send(request + "\r\n");
  EXPECT_THAT(Out(), HasSubstr("431"));
}

TEST_F(Http1Test, RefusalsAreWordedByTheHandlerButNotToHead) {
  auto refuse = [this](absl::string_view request) {
    Start();
    seen_.refusal.head.fields.Add("content-type", "text/x");
    seen_.refusal.body = "no";
    Send(request);
    return Out();
  };
  EXPECT_EQ(refuse("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n"),
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
  // A reader of an answer to HEAD would take a body for the next answer, whatever was wrong with the request.
  const std::string heads[] = {"HEAD /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD /a HTTP/1.1\r\nHost : h\r\n\r\n",
                               "HEAD /" + std::string(9000, 'a'), "HEAD /a HTTP/1.1\nHost: h\n\n",
                               "HEAD /a HTTP/1.1\r\nX: " + std::string(50000, 'a')};
  for (const std::string& head : heads) {
    EXPECT_THAT(refuse(head), AllOf(HasSubstr("HTTP/1.1 4"), HasSubstr("content-length: 2\r\n"), EndsWith("\r\n\r\n")));
  }
}

TEST_F(Http1Test, AHeadOrBodyThatDoesNotComeInTimeIs408) {
  codec_->TimeOut();
  EXPECT_EQ(Out(), "") << "nothing was asked";
  Send("GET /a HTTP/1.1\r\nHo");
  codec_->TimeOut();
  EXPECT_THAT(Out(), HasSubstr("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_TRUE(codec_->done());

  answer_ = false;
  Start();
  Send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
  codec_->TimeOut();
  EXPECT_THAT(Out(), HasSubstr("HTTP/1.1 408 "));
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 POST h /a +body", "error 1 408 fatal", "closed 1"));

  Start();
  seen_.on_request = [this](StreamId id) { codec_->SendHead(id, ResponseHead(), false); };
  Send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
  codec_->TimeOut();
  EXPECT_THAT(Out(), Not(HasSubstr("408"))) << "an answer is under way";
  EXPECT_TRUE(codec_->done());
}

TEST_F(Http1Test, AConnectionThatNamesFieldsByTheThousandIsRefused) {
  const auto naming = [](int n, const std::string& also) {
    std::string names;
    for (int i = 1; i < n; ++i) names += "a,";
    return "GET /a HTTP/1.1\r\nHost: h\r\nConnection: " + names + "a\r\n" + also + "\r\n";
  };
  Send(naming(64, ""));
  EXPECT_THAT(Out(), HasSubstr("200 OK"));
  for (const std::string& request : {naming(65, ""), naming(10'000, ""), naming(60, "Connection: b, c, d, e, f\r\n")}) {
    Start();
    EXPECT_EQ(Send(request), ServerCodec::Result::kClose);
    EXPECT_THAT(Out(), HasSubstr("400"));
  }
}

TEST_F(Http1Test, TrailersAreBoundedLikeAHead) {
  answer_ = false;
  std::string many;
  for (int i = 0; i < 101; ++i) many += "a: b\r\n";
  for (const std::string& trailers : {many, "a: " + std::string(33 * 1024, 'x') + "\r\n"}) {
    Start();
    Send("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n");
    EXPECT_EQ(Send(trailers + "\r\n"), ServerCodec::Result::kClose);
    EXPECT_THAT(Out(), HasSubstr("431"));
    EXPECT_THAT(seen_.lines, ElementsAre("request 1 POST h /a +body", "error 1 431 fatal", "closed 1"));
  }
}

TEST_F(Http1Test, TrailersWithControlCharactersAreNone) {
  answer_ = false;
  for (const std::string& trailer : {std::string("a: b\rc: d"), std::string("a: b\nc: d"), std::string("a: b\0c", 6), std::string("a b: c"),
                                     std::string(": c"), std::string(" a: c"), std::string("a: \x7f")}) {
    SCOPED_TRACE(trailer);
    Start();
    Send("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n");
    EXPECT_EQ(Send(trailer + "\r\n\r\n"), ServerCodec::Result::kClose);
    EXPECT_THAT(Out(), HasSubstr("400"));
  }
}

TEST_F(Http1Test, BrokenChunksEndTheStream) {
  answer_ = false;
  for (const char* chunk : {"x\r\n", "-1\r\n", "0x5\r\nhello", "5 \r\nhello", "5\nhello\r\n", "5\r\nhelloX\r\n", "5\r\nhello\n",
                            "\r\n", ";\r\n", "ffffffffffffffff\r\n", "0\r\nbad trailer\r\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\n\n"}) {
    SCOPED_TRACE(chunk);
    Start();
    Send("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT_EQ(Send(chunk), ServerCodec::Result::kClose);
    EXPECT_THAT(Out(), HasSubstr("400"));
    EXPECT_EQ(seen_.lines.back(), "closed 1");
  }
}

TEST_F(Http1Test, AbsoluteFormAndCaseOfHostsAgree) {
  Send("GET https://H:443?x HTTP/1.1\r\nHost: h\r\n\r\n");
  Out();
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h:443 /?x", "closed 1"));
}

TEST_F(Http1Test, HeadHasNoBodyButItsLength) {
  Send("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
  std::string out = Out();
  EXPECT_THAT(out, HasSubstr("content-length: 5"));
  EXPECT_THAT(out, Not(HasSubstr("hello")));
}

TEST_F(Http1Test, Http10ClosesUnlessAskedToStay) {
  Send("GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
  EXPECT_THAT(Out(), HasSubstr("connection: close"));
  EXPECT_TRUE(codec_->done());
  Start();
  Send("GET /a HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n");
  EXPECT_THAT(Out(), HasSubstr("connection: keep-alive"));
  EXPECT_FALSE(codec_->done());
}

TEST_F(Http1Test, AnUnreadBodyThatIsHereIsSkippedAndOneThatIsNotEndsTheConnection) {
  Send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /" + std::string(kGet));
  EXPECT_EQ(Count(Out(), "hello"), 2u);
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 POST h /a +body", "closed 1", "request 2 GET h /a", "closed 2"));
  Start();
  EXPECT_EQ(Send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\nGET /"), ServerCodec::Result::kClose);
  EXPECT_THAT(Out(), HasSubstr("connection: close"));
  EXPECT_TRUE(codec_->done());
}

TEST_F(Http1Test, A426ThatNamesAVersionOfWebSocketOffersTheUpgrade) {
  answer_ = false;
  ResponseHead head;
  head.status = 426;
  head.content_length = 0;
  head.fields.Add("upgrade", "h2c");  // another's, which passes no gateway
  Send(kGet);
  ASSERT_TRUE(codec_->SendHead(1, head, true));
  EXPECT_THAT(Out(), Not(HasSubstr("pgrade: ")));
  head.fields.Add("sec-websocket-version", "13");
  Send(kGet);
  ASSERT_TRUE(codec_->SendHead(2, head, true));
  EXPECT_THAT(Out(), HasSubstr("\r\nsec-websocket-version: 13\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"));
}

TEST_F(Http1Test, ContinueIsSentOnceAndOnlyIfAsked) {
  answer_ = false;
  Send("POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(Out(), "");
  codec_->SendContinue(1);
  codec_->SendContinue(1);
  EXPECT_EQ(Out(), "HTTP/1.1 100 Continue\r\n\r\n");
  Send("ok");
  EXPECT_EQ(seen_.bodies[1], "ok");
}

TEST_F(Http1Test, StreamsAChunkedBodyWithBackPressureAndTrailers) {
  answer_ = false;
  Send(kGet);
  ResponseHead head;
  head.fields.Add("x", "y");
  head.fields.Add("transfer-encoding", "gzip");
  head.fields.Add("connection", "upgrade");
  ASSERT_TRUE(codec_->SendHead(1, head, false));
  std::string big(100'000, 'b');
  size_t taken = codec_->SendBody(1, big, false);
  EXPECT_LT(taken, big.size());
  std::string out = Out();
  EXPECT_THAT(seen_.lines, testing::Contains("writable 1"));
  EXPECT_THAT(out, HasSubstr("transfer-encoding: chunked\r\n\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("gzip")));
  EXPECT_THAT(out, Not(HasSubstr("upgrade")));
  EXPECT_EQ(codec_->SendBody(1, "tail", false), 4u);
  FieldList trailers;
  trailers.Add("grpc-status", "0");
  codec_->SendTrailers(1, trailers);
  EXPECT_EQ(Out(), "4\r\ntail\r\n0\r\ngrpc-status: 0\r\n\r\n");
  EXPECT_TRUE(codec_->idle());
  EXPECT_FALSE(codec_->done());
}

TEST_F(Http1Test, TheMemoryOfAnAnswerIsTheWorkersOnceItIsSent) {
  const std::vector<std::string>& spare = shared_.parts().spare_outputs;
  Send(kGet);
  EXPECT_THAT(spare, IsEmpty());
  Out();
  ASSERT_THAT(spare, SizeIs(1));
  const char* memory = spare[0].data();
  auto first = std::move(codec_);
  Start();
  Send(kGet);
  EXPECT_THAT(spare, IsEmpty()) << "taken for the next answer, of whichever connection";
  EXPECT_THAT(Out(), EndsWith("hello"));
  ASSERT_THAT(spare, SizeIs(1));
  EXPECT_EQ(spare[0].data(), memory);
  EXPECT_THAT(spare[0], IsEmpty());

  // While a body streams it stays, and what became large is let go.
  answer_ = false;
  Send(kGet);
  ASSERT_TRUE(codec_->SendHead(2, ResponseHead(), false));
  Out();
  EXPECT_THAT(spare, IsEmpty());
  codec_->SendBody(2, std::string(5000, 'b'), true);
  Out();
  EXPECT_TRUE(codec_->idle());
  EXPECT_THAT(spare, IsEmpty());
}

TEST_F(Http1Test, ABodyInChunksComesAfterARestAsBeforeIt) {
  const std::string post = "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  answer_ = false;
  for (StreamId id = 1; id <= 3; ++id) {
    codec_->Rest();
    Send(post);
    Send("5\r\nhel");
    codec_->Rest();
    Send("lo\r\n0\r\n\r\n");
    EXPECT_EQ(seen_.bodies[id], "hello");
    EXPECT_TRUE(codec_->SendFixed(id, fixed_));
    EXPECT_THAT(Out(), EndsWith("hello"));
    EXPECT_TRUE(codec_->idle());
  }
}

TEST_F(Http1Test, AResponseThatDiffersFromItsLengthEndsTheConnection) {
  answer_ = false;
  for (const char* body : {"abcdef", "abc"}) {
    Start();
    Send(kGet);
    ResponseHead head;
    head.content_length = 5;
    codec_->SendHead(1, head, false);
    codec_->SendBody(1, body, true);
    Out();
    EXPECT_TRUE(codec_->done()) << body;
  }
}

TEST_F(Http1Test, FieldsThatWouldSplitTheResponseAreNotSent) {
  answer_ = false;
  Send(kGet);
  ResponseHead head;
  head.fields.Add("location", "x\r\nset-cookie: evil");
  EXPECT_FALSE(codec_->SendHead(1, head, true));
  EXPECT_EQ(Out(), "");
  FieldList fields;
  fields.Add("a b", "c");
  EXPECT_FALSE(FixedResponse::Create(200, fields, "").ok());
}

TEST_F(Http1Test, AnUnconsumedBodyStopsReading) {
  answer_ = false;
  seen_.consume = false;
  Send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + std::string(70'000, 'x'));
  EXPECT_FALSE(codec_->WantsRead());
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kActive);
  codec_->ConsumeBody(1, 70'000);
  EXPECT_TRUE(codec_->WantsRead());
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kBody);
}

TEST_F(Http1Test, BodiesOverTheLimitAre413) {
  options_.limits.body_bytes = 10;
  Send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n");
  EXPECT_THAT(Out(), HasSubstr("413"));
  answer_ = false;
  Start();
  Send("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nB\r\n01234567890\r\n");
  EXPECT_THAT(Out(), HasSubstr("413"));
}

TEST_F(Http1Test, EofInTheMiddleOfABodyIsAReset) {
  answer_ = false;
  Send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_EQ(codec_->ReceiveEof(), ServerCodec::Result::kClose);
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 POST h /a +body", "reset 1 8", "closed 1"));
  EXPECT_TRUE(codec_->done());
}

TEST_F(Http1Test, DrainAnswersWhatRunsAndThenCloses) {
  answer_ = false;
  Send(kGet);
  codec_->ShutdownNotice();
  codec_->GoAway();
  EXPECT_FALSE(codec_->done());
  codec_->SendFixed(1, fixed_);
  EXPECT_THAT(Out(), HasSubstr("connection: close"));
  EXPECT_TRUE(codec_->done());
}

TEST_F(Http1Test, ResetAbortsTheConnection) {
  answer_ = false;
  Send(kGet);
  codec_->Reset(1, ErrorCode::kCancel);
  Out();
  EXPECT_EQ(seen_.lines.back(), "closed 1");
  EXPECT_TRUE(codec_->done());
}

struct Responses final : ResponseHandler {
  void OnResponseHead(ResponseHead&& head, bool end) override {
    log += absl::StrCat("head ", head.status, end ? " end;" : ";");
  }
  void OnResponseBody(absl::string_view data) override { body.append(data.data(), data.size()); }
  void OnResponseEnd(FieldList&& trailers) override { log += absl::StrCat("end ", trailers.size(), ";"); }
  void OnContinue() override { log += "continue;"; }
  std::string log, body;
};

TEST(ResponseParserTest, ReadsTheKindsOfBodiesHoweverTheyAreCut) {
  struct Row {
    const char* method;
    const char* bytes;
    const char* log;
    const char* body;
    bool reusable;
  };
  const Row rows[] = {
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "head 200;end 0;", "abc", true},
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "head 200 end;end 0;", "", true},
      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "head 200 end;end 0;", "", true},
      {"GET", "HTTP/1.1 204 No\r\n\r\n", "head 204 end;end 0;", "", true},
      {"GET", "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", "head 204 end;end 0;", "", true},
      {"GET", "HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", "head 204 end;end 0;", "", false},
      {"GET", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "head 204 end;end 0;", "", false},
      {"GET", "HTTP/1.1 304 NM\r\nContent-Length: 9\r\n\r\n", "head 304 end;end 0;", "", true},
      {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", "head 200;end 1;", "abc", true},
      {"GET", "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "continue;head 200;end 0;", "a", true},
      {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", "head 200;end 0;", "a", false},
      {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "head 200;end 0;", "a", false},
      {"GET", "HTTP/1.1 200 OK\r\n\r\nabc", "head 200;end 0;", "abc", false},
  };
  for (const Row& row : rows) {
    std::string bytes = row.bytes;
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
      Responses got;
      ResponseParser parser(&got, {});
      parser.Reset(row.method);
      EXPECT_EQ(parser.Receive(bytes.substr(0, cut)), cut);
      EXPECT_EQ(parser.Receive(bytes.substr(cut)), bytes.size() - cut);
      parser.ReceiveEof();
      EXPECT_EQ(got.log, row.log) << bytes << cut;
      EXPECT_EQ(got.body, row.body) << bytes;
      EXPECT_EQ(parser.state(), ResponseParser::State::kDone);
      EXPECT_EQ(parser.reusable(), row.reusable) << bytes;
    }
  }
}

TEST(ResponseParserTest, RefusesAConnectionThatNamesFieldsByTheThousand) {
  std::string names;
  for (int i = 0; i < 10'000; ++i) names += "a,";
  Responses got;
  ResponseParser parser(&got, {});
  parser.Reset("GET");
  parser.Receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: " + names + "\r\n\r\n");
  EXPECT_EQ(parser.state(), ResponseParser::State::kFailed);
  EXPECT_EQ(got.log, "");
}

TEST(ResponseParserTest, RefusesWhatTwoParsersCouldReadDifferently) {
  for (const char* bytes :
       {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 101 Switch\r\n\r\n", "HTTP/1.1 99 X\r\n\r\n", "HTTP/1.1 600 X\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\nX: a\n\n", "junk\r\n\r\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n"}) {
    Responses got;
    ResponseParser parser(&got, {});
    parser.Reset("GET");
    parser.Receive(bytes);
    EXPECT_EQ(parser.state(), ResponseParser::State::kFailed) << bytes;
    EXPECT_EQ(got.log, "") << bytes;
    EXPECT_NE(parser.error(), "");
  }
}

TEST(ResponseParserTest, ATruncatedResponseAndSurplusBytesAreNoticed) {
  Responses got;
  ResponseParser parser(&got, {});
  parser.Reset("GET");
  parser.Receive("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
  parser.ReceiveEof();
  EXPECT_EQ(parser.state(), ResponseParser::State::kFailed);
  parser.Reset("GET");
  EXPECT_FALSE(parser.started());
  EXPECT_EQ(parser.Receive("HTTP/1.1 204 No\r\n\r\nHTTP/1.1"), 19u) << "the rest is not ours";
}


constexpr char kUpgrade[] = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";

class Http1WebSocketTest : public Http1Test {
 protected:
  Http1WebSocketTest() { answer_ = false; }
  void Switch() {
    ResponseHead head;
    head.fields.Add("sec-websocket-accept", "x");
    ASSERT_TRUE(codec_->SendSwitch(1, head));
    EXPECT_EQ(Out(), "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
  }
};

TEST_F(Http1WebSocketTest, IsAskedForByAGetOfHttp11WithoutABody) {
  for (absl::string_view head : {
           "GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c",
           "GET /a HTTP/1.1\r\nConnection: upgrade",
           "GET /a HTTP/1.1\r\nUpgrade: websocket",
           "GET /a HTTP/1.1\r\nConnection: close\r\nUpgrade: websocket",
           "GET /a HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket",
           "POST /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket",
           "GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1",
           "GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked",
       }) {
    Start();
    Send(absl::StrCat(head, "\r\nHost: h\r\n\r\n"));
    EXPECT_FALSE(seen_.heads.at(1).websocket) << head;
    EXPECT_FALSE(codec_->SendSwitch(1, ResponseHead())) << head;
  }
  Start();
  Send(kUpgrade);
  EXPECT_TRUE(seen_.heads.at(1).websocket);
}

TEST_F(Http1WebSocketTest, BytesGoBothWaysOnceItIsGranted) {
  Send(absl::StrCat(kUpgrade, "early"));
  EXPECT_THAT(seen_.bodies, IsEmpty()) << "what comes before the answer waits for it";
  Switch();
  EXPECT_EQ(seen_.bodies.at(1), "early");
  Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(seen_.bodies.at(1), "earlyGET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kActive);
  EXPECT_EQ(codec_->SendBody(1, "abc", false), 3u);
  EXPECT_EQ(Out(), "abc");
}

TEST_F(Http1WebSocketTest, WhatWaitedIsTheNextRequestIfItIsNotGranted) {
  Send(absl::StrCat(kUpgrade, kGet));
  EXPECT_TRUE(codec_->SendFixed(1, fixed_));
  EXPECT_THAT(Out(), HasSubstr("hello"));
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h /ws", "closed 1", "request 2 GET h /a"));
}

TEST_F(Http1WebSocketTest, IsReadNoFasterThanItIsUsedUp) {
  seen_.consume = false;
  Send(kUpgrade);
  Switch();
  Send(std::string(options_.limits.body_window, 'x'));
  EXPECT_FALSE(codec_->WantsRead());
  codec_->ConsumeBody(1, 1);
  EXPECT_TRUE(codec_->WantsRead());
}

TEST_F(Http1WebSocketTest, NoLimitOfBodiesEndsIt) {
  options_.limits.body_bytes = 10;
  Send(kUpgrade);
  Switch();
  Send(std::string(100, 'x'));
  EXPECT_EQ(seen_.bodies.at(1).size(), 100u);
}

TEST_F(Http1WebSocketTest, EndsWhenBothSidesHaveEnded) {
  Send(kUpgrade);
  Switch();
  codec_->SendBody(1, "bye", true);
  EXPECT_FALSE(codec_->half_done()) << "its last bytes are not produced yet";
  EXPECT_EQ(Out(), "bye");
  EXPECT_TRUE(codec_->half_done());
  EXPECT_FALSE(codec_->done());
  Send("still");
  EXPECT_EQ(seen_.bodies.at(1), "still");
  EXPECT_EQ(codec_->ReceiveEof(), ServerCodec::Result::kOk);
  Out();
  EXPECT_TRUE(codec_->done());
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h /ws", "end 1 5", "closed 1"));
}

TEST_F(Http1WebSocketTest, TheClientMayEndFirst) {
  Send(kUpgrade);
  Switch();
  EXPECT_EQ(codec_->ReceiveEof(), ServerCodec::Result::kOk);
  EXPECT_FALSE(codec_->done());
  codec_->SendBody(1, "bye", true);
  EXPECT_EQ(Out(), "bye");
  EXPECT_TRUE(codec_->done());
}

TEST_F(Http1WebSocketTest, AClientThatEndedBeforeTheAnswerHasEndedAfterIt) {
  Send(absl::StrCat(kUpgrade, "all"));
  EXPECT_EQ(codec_->ReceiveEof(), ServerCodec::Result::kOk);
  Switch();
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h /ws", "end 1 3"));
}

TEST_F(Http1WebSocketTest, AResetEndsTheConnection) {
  Send(kUpgrade);
  Switch();
  codec_->Reset(1, ErrorCode::kCancel);
  Out();
  EXPECT_TRUE(codec_->done());
  EXPECT_EQ(Send("more"), ServerCodec::Result::kClose);
  EXPECT_THAT(seen_.bodies, IsEmpty());
}

TEST(ResponseParserTest, BelievesASwitchThatWasAskedForAlone) {
  constexpr absl::string_view kSwitch = "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n";
  struct Case {
    absl::string_view wire;
    bool asked;
  };
  for (const Case& c : std::vector<Case>{
           {kSwitch, false},
           {"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", true},
           {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", true},
           {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", true},
           {"HTTP/1.0 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", true},
       }) {
    Responses got;
    ResponseParser parser(&got, {});
    parser.Reset("GET", c.asked);
    parser.Receive(c.wire);
    EXPECT_EQ(parser.state(), ResponseParser::State::kFailed) << c.wire;
  }
  Responses got;
  ResponseParser parser(&got, {});
  parser.Reset("GET", true);
  parser.Receive(absl::StrCat("HTTP/1.1 100 Continue\r\n\r\n", kSwitch, "HTTP/1.1 200 OK\r\n\r\n"));
  EXPECT_EQ(got.body, "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(got.log, "continue;head 101;");
  EXPECT_FALSE(parser.reusable());
}


TEST_F(Http1Test, EarlyHintsGoBeforeTheAnswerAndNeverAfterIt) {
  answer_ = false;
  FieldList hints;
  hints.Add("link", "</a.css>; rel=preload");
  hints.Add("connection", "close");
  hints.Add("content-length", "5");
  hints.Add("x", "a\r\nb");
  Send(kGet);
  codec_->SendEarlyHints(1, hints);
  EXPECT_EQ(Out(), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
  codec_->SendFixed(1, fixed_);
  codec_->SendEarlyHints(1, hints);
  EXPECT_THAT(Out(), Not(HasSubstr("103")));
  Send("GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
  codec_->SendEarlyHints(2, hints);
  EXPECT_EQ(Out(), "") << "HTTP/1.0 knows no interim responses";
}

}  // namespace
}  // namespace gatehouse::http
