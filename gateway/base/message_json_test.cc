// AppendMessageJson against protobuf's own printer, on messages with every kind of field and hostile content.
#include "gateway/base/message_json.h"

#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/json_text.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace gatehouse {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr char kSchema[] = R"pb(
  name: "all.proto" package: "test" syntax: "proto3"
  dependency: "google/protobuf/timestamp.proto" dependency: "google/protobuf/duration.proto"
  enum_type { name: "Colour" value { name: "NONE" number: 0 } value { name: "RED" number: 7 } }
  message_type {
    name: "All"
    field { name: "last_field" number: 200 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "some_text" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "octets" number: 2 label: LABEL_OPTIONAL type: TYPE_BYTES }
    field { name: "int32" number: 3 label: LABEL_OPTIONAL type: TYPE_INT32 }
    field { name: "sint64" number: 4 label: LABEL_OPTIONAL type: TYPE_SINT64 }
    field { name: "uint32" number: 5 label: LABEL_OPTIONAL type: TYPE_UINT32 }
    field { name: "fixed64" number: 6 label: LABEL_OPTIONAL type: TYPE_FIXED64 }
    field { name: "flag" number: 7 label: LABEL_OPTIONAL type: TYPE_BOOL }
    field { name: "colour" number: 8 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".test.Colour" }
    field { name: "all" number: 9 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".test.All" }
    field { name: "time" number: 10 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" }
    field { name: "duration" number: 11 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Duration" }
    field { name: "texts" number: 12 label: LABEL_REPEATED type: TYPE_STRING }
    field { name: "int64s" number: 13 label: LABEL_REPEATED type: TYPE_INT64 }
    field { name: "int32s" number: 14 label: LABEL_REPEATED type: TYPE_INT32 }
    field { name: "uint64s" number: 15 label: LABEL_REPEATED type: TYPE_UINT64 }
    field { name: "uint32s" number: 16 label: LABEL_REPEATED type: TYPE_UINT32 }
    field { name: "flags" number: 17 label: LABEL_REPEATED type: TYPE_BOOL }
    field { name: "colours" number: 18 label: LABEL_REPEATED type: TYPE_ENUM type_name: ".test.Colour" }
    field { name: "alls" number: 19 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".test.All" }
    field { name: "times" number: 20 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" }
    field { name: "octet_strings" number: 21 label: LABEL_REPEATED type: TYPE_BYTES }
    field { name: "maybe" number: 22 label: LABEL_OPTIONAL type: TYPE_UINT32 proto3_optional: true oneof_index: 0 }
    field { name: "real" number: 30 label: LABEL_OPTIONAL type: TYPE_DOUBLE }
    oneof_decl { name: "_maybe" }
  }
)pb";

class MessageJsonTest : public ::testing::Test {
 protected:
  MessageJsonTest() : pool_(google::protobuf::DescriptorPool::generated_pool()) {
    // What the schema depends on, linked in.
    google::protobuf::Timestamp::descriptor();
    google::protobuf::Duration::descriptor();
    google::protobuf::FileDescriptorProto file;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kSchema, &file));
    const auto* built = pool_.BuildFile(file);
    EXPECT_NE(built, nullptr);
    factory_.SetDelegateToGeneratedFactory(true);
    type_ = built->FindMessageTypeByName("All");
  }
  std::unique_ptr<Message> New() { return std::unique_ptr<Message>(factory_.GetPrototype(type_)->New()); }
  const FieldDescriptor* Field(const char* name) const { return type_->FindFieldByName(name); }

  // As protobuf prints it; empty when it cannot.
  static std::string Expected(const Message& message) {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "";
    return SafeJson(json);
  }
  static std::string Json(const Message& message) {
    std::string json = "before ";
    EXPECT_TRUE(AppendMessageJson(message, &json));
    EXPECT_EQ(json.substr(0, 7), "before ");
    return json.substr(7);
  }
  void SetTime(Message* message, int64_t seconds, int32_t nanos) {
    auto* time = dynamic_cast<google::protobuf::Timestamp*>(message->GetReflection()->MutableMessage(message, Field("time"), &factory_));
    ASSERT_NE(time, nullptr);
    time->set_seconds(seconds);
    time->set_nanos(nanos);
  }
  void SetDuration(Message* message, int64_t seconds, int32_t nanos) {
    auto* duration = dynamic_cast<google::protobuf::Duration*>(message->GetReflection()->MutableMessage(message, Field("duration"), &factory_));
    ASSERT_NE(duration, nullptr);
    duration->set_seconds(seconds);
    duration->set_nanos(nanos);
  }

  uint64_t Draw(uint64_t below) { return random_() % below; }
  std::string AsciiText() {
    std::string text;
    for (size_t n = Draw(40); text.size() < n;) text.push_back(static_cast<char>(Draw(0x80)));
    return text;
  }
  // A value of every kind at its ends or anywhere.
  uint64_t Number() {
    const uint64_t ends[] = {0, 1, ~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 31, 0x7FFFFFFF, 0xFFFFFFFF};
    return Draw(3) == 0 ? ends[Draw(std::size(ends))] : random_() >> Draw(64);
  }
  void Fill(Message* message, int depth) {
    const Reflection& r = *message->GetReflection();
    for (int i = 0; i < type_->field_count(); ++i) {
      const FieldDescriptor* f = type_->field(i);
      if (f->name() == "real" || Draw(2) == 0) continue;
      for (size_t n = f->is_repeated() ? Draw(4) : 1; n > 0; --n) {
        const bool many = f->is_repeated();
        switch (f->cpp_type()) {
          case FieldDescriptor::CPPTYPE_STRING:
            many ? r.AddString(message, f, AsciiText()) : r.SetString(message, f, AsciiText());
            break;
          case FieldDescriptor::CPPTYPE_INT32:
            many ? r.AddInt32(message, f, static_cast<int32_t>(Number())) : r.SetInt32(message, f, static_cast<int32_t>(Number()));
            break;
          case FieldDescriptor::CPPTYPE_INT64:
            many ? r.AddInt64(message, f, static_cast<int64_t>(Number())) : r.SetInt64(message, f, static_cast<int64_t>(Number()));
            break;
          case FieldDescriptor::CPPTYPE_UINT32:
            many ? r.AddUInt32(message, f, static_cast<uint32_t>(Number())) : r.SetUInt32(message, f, static_cast<uint32_t>(Number()));
            break;
          case FieldDescriptor::CPPTYPE_UINT64:
            many ? r.AddUInt64(message, f, Number()) : r.SetUInt64(message, f, Number());
            break;
          case FieldDescriptor::CPPTYPE_BOOL:
            many ? r.AddBool(message, f, Draw(2) == 0) : r.SetBool(message, f, Draw(2) == 0);
            break;
          case FieldDescriptor::CPPTYPE_ENUM: {
            const int value = Draw(2) == 0 ? 7 : static_cast<int>(Draw(10));
            many ? r.AddEnumValue(message, f, value) : r.SetEnumValue(message, f, value);
            break;
          }
          case FieldDescriptor::CPPTYPE_MESSAGE: {
            if (f->message_type() == type_ && depth == 0) break;
            Message* inner = many ? r.AddMessage(message, f, &factory_) : r.MutableMessage(message, f, &factory_);
            if (f->message_type() == type_) {
              Fill(inner, depth - 1);
            } else if (auto* time = dynamic_cast<google::protobuf::Timestamp*>(inner)) {
              time->set_seconds(static_cast<int64_t>(Draw(uint64_t{315'537'897'600})) - 62'135'596'800);
              time->set_nanos(Nanos());
            } else if (auto* duration = dynamic_cast<google::protobuf::Duration*>(inner)) {
              const int sign = Draw(2) == 0 ? 1 : -1;
              duration->set_seconds(sign * static_cast<int64_t>(Draw(3) == 0 ? 0 : Draw(uint64_t{315'576'000'001})));
              duration->set_nanos(sign * Nanos());
            }
            break;
          }
          default:
            FAIL() << f->name();
        }
      }
    }
  }
  int32_t Nanos() {
    const int32_t units[] = {1, 1000, 1'000'000};
    const int32_t unit = units[Draw(3)];
    return static_cast<int32_t>(Draw(4) == 0 ? 0 : Draw(1'000'000'000 / static_cast<uint64_t>(unit))) * unit;
  }

  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_{&pool_};
  const google::protobuf::Descriptor* type_ = nullptr;
  std::mt19937_64 random_{20261126};
};

TEST_F(MessageJsonTest, SaysWhatProtobufSaysOctetForOctet) {
  EXPECT_EQ(Json(*New()), "{}");
  size_t longest = 0;
  for (int round = 0; round < 2000; ++round) {
    auto message = New();
    Fill(message.get(), 3);
    const std::string expected = Expected(*message);
    ASSERT_EQ(Json(*message), expected) << message->DebugString();
    longest = std::max(longest, expected.size());
  }
  EXPECT_GT(longest, 2000u) << "messages with something in them";
}

TEST_F(MessageJsonTest, TimesAtTheirEndsAreThere) {
  for (int64_t seconds : std::initializer_list<int64_t>{-62'135'596'800, -1, 0, 1, 951'782'400, 253'402'300'799}) {
    for (int32_t nanos : {0, 1, 999'999'999, 500'000'000, 1000}) {
      auto message = New();
      SetTime(message.get(), seconds, nanos);
      EXPECT_EQ(Json(*message), Expected(*message)) << seconds << " " << nanos;
    }
  }
  for (int64_t seconds : std::initializer_list<int64_t>{-315'576'000'000, -1, 0, 1, 315'576'000'000}) {
    auto message = New();
    SetDuration(message.get(), seconds, seconds < 0 ? -5 : 5);
    EXPECT_EQ(Json(*message), Expected(*message)) << seconds;
  }
}

TEST_F(MessageJsonTest, WhatIsNoTimeHasNoJson) {
  std::string json = "before";
  for (const auto& [seconds, nanos] : {std::pair<int64_t, int32_t>{-62'135'596'801, 0}, {253'402'300'800, 0}, {0, -1}, {0, 1'000'000'000}}) {
    auto message = New();
    message->GetReflection()->SetString(message.get(), Field("some_text"), "x");
    SetTime(message.get(), seconds, nanos);
    EXPECT_FALSE(AppendMessageJson(*message, &json)) << seconds << " " << nanos;
    EXPECT_EQ(json, "before");
  }
  for (const auto& [seconds, nanos] : {std::pair<int64_t, int32_t>{315'576'000'001, 0}, {-315'576'000'001, 0}, {1, -1}, {-1, 1}}) {
    auto message = New();
    SetDuration(message.get(), seconds, nanos);
    EXPECT_FALSE(AppendMessageJson(*message, &json)) << seconds << " " << nanos;
    EXPECT_EQ(json, "before");
  }
}

TEST_F(MessageJsonTest, TextBeyondAsciiComesBackAsItWasAndActsOnNoTerminal) {
  // All that has two octets, and what acts among that with three and four.
  std::string all;
  for (int c = 0x80; c < 0x800; ++c) {
    all += static_cast<char>(0xC0 | c >> 6);
    all += static_cast<char>(0x80 | (c & 0x3F));
  }
  for (const std::string& text : {all, std::string("a\xe2\x80\xae\"b\\\xc2\x9b\xef\xbb\xbf<\x7f>\xf0\x9f\x98\x80 M\xc3\xbcller\n\xe2\x80\xa8")}) {
    auto message = New();
    message->GetReflection()->SetString(message.get(), Field("some_text"), text);
    const std::string json = Json(*message);
    auto back = New();
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json, back.get()).ok()) << json;
    EXPECT_EQ(back->GetReflection()->GetString(*back, Field("some_text")), text);
    for (const char* raw : {"\xe2\x80\xae", "\xc2\x9b", "\xef\xbb\xbf", "\x7f", "\n", "<", "\xe2\x80\xa8"}) EXPECT_FALSE(absl::StrContains(json, raw)) << json;
  }
}

TEST_F(MessageJsonTest, WhatItDoesNotWriteItselfIsAsProtobufHasIt) {
  auto message = New();
  const Reflection& r = *message->GetReflection();
  Message* inner = r.AddMessage(message.get(), Field("alls"), &factory_);
  inner->GetReflection()->SetDouble(inner, Field("real"), 0.5);
  inner->GetReflection()->SetString(inner, Field("some_text"), "\xc2\x9b");
  EXPECT_EQ(Json(*message), R"({"alls":[{"some_text":"\u009b","real":0.5}]})");
  google::protobuf::FileDescriptorProto file;
  file.set_name("x");
  EXPECT_EQ(Json(file), R"({"name":"x"})");
}

TEST_F(MessageJsonTest, WhatNobodySeesIsEscapedAsProtobufDoes) {
  std::string bad;
  for (uint32_t c = 0x80; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    if (c < 0x800) {
      text = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
    } else if (c < 0x10000) {
      text = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
    } else {
      text = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 63)), static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
    }
    auto message = New();
    message->GetReflection()->SetString(message.get(), Field("some_text"), text);
    if (Json(*message) != Expected(*message)) bad += absl::StrCat(absl::Hex(c), " ");
  }
  EXPECT_EQ(bad, "");
}

}  // namespace
}  // namespace gatehouse
