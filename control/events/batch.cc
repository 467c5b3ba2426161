#include "control/events/batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gatehouse/v1/event_service.pb.h"
#include "google/protobuf/io/coded_stream.h"

namespace gatehouse::hub {
namespace {

using google::protobuf::io::CodedOutputStream;

constexpr int64_t kLastSecond = 253'402'300'799;  // of the year 9999
constexpr size_t kLengthSize = 2;  // octets kept free for the length of an event
constexpr char kEventsTag = (v1::WatchResponse::kEventsFieldNumber << 3) | 2;

// Reads protobuf's wire form field by field.
class Reader {
 public:
  explicit Reader(absl::string_view wire) : at_(wire.data()), end_(wire.data() + wire.size()) {}

  // The next field's number and content: `number` of a varint, `text` of what has a length. False at the end or at what
  // is not well-formed; then `ok` tells which.
  bool Next(int* field, uint64_t* number, absl::string_view* text) {
    if (at_ == end_) return false;
    uint64_t tag = 0;
    if (!Varint(&tag) || tag >> 3 == 0 || tag >> 3 > INT32_MAX) return Fail();
    *field = static_cast<int>(tag >> 3);
    switch (tag & 7) {
      case 0:
        return Varint(number) || Fail();
      case 1:
        return Skip(8) || Fail();
      case 2: {
        uint64_t size = 0;
        if (!Varint(&size)) return Fail();
        *text = absl::string_view(at_, static_cast<size_t>(std::min<uint64_t>(size, static_cast<uint64_t>(end_ - at_))));
        return Skip(size) || Fail();
      }
      case 5:
        return Skip(4) || Fail();
      default:
        return Fail();
    }
  }
  bool ok() const { return ok_; }

 private:
  bool Fail() { return ok_ = false; }
  bool Varint(uint64_t* value) {
    *value = 0;
    for (uint32_t shift = 0; at_ < end_ && shift < 64; shift += 7) {
      const auto octet = static_cast<uint8_t>(*at_++);
      *value |= static_cast<uint64_t>(octet & 0x7f) << shift;
      if (octet < 0x80) return true;
    }
    return false;
  }
  bool Skip(uint64_t n) {
    if (n > static_cast<uint64_t>(end_ - at_)) return false;
    at_ += n;
    return true;
  }

  const char* at_;
  const char* const end_;
  bool ok_ = true;
};

int64_t MicrosOfWire(absl::string_view wire) {
  Reader reader(wire);
  int field = 0;
  uint64_t number = 0;
  uint64_t seconds = 0;
  uint64_t nanos = 0;
  absl::string_view text;
  while (reader.Next(&field, &number, &text)) (field == google::protobuf::Timestamp::kSecondsFieldNumber ? seconds : nanos) = number;
  // What a gateway claims may be any number; a time that is none counts as absent.
  if (seconds > uint64_t{kLastSecond} || nanos > 999'999'999) return 0;
  return static_cast<int64_t>(seconds * 1'000'000 + nanos / 1000);
}

}  // namespace

bool ReadFacts(absl::string_view event, Facts* out) {
  using F = v1::Event;
  Reader reader(event);
  int field = 0;
  uint64_t number = 0;
  absl::string_view text;
  while (reader.Next(&field, &number, &text)) {
    switch (field) {
      case F::kTypeFieldNumber:
        out->type = static_cast<int>(number);
        break;
      case F::kOutcomeFieldNumber:
        out->outcome = static_cast<int>(number);
        break;
      case F::kReasonFieldNumber:
        out->reason = static_cast<int>(number);
        break;
      case F::kTimeFieldNumber:
        out->micros = MicrosOfWire(text);
        break;
      case F::kGatewayFieldNumber:
        out->gateway = text;
        break;
      case F::kRequestFieldNumber: {
        Reader request(text);
        while (request.Next(&field, &number, &text)) {
          if (field == v1::RequestFacts::kRouteFieldNumber) {
            out->route = text;
            break;
          }
        }
        break;
      }
      case F::kSchemesFieldNumber:
        out->schemes.push_back(text);
        break;
      case F::kSampledFieldNumber:
        out->sampled = static_cast<uint32_t>(number);
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

void Batch::Note(const Facts& facts) {
  types |= TypeBit(facts.type);
  min_micros = std::min(min_micros, facts.micros);
  max_micros = std::max(max_micros, facts.micros);
}

size_t BeginEntry(std::string* out) {
  out->push_back(kEventsTag);
  out->append(kLengthSize, '\0');
  return out->size();
}

void EndEntry(size_t start, std::string* out) {
  const size_t size = out->size() - start;
  uint8_t length[10];
  size_t n = static_cast<size_t>(CodedOutputStream::WriteVarint64ToArray(size, length) - length);
  if (n > kLengthSize) out->insert(start, n - kLengthSize, '\0');
  if (n == 1) {  // a longer varint than need be, which parsers take
    length[0] |= 0x80;
    length[1] = 0;
    n = 2;
  }
  std::memcpy(out->data() + start - kLengthSize, length, n);
}

absl::string_view EventOf(absl::string_view entry) {
  size_t skip = 1;
  while (skip < entry.size() && (static_cast<uint8_t>(entry[skip]) & 0x80) != 0) ++skip;
  return skip < entry.size() ? entry.substr(skip + 1) : absl::string_view();
}

std::string EntryOf(const v1::Event& event) {
  std::string entry;
  const size_t start = BeginEntry(&entry);
  event.AppendToString(&entry);
  EndEntry(start, &entry);
  return entry;
}

BatchRef BatchOf(uint64_t first, size_t count, absl::string_view incarnation, std::string wire, std::vector<v1::Event>* events) {
  auto batch = std::make_shared<Batch>();
  batch->first = first;
  batch->wire = std::move(wire);
  Reader reader(batch->wire);
  int field = 0;
  uint64_t number = 0;
  absl::string_view text;
  while (reader.Next(&field, &number, &text)) {
    Facts facts;
    v1::Event event;
    if (field != v1::WatchResponse::kEventsFieldNumber || batch->ends.size() >= count || !ReadFacts(text, &facts) ||
        !event.ParseFromArray(text.data(), static_cast<int>(text.size())) || event.cursor().sequence() != batch->next() ||
        event.cursor().incarnation() != incarnation) {
      return nullptr;
    }
    batch->Note(facts);
    batch->ends.push_back(static_cast<uint32_t>(text.data() + text.size() - batch->wire.data()));
    events->push_back(std::move(event));
  }
  return reader.ok() && batch->ends.size() == count ? batch : nullptr;
}

int64_t MicrosOf(const google::protobuf::Timestamp& time) {
  // As MicrosOfWire: what is no time counts as absent.
  if (time.seconds() < 0 || time.seconds() > kLastSecond || time.nanos() < 0 || time.nanos() > 999'999'999) return 0;
  return time.seconds() * 1'000'000 + time.nanos() / 1000;
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

}  // namespace gatehouse::hub
