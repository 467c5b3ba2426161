# Build vocabulary of the house: gatehouse_library, gatehouse_test, gatehouse_fuzzer.
#
# gatehouse_library(certs SRCS a.cc DEPS gatehouse_base PRIVATE_DEPS OpenSSL::Crypto)  -> target gatehouse_certs
# gatehouse_test(certs SRCS a_test.cc DEPS gatehouse_certs)                           -> target certs_test
# gatehouse_fuzzer(path SRCS path_fuzzer.cc DEPS gatehouse_http CORPUS dir)           -> target path_fuzzer
#
# DEPS are PUBLIC: whoever includes our header may include theirs. PRIVATE_DEPS are not seen by others.

find_package(OpenSSL 3 REQUIRED)
find_package(Threads REQUIRED)
find_package(absl REQUIRED CONFIG)
find_package(Protobuf REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
if(GATEHOUSE_GRPC)
  find_package(gRPC REQUIRED CONFIG)
endif()
if(GATEHOUSE_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

find_program(GATEHOUSE_CCACHE ccache)
if(GATEHOUSE_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${GATEHOUSE_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GATEHOUSE_CCACHE})
endif()
find_program(GATEHOUSE_MOLD mold)
if(GATEHOUSE_MOLD AND NOT GATEHOUSE_FUZZ)
  add_link_options(-fuse-ld=mold)
endif()

# Our own targets are compiled with this; libraries of others are SYSTEM includes and stay silent.
add_library(gatehouse_flags INTERFACE)
target_compile_options(gatehouse_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-qual -Woverloaded-virtual -Werror
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Wno-missing-field-initializers>)
target_include_directories(gatehouse_flags INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
if(GATEHOUSE_SANITIZE)
  # gcc 12 takes the sanitizers' own code for misuse.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    add_compile_options(-Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
  endif()
  add_compile_options(-fsanitize=${GATEHOUSE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # Under this macro protobuf's headers give map fields another layout than Debian's library was compiled with.
  if(GATEHOUSE_SANITIZE MATCHES thread)
    add_compile_options(-U__SANITIZE_THREAD__)
  endif()
  # Without a free descriptor for its probe gcc's vptr check takes every object for a wrong one.
  if(GATEHOUSE_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize=vptr)
  endif()
  add_link_options(-fsanitize=${GATEHOUSE_SANITIZE})
endif()
if(GATEHOUSE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

function(gatehouse_library name)
  cmake_parse_arguments(A "" "" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_SRCS)
    add_library(gatehouse_${name} STATIC ${A_SRCS})
    target_link_libraries(gatehouse_${name} PUBLIC ${A_DEPS} PRIVATE gatehouse_flags ${A_PRIVATE_DEPS})
    target_include_directories(gatehouse_${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
  else()
    add_library(gatehouse_${name} INTERFACE)
    target_link_libraries(gatehouse_${name} INTERFACE ${A_DEPS})
    target_include_directories(gatehouse_${name} INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
  endif()
endfunction()

set(GATEHOUSE_TSAN_TESTS base credentials delegate authn config loop tls http upstream fetch events json_log metrics server revocation_desk gateway monitor store hub publish)

# gatehouse_program(gatehouse SRCS main.cc DEPS ...): an executable that people run, in ${CMAKE_BINARY_DIR}/bin.
function(gatehouse_program name)
  cmake_parse_arguments(A "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${A_SRCS})
  target_link_libraries(${name} PRIVATE gatehouse_flags ${A_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

function(gatehouse_test name)
  if(NOT GATEHOUSE_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name}_test ${A_SRCS})
  target_link_libraries(${name}_test PRIVATE gatehouse_flags ${A_DEPS} GTest::gmock GTest::gtest_main)
  # OpenSSL's macros take const away from text, and clang blames whoever uses them; gcc does not.
  target_compile_options(${name}_test PRIVATE $<$<CXX_COMPILER_ID:Clang>:-Wno-cast-qual>)
  # ThreadSanitizer runs what has threads of ours and no gRPC, whose uninstrumented library it cannot see through.
  set(labels unit)
  if(name IN_LIST GATEHOUSE_TSAN_TESTS)
    set(labels unit-tsan)  # one label that -L unit and -L tsan both match: a list does not survive discovery
    set_property(GLOBAL APPEND PROPERTY GATEHOUSE_TSAN_TARGETS ${name}_test)
  endif()
  gtest_discover_tests(${name}_test TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
    PROPERTIES TIMEOUT 300 LABELS ${labels})
endfunction()

function(gatehouse_fuzzer name)
  cmake_parse_arguments(A "" "CORPUS" "SRCS;DEPS" ${ARGN})
  if(NOT GATEHOUSE_FUZZ)
    return()
  endif()
  add_executable(${name}_fuzzer ${A_SRCS})
  target_link_libraries(${name}_fuzzer PRIVATE gatehouse_flags ${A_DEPS})
  target_link_options(${name}_fuzzer PRIVATE -fsanitize=fuzzer)
  set_property(GLOBAL APPEND PROPERTY GATEHOUSE_FUZZERS ${name}_fuzzer)
  # Ten seconds from the corpus: enough to notice that a target broke. Long runs are by hand.
  add_test(NAME fuzz.${name} COMMAND ${name}_fuzzer -max_total_time=10 -timeout=5 -rss_limit_mb=2048
    ${CMAKE_CURRENT_BINARY_DIR}/${name}_found ${A_CORPUS})
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${name}_found)
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 60)
endfunction()
