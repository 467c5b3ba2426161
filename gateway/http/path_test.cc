#include "gateway/http/path.h"

#include "gateway/http/field_list.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::http {
namespace {

TEST(PathTest, CanonicalForms) {
  struct Row {
    const char* raw;
    const char* canonical;
  };
  const Row rows[] = {
      {"/", "/"}, {"/a/b", "/a/b"}, {"/a/", "/a/"}, {"//", "/"}, {"//a///b", "/a/b"},
      {"/%61%2D%7e", "/a-~"}, {"/%3a", "/%3A"}, {"/%2541", "/%2541"}, {"/%25%34%31", "/%2541"},
      {"/a/./b", "/a/b"}, {"/a/.", "/a/"}, {"/a/..", "/"}, {"/a/../b", "/b"}, {"/a/%2e%2E/b", "/b"},
      {"/a/b/../../c", "/c"}, {"/a//../b", "/b"}, {"/.a/..b/...", "/.a/..b/..."}, {"/a|b{c}", "/a%7Cb%7Bc%7D"},
      {"/[x]^`\"<>", "/%5Bx%5D%5E%60%22%3C%3E"}, {"/a;x=1/b", "/a;x=1/b"}, {"/%E4%bd%a0", "/%E4%BD%A0"},
      {"/a:b@c!$&'()*+,;=", "/a:b@c!$&'()*+,;="}, {"/.../", "/.../"}, {"/a/...;x", "/a/...;x"},
  };
  for (const Row& row : rows) {
    auto got = CanonicalPath(row.raw);
    ASSERT_TRUE(got.ok()) << row.raw << ": " << got.status();
    EXPECT_EQ(*got, row.canonical) << row.raw;
    EXPECT_EQ(*CanonicalPath(*got), *got) << "not idempotent: " << row.raw;
  }
}

TEST(PathTest, RefusedForms) {
  const absl::string_view rows[] = {
      "", "a", "*", "/\\", "/a b", "/a\tb", absl::string_view("/a\0b", 4), "/a\x7f", "/\xc3\xa4", "/a#b", "/a?b",
      "/%", "/%4", "/%zz", "/%00", "/%0a", "/%1F", "/%7f", "/a%2fb", "/a%2Fb", "/a%5cb", "/..", "/../a", "/a/../..",
      "/%2e%2e", "/.%2e/a", "/a/..;/b", "/a/..%3b/b", "/a/.;x/b", "/a/%2e%2e;/b", "/..;",
  };
  for (absl::string_view row : rows) EXPECT_FALSE(CanonicalPath(row).ok()) << row;
}

TEST(PathTest, APlainPathIsItsOwnCanonicalForm) {
  for (const char* p : {"/", "/a", "/a/b.c/d-e_f~", "/a;b=c", "/a..b"}) {
    EXPECT_TRUE(IsPlainPath(p)) << p;
    EXPECT_EQ(*CanonicalPath(p), p);
  }
  for (const char* p : {"", "a", "//", "/.", "/a/..", "/%41", "/a b", "/|"}) EXPECT_FALSE(IsPlainPath(p)) << p;
}

TEST(PathTest, Queries) {
  for (const char* q : {"", "a=b&c", "x=%00", "a?b/c", "{\"j\":[1]}"}) EXPECT_TRUE(IsValidQuery(q)) << q;
  for (const char* q : {"a b", "a#b", "\xc3\xa4", "a\x01", "a\x7f"}) EXPECT_FALSE(IsValidQuery(q)) << q;
}

TEST(PathTest, Authorities) {
  EXPECT_EQ(ParseAuthority("Example.com")->host, "Example.com");
  EXPECT_EQ(ParseAuthority("example.com.:443")->host, "example.com");
  EXPECT_EQ(ParseAuthority("a.b_c-d.")->host, "a.b_c-d");
  EXPECT_EQ(ParseAuthority("[::1]:8443")->host, "[::1]");
  EXPECT_EQ(ParseAuthority("[::1]:8443")->port, "8443");
  for (const char* a : {"", ":80", "user@host", "u:p@host", "host:", "host:x", "host:65536", "host:0", "host:123456",
                        "ho st", "ho%41st", "[::1", "[]", "[::1]x", "a/b", "a,b", ".", "..", ".a", "a..", "a..b", "a..:80", "host:1:2", "[::g]", "\xc3\xa4"}) {
    EXPECT_FALSE(ParseAuthority(a).ok()) << a;
  }
}

TEST(FieldListTest, KeepsOrderLowersNamesJoinsAndRemoves) {
  FieldList f;
  f.Add("Cookie", "a=1");
  f.Add("X-Y", "Z");
  f.Add("COOKIE", "b=2");
  f.Join("cookie", "; ");
  ASSERT_EQ(f.size(), 2u);
  EXPECT_EQ(f[0].value, "a=1; b=2");
  EXPECT_EQ(f[1].name, "x-y");
  EXPECT_EQ(f.Remove("cookie"), 1u);
  EXPECT_FALSE(f.Has("cookie"));
}

TEST(FieldListTest, HopByHopFieldsGoWithThoseThatConnectionNames) {
  FieldList f;
  f.Add("connection", "close, X-Mine , Content-Length");
  f.Add("x-mine", "1");
  f.Add("te", "trailers");
  f.Add("content-length", "3");
  f.Add("x-other", "2");
  RemoveHopByHop(&f);
  ASSERT_EQ(f.size(), 2u);
  EXPECT_EQ(f[0].name, "content-length");
  EXPECT_EQ(f[1].name, "x-other");
}

TEST(FieldListTest, WireChecks) {
  EXPECT_TRUE(IsFieldValue("a\tb \xc3\xa4"));
  for (absl::string_view v : {" a", "a ", "a\rb", "a\nb", "a\x7f"}) EXPECT_FALSE(IsFieldValue(v));
  EXPECT_FALSE(IsFieldValue(absl::string_view("a\0b", 3)));
  EXPECT_FALSE(IsToken("a b"));
  EXPECT_FALSE(IsToken(""));
  EXPECT_EQ(ParseContentLength("12"), 12u);
  for (const char* n : {"", "+1", "-1", " 1", "1 ", "0x1", "1,1", "9999999999999999999"}) {
    EXPECT_FALSE(ParseContentLength(n).has_value()) << n;
  }
}

}  // namespace
}  // namespace gatehouse::http
