// Everything in the API says what it is.
#include "client/cli/api_docs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/protobuf/descriptor.pb.h"

namespace gatehouse::cli {
namespace {

namespace pb = google::protobuf;

struct Undocumented {
  template <typename Element>
  void Look(const Element& element) {
    pb::SourceLocation location;
    ++seen;
    if (!element.GetSourceLocation(&location) || (location.leading_comments.empty() && location.trailing_comments.empty())) {
      names.push_back(element.full_name());
    }
  }
  void Enum(const pb::EnumDescriptor& e) {
    Look(e);
    for (int i = 0; i < e.value_count(); ++i) Look(*e.value(i));
  }
  void Message(const pb::Descriptor& message) {
    if (message.options().map_entry()) return;
    Look(message);
    for (int i = 0; i < message.field_count(); ++i) Look(*message.field(i));
    for (int i = 0; i < message.enum_type_count(); ++i) Enum(*message.enum_type(i));
    for (int i = 0; i < message.nested_type_count(); ++i) Message(*message.nested_type(i));
  }
  std::vector<std::string> names;
  int seen = 0;
};

TEST(ApiDocsTest, EveryServiceMethodMessageFieldEnumAndValueIsDocumented) {
  Undocumented undocumented;
  for (const pb::FileDescriptor* file : ApiDocs::Get().Files()) {
    for (int i = 0; i < file->service_count(); ++i) {
      undocumented.Look(*file->service(i));
      for (int m = 0; m < file->service(i)->method_count(); ++m) undocumented.Look(*file->service(i)->method(m));
    }
    for (int i = 0; i < file->message_type_count(); ++i) undocumented.Message(*file->message_type(i));
    for (int i = 0; i < file->enum_type_count(); ++i) undocumented.Enum(*file->enum_type(i));
  }
  EXPECT_GT(undocumented.seen, 500);
  EXPECT_THAT(undocumented.names, ::testing::IsEmpty());
}

TEST(ApiDocsTest, MessagesAreFoundByTheirName) {
  const pb::Descriptor* route = ApiDocs::Get().Message("Route");
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(ApiDocs::Get().Message("gatehouse.v1.Route"), route);
  EXPECT_EQ(ApiDocs::Get().Message("Rout"), nullptr);
  EXPECT_EQ(TypeText(*route->FindFieldByName("labels")), "map of text to text");
  EXPECT_EQ(TypeText(*route->FindFieldByName("listeners")), "list of text");
  EXPECT_EQ(TypeText(*route->FindFieldByName("anonymous")), "true or false");
}

TEST(ApiDocsTest, TheReferenceHasEveryMessageAndIsTheSameEachTime) {
  const std::string reference = ApiReference(ApiDocs::Get());
  EXPECT_EQ(reference, ApiReference(ApiDocs::Get()));
  for (const pb::FileDescriptor* file : ApiDocs::Get().Files()) {
    for (int i = 0; i < file->message_type_count(); ++i) {
      EXPECT_NE(reference.find("### " + file->message_type(i)->name() + "\n"), std::string::npos) << file->message_type(i)->name();
    }
  }
}

}  // namespace
}  // namespace gatehouse::cli
